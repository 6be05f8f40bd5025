"""The design of a study: which methods meet in which trial, and who sees what in which order.

Pure combinatorics, no clips: everything is balanced by construction or as far as the counts allow.
"""

import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import pandas as pd
from jaxtyping import Int

MAIN, REAL, SHIFT = "main", "real", "shift"
Form = list[tuple[int, int]]  # (trial, rotation), one place after the other


@dataclass(frozen=True)
class Trial:
    """One comparison: `methods` from left to right (rotation 0) on one clip of the split.

    kind: main; real, a check where the real clip is among the methods' ones; or shift, a check
    where the real clip stands beside itself with its sound moved. `clip`: row of the split's table.
    """

    kind: str
    clip: int
    methods: tuple[str, ...]


def draw_clips(rows: pd.DataFrame, count: int, rng: np.random.Generator) -> list[int]:
    """`count` rows of a split's table, none twice: speakers in turn, new sentences first.

    Raises ValueError when the table has fewer.
    """
    if count > len(rows):
        raise ValueError(f"{count} of {len(rows)} clips")
    order = rng.permutation(len(rows))
    waiting = {s: [i for i in order if rows.speaker.iloc[i] == s] for s in rows.speaker.unique()}
    speakers = [str(name) for name in rng.permutation(list(waiting))]
    said: Counter[str] = Counter()
    drawn: list[int] = []
    while len(drawn) < count:
        for speaker in speakers:
            if waiting[speaker] and len(drawn) < count:
                best = min(waiting[speaker], key=lambda i: said[rows.utterance.iloc[i]])
                waiting[speaker].remove(best)
                said[rows.utterance.iloc[best]] += 1
                drawn.append(int(best))
    return drawn


def main_trials(
    methods: list[str], choices: int, clips: list[int], speakers: list[str],
    rng: np.random.Generator,
) -> list[Trial]:  # fmt: skip
    """A trial a clip, `choices` of the methods in each.

    Every set of methods comes equally often (a difference of one where the number does not
    divide), spread over speakers, and every method stands equally often at each position, as far
    as a greedy choice gets. `speakers`: of each clip.
    """
    sets = list(combinations(methods, choices))
    used: Counter[tuple[str, ...]] = Counter()
    met: Counter[tuple[tuple[str, ...], str]] = Counter()
    seen: Counter[str] = Counter()
    stood: Counter[tuple[str, int]] = Counter()
    trials = []
    for clip, speaker in zip(clips, speakers, strict=True):
        sets = [sets[i] for i in rng.permutation(len(sets))]  # ties are broken by chance
        chosen = min(sets, key=lambda s: (used[s], sum(seen[m] for m in s), met[s, speaker]))
        used[chosen] += 1
        met[chosen, speaker] += 1
        seen.update(chosen)
        orders = list(permutations(chosen))
        orders = [orders[i] for i in rng.permutation(len(orders))]
        order = min(orders, key=lambda o: sum(stood[m, p] for p, m in enumerate(o)))
        stood.update((method, position) for position, method in enumerate(order))
        trials.append(Trial(MAIN, clip, order))
    return trials


def check_trials(
    kind: str, methods: list[str], choices: int, clips: list[int], rng: np.random.Generator
) -> list[Trial]:
    """Checks of one kind, a clip each; the right answer takes each position in turn.

    A real check shows the real clip beside other methods' clips; a shift check shows the real clip
    beside itself with its sound moved (as many ways as there are choices left).
    """
    trials = []
    for turn, clip in enumerate(clips):
        if kind == REAL:
            others = [str(m) for m in rng.permutation(methods)[: choices - 1]]
            right = REAL
        else:
            others = [f"{SHIFT}{way}" for way in range(1, choices)]
            right = f"{SHIFT}0"
        others.insert(turn % choices, right)
        trials.append(Trial(kind, clip, tuple(others)))
    return trials


def latin_square(n: int) -> Int[np.ndarray, "_ n"]:
    """Orders of n things: each stands at each place equally often and follows each other equally.

    Williams's design: n rows for an even n, 2n for an odd one (E. J. Williams, 1949).
    """
    first = [0]
    for step in range(1, n):
        first.append((first[-1] + (step if step % 2 else -step)) % n)
    square = (np.array(first)[None] + np.arange(n)[:, None]) % n
    return square if n % 2 == 0 else np.concatenate([square, square[:, ::-1]])


def forms(kinds: list[str], choices: int, repeats: int) -> list[Form]:
    """The forms of a ballot: which trial comes at which place, and how far it is turned.

    Rotation r shows clip (position + r) mod choices. Over all forms each trial takes each place
    and each rotation equally often. The `repeats` main trials that come first are shown again at
    the end, the other way round. `kinds`: of each trial.
    """
    square = latin_square(len(kinds))
    result = []
    for number in range(math.lcm(len(square), choices)):
        turn = number % choices
        form = [(int(trial), turn) for trial in square[number % len(square)]]
        again = [trial for trial, _ in form if kinds[trial] == MAIN][:repeats]
        result.append(form + [(trial, (turn + 1) % choices) for trial in again])
    return result


def shown(clips: list[str], rotation: int) -> list[str]:
    """The clips of a trial from left to right at a rotation."""
    turn = rotation % len(clips)
    return clips[turn:] + clips[:turn]
