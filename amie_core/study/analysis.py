"""Table 4 from raw answers: shares, strengths, agreement, and who is left out by which rule."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from amie_core.errors import UserError
from amie_core.study import PEOPLE, QUESTIONS, SIMULATED, statistics
from amie_core.study.answers import Answer, read
from amie_core.study.plan import MAIN

MOST_WRONG = 0.25  # of the checks that a rater answered
LEAST_ANSWERED = 0.5  # of the answers that a form asks for
# Stated in the key, before any answer exists.
RULE = (
    "A rater is left out, with all answers, who answered fewer than half of the questions, or who "
    "got more than a quarter of the hidden checks wrong (the real clip is the more realistic and "
    "the better synchronised one; the unmoved sound is the better synchronised one). Repeated "
    "trials are reported, not counted, and exclude nobody."
)
DRAWS = 1000  # bootstrap samples of raters
FEWEST = 5  # raters; resampling fewer says nothing about others
NOBODY = "simulated raters: nobody voted"


def analyse(
    key: dict[str, Any],
    answers: Iterable[str | Path],
    *,
    simulated: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Everything that the answers say, as plain data.

    key: from `sample.read_key`; answers: CSV files or folders of them. `simulated` reads simulated
    raters instead of people, never both. For each question and method: votes, share of all votes
    with Wilson's interval (answers taken as independent) and a bootstrap interval over raters,
    log strength (Bradley-Terry, Luce) with its bootstrap interval; Krippendorff's alpha; how often
    a repeated trial got the same answer. Bootstrap intervals are None below FEWEST raters. Raises
    UserError when no rater is left.
    """
    source = SIMULATED if simulated else PEOPLE
    found = read(answers, key, source)
    by_rater: dict[str, list[Answer]] = defaultdict(list)
    for answer in found.usable:
        by_rater[answer.rater].append(answer)
    checks = {rater: _checks(key, own) for rater, own in by_rater.items()}
    excluded = {
        rater: why for rater, own in by_rater.items() if (why := _excluded(key, own, checks[rater]))
    }
    kept = {rater: own for rater, own in by_rater.items() if rater not in excluded}
    if not kept:
        reasons = [f"{where(file, row)}: {why}" for file, row, why in found.refused]
        reasons += [f"{rater}: {why}" for rater, why in excluded.items()]
        raise UserError(f"no rater is left to count ({'; '.join(reasons[:3])})")
    return {
        "source": NOBODY if simulated else "people",
        **{name: key[name] for name in ("study", "methods", "choices", "corpus", "split")},
        **{name: key[name] for name in ("profiles", "seed", "commit", "runs")},
        "rule": key.get("rule", RULE),
        "raters": {
            "files": found.files,
            "read": len(by_rater),
            "counted": len(kept),
            "excluded": excluded,
            "checks": {rater: f"{right}/{asked}" for rater, (right, asked) in checks.items()},
            "a guesser passes": round(guesser_passes(key), 4),
        },
        "refused": [{"file": f, "row": r, "reason": why} for f, r, why in found.refused],
        "told_back": [{"file": f, "row": r, "what": what} for f, r, what in found.told_back],
        "questions": {
            name: _question(key, list(kept.values()), name, draws, seed) for name in QUESTIONS
        },
    }


def _checks(key: dict[str, Any], answers: Sequence[Answer]) -> tuple[int, int]:
    """How many check questions a rater answered right, of how many."""
    marks = [
        answer.clip == right
        for answer in answers
        if (right := key["trials"][answer.trial]["right"].get(answer.question)) is not None
    ]
    return sum(marks), len(marks)


def _excluded(key: dict[str, Any], answers: list[Answer], checks: tuple[int, int]) -> str:
    """Why the rule leaves this rater out; empty where it does not."""
    asked = len(key["forms"][0]) * len(key["questions"])
    if len(answers) < LEAST_ANSWERED * asked:
        return f"{len(answers)} of {asked} answers"
    right, of = checks
    if of - right > MOST_WRONG * of:
        return f"{of - right} of {of} checks wrong"
    return ""


def guesser_passes(key: dict[str, Any]) -> float:
    """The chance that someone who guesses throughout passes the checks."""
    asked = sum(len(trial["right"]) for trial in key["trials"].values())
    return float(binom.cdf(math.floor(MOST_WRONG * asked), asked, 1 - 1 / key["choices"]))


def _question(
    key: dict[str, Any], raters: list[list[Answer]], question: str, draws: int, seed: int
) -> dict[str, Any]:
    """One column of Table 4."""
    methods = key["methods"]
    main = [
        [a for a in own if a.question == question and key["trials"][a.trial]["kind"] == MAIN]
        for own in raters
    ]
    first = [[a for a in own if not a.again] for own in main]
    members, counts = tally(key, first)
    votes, total = counts.sum((0, 1)), counts.sum()
    if not total:
        raise UserError(f"no answer to the question {question!r} can be used")
    offered = (counts.sum((0, 2))[:, None] * members).sum(0)
    logs = statistics.strengths(members, counts.sum(0, keepdims=True))[0]
    clustered: list[tuple[float, float] | None] = [None] * len(methods)
    spread = clustered
    if len(raters) >= FEWEST:
        weights = statistics.resample(len(raters), draws, seed)
        sampled = np.einsum("dr,rsm->dsm", weights, counts)
        with np.errstate(invalid="ignore"):
            shares = sampled.sum(1) / sampled.sum((1, 2))[:, None]
        clustered = [*statistics.interval(shares)]
        spread = [*statistics.interval(statistics.strengths(members, sampled))]
    # Agreement is on which clip of a trial, by its place before rotation: balanced over methods, so
    # that a preference for one method in all trials counts as agreement.
    units = defaultdict(list)
    for answer in (a for own in first for a in own):
        base = list(key["trials"][answer.trial]["clips"])
        units[answer.trial].append(str(base.index(answer.clip)))
    return {
        "answers": int(total),
        "methods": {
            name: {
                "votes": int(votes[i]),
                "offered": int(offered[i]),
                "share": float(votes[i] / total),
                "wilson": statistics.wilson(int(votes[i]), int(total)),
                "bootstrap": clustered[i],
                "strength": float(logs[i]),
                "strength_interval": spread[i],
            }
            for i, name in enumerate(methods)
        },
        "alpha": statistics.alpha(list(units.values())),
        "repeated": _repeated(main),
    }


def tally(key: dict[str, Any], raters: Sequence[Sequence[Answer]]) -> tuple[np.ndarray, np.ndarray]:
    """Which methods meet in which set (sets, m); votes by rater, set, method (r, sets, m)."""
    methods = key["methods"]
    trials = {t: v for t, v in key["trials"].items() if v["kind"] == MAIN}
    sets = sorted({tuple(sorted(trial["clips"].values())) for trial in trials.values()})
    members = np.array([[name in group for name in methods] for group in sets])
    counts = np.zeros((len(raters), len(sets), len(methods)))
    for rater, own in enumerate(raters):
        for answer in own:
            group = sets.index(tuple(sorted(trials[answer.trial]["clips"].values())))
            counts[rater, group, methods.index(answer.method)] += 1
    return members, counts


def _repeated(raters: list[list[Answer]]) -> dict[str, Any]:
    """How often a rater chose the same clip when a trial came again."""
    same = total = 0
    for own in raters:
        before = {a.trial: a.clip for a in own if not a.again}
        pairs = [(before[a.trial], a.clip) for a in own if a.again and a.trial in before]
        same, total = same + sum(a == b for a, b in pairs), total + len(pairs)
    share = same / total if total else None
    return {"same": same, "of": total, "share": share, "wilson": statistics.wilson(same, total)}


def text(result: dict[str, Any]) -> str:
    """`analyse`'s result as lines for a terminal."""
    raters = result["raters"]
    of = f"study {result['study']}, {result['corpus']} {result['split']}"
    lines = [
        f"{result['source'].upper()}; {of}: raters counted: {raters['counted']}, "
        f"left out by the rule: {len(raters['excluded'])}, refusals: {len(result['refused'])}"
    ]
    for name, column in result["questions"].items():
        agreed = "-" if column["alpha"] is None else f"{column['alpha']:.2f}"
        again = column["repeated"]
        lines.append(
            f"{name}: {column['answers']} answers, Krippendorff's alpha {agreed}, "
            f"repeated trials answered alike {again['same']}/{again['of']}"
        )
        for method, row in column["methods"].items():
            lines.append(
                f"  {method:16} {100 * row['share']:6.2f} % {span(row['wilson'], 100.0)}, "
                f"over raters {span(row['bootstrap'], 100.0)}; strength {row['strength']:+.2f} "
                f"{span(row['strength_interval'])}"
            )
    return "\n".join(lines)


def where(file: str, row: int | None) -> str:
    """Where in the answers something stands, as text."""
    return file if row is None else f"{file} row {row}"


def span(interval: tuple[float, float] | None, scale: float = 1.0) -> str:
    """An interval as text, in per cent where `scale` is 100; a dash where there is none."""
    if interval is None:
        return "–"
    low, high = (f"{scale * edge:.1f}" if scale == 100 else f"{edge:+.2f}" for edge in interval)
    return f"[{low}, {high}]"
