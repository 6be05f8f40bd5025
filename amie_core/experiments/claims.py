"""The paper's claims put to deposited cells, as `paper.CLAIMS` fixed it before they were made.

Of each contrast and metric two things are asked: does it differ from nothing (two-sided), and is
the effect that counts, the paper's own where it prints one, excluded (one-sided)? Student's t over
seeds, paired; Holm's correction over every p of every claim at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from amie_core.config import METHODS, PEERS
from amie_core.experiments.ablation import (
    LEVEL,
    METRICS,
    PRINTED,
    Deposit,
    first_split,
    mean_interval,
    values,
    with_interval,
)
from amie_core.paper import (
    ALPHA,
    CLAIMS,
    LIPS,
    LOOKS,
    NEARER,
    REPLICATION,
    SMALLEST,
    TABLE_2,
    TABLE_3,
    Contrast,
    Pair,
    Trial,
    registered_replication,
)

if TYPE_CHECKING:
    import pandas as pd

RULE = (
    "A metric bears a claim out when its effect, paired by seed, is significantly in the claimed "
    "direction, and speaks against it when significantly in the other; it excludes the paper's "
    "effect when it is significantly smaller than that. (Student's t; p < 0.05 after Holm's "
    "correction over all tests of all claims.) A contrast comes out as claimed when a deciding "
    "metric bears it out and none speaks against it, the other way when one speaks against it; "
    "the paper's effect is excluded when every deciding metric excludes it. `No better` is borne "
    "out by a metric that excludes the effect that counts, and comes out as claimed when every "
    "deciding metric does. A claim holds when all its contrasts "
    "come out as claimed, does not hold when one comes out the other way, its effect is excluded "
    "when each contrast that does not come out as claimed excludes it; else it is undecided."
)
HOLDS, FAILS, EXCLUDED, OPEN = (
    "holds",
    "does not hold",
    "the paper's effect is excluded",
    "undecided",
)


TRIALS = [(claim, claim.trial) for claim in CLAIMS if claim.trial]


@dataclass(frozen=True)
class Effect:
    """One contrast on one metric, turned so that positive is what the paper says.

    p: two-sided, of no effect; p_excluded and p_half_excluded: one-sided, of an effect as large as
    `counts`, and half of it; all None for fewer than two seeds. adjusted, excluded: p and
    p_excluded after Holm's correction.
    """

    claim: str
    contrast: Contrast
    metric: str
    decides: bool
    counts: float
    by_seed: dict[int, float]
    p: float | None
    p_excluded: float | None
    p_half_excluded: float | None
    adjusted: float | None = None
    excluded: float | None = None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def outcome(self) -> str:
        """What it says of its claim (RULE)."""
        if self.adjusted is None or self.excluded is None:
            return OPEN
        sure, small = self.adjusted < ALPHA, self.excluded < ALPHA
        if self.contrast.expected == "no better":
            return FAILS if sure and self.mean > 0 else HOLDS if small else OPEN
        if sure:
            return HOLDS if self.mean > 0 else FAILS
        return EXCLUDED if small else OPEN


def printed_effect(pairs: Sequence[Pair], metric: str) -> float | None:
    """The difference that the paper prints, positive where the first is better.

    Mean over the pairs of which it prints both; None where it prints none.
    """
    name = PRINTED.get(metric)
    if name is None:
        return None
    if any(row in PEERS for pair in pairs for row in pair):
        cells = {label: "ours" if method == "amie" else method for method, label in METHODS.items()}
        rows = {cells[score.method]: score for score in TABLE_2}
    else:
        rows = {score.row: score for score in TABLE_3}
    known = [(rows[a], rows[b]) for a, b in pairs if a in rows and b in rows]
    if not known:
        return None
    return METRICS[metric][1] * float(np.mean([getattr(a, name) - getattr(b, name)
                                               for a, b in known]))  # fmt: skip


def counting(contrast: Contrast, metric: str) -> float:
    """The size of effect that counts: the paper's own in the claimed direction, or SMALLEST."""
    printed = printed_effect([contrast.like] if contrast.like else contrast.pairs, metric)
    claimed = -printed if printed and contrast.expected == "worse" else printed
    return max(round(claimed or 0.0, 3), SMALLEST[metric])


def scores(cells: Sequence[Deposit], metric: str, split: str) -> dict[str, dict[int, float]]:
    """Values by row and seed, more being better; a dotted metric is one of Fig. 3's distances."""
    if "." in metric:
        space, kind = metric.split(".")
        table: dict[str, dict[int, float]] = {}
        for cell in cells:
            found = cell["distances"].get(space, {}).get(kind)
            if found is not None:
                table.setdefault(cell["name"], {})[cell["seed"]] = -found["value"]
        return table
    sign = METRICS[metric][1]
    return {
        row: {seed: sign * value if sign else -abs(value - 1) for seed, value in seeds.items()}
        for row, seeds in values(cells, metric, split).items()
    }


def contrasted(contrast: Contrast, of: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """The contrast by seed, where every row of it has that seed; positive is what is claimed."""
    rows = {row for pair in contrast.pairs for row in pair}
    common = set.intersection(*(set(of.get(row, {})) for row in rows))
    sign = -1 if contrast.expected == "worse" else 1
    return {
        seed: sign * float(np.mean([of[a][seed] - of[b][seed] for a, b in contrast.pairs]))
        for seed in sorted(common)
    }


def effects(cells: Sequence[Deposit], real: Mapping[str, Any]) -> list[Effect]:
    """Every registered test, with Holm's correction over all of them. real: of `cells.real`.

    Cells of the replication are none of this study's, whatever seeds are asked for.
    """
    cells, found = [cell for cell in cells if "replication" not in cell], []
    for claim, trial in TRIALS:
        for contrast in trial.contrasts:
            for metric in (*trial.metrics, *trial.beside):
                effect = _effect(claim.key, trial, contrast, metric, cells, real)
                if effect is not None:
                    found.append(effect)
    return _holm(found)


def _effect(
    key: str, trial: Trial, contrast: Contrast, metric: str, cells: Sequence[Deposit],
    real: Mapping[str, Any],
) -> Effect | None:  # fmt: skip
    """One test, its p values as they are; None where no seed has all of its rows."""
    of = scores(cells, metric, trial.split or first_split(cells))
    by_seed = contrasted(contrast, of)
    if not by_seed:
        return None
    if "." in metric:
        space, kind = metric.split(".")
        floor = real["distances"]["floor"][space][kind]["value"]
        base = [-v for v in of[contrast.pairs[0][1]].values()]
        counts = NEARER * max(float(np.mean(base)) - floor, 1e-9)
    else:
        counts = counting(contrast, metric)
    return Effect(key, contrast, metric, metric in trial.metrics, counts, by_seed,
                  *_p_values([*by_seed.values()], counts))  # fmt: skip


def replication(cells: Sequence[Deposit], real: Mapping[str, Any]) -> list[Effect]:
    """The tests of `paper.REPLICATION` on their own seeds, corrected among themselves and for the
    second look.

    One that lacks a seed has no p, and counts as a test in the others'. Cells that were made under
    another version of the replication, or under none, do not count.
    """
    version, found = registered_replication(), []
    for again in REPLICATION:
        trial, contrast = again.asked()
        own = [cell for cell in cells
               if cell["seed"] in again.seeds and cell.get("replication") == version]  # fmt: skip
        effect = _effect(again.claim, trial, contrast, again.metric, own, real)
        if effect is None:
            continue
        if len(effect.by_seed) < len(again.seeds):
            effect = replace(effect, p=None, p_excluded=None, p_half_excluded=None)
        found.append(effect)
    return _holm(found, tests=len(REPLICATION), looks=LOOKS)


def with_replication(found: Sequence[Effect], again: Sequence[Effect]) -> list[Effect]:
    """The first study's effects, but those that it left open and the replication decides."""
    decided = {(e.claim, e.contrast.words, e.metric): e for e in again if e.outcome != OPEN}
    return [
        decided.get((e.claim, e.contrast.words, e.metric), e) if e.outcome == OPEN else e
        for e in found
    ]


def _p_values(deltas: Sequence[float], counts: float) -> tuple[float | None, ...]:
    """Two-sided p of no effect; one-sided p of one as large as `counts`, and as half of it."""
    from scipy import stats

    if len(deltas) < 2:
        return None, None, None
    if np.ptp(deltas) <= 1e-9 * max(map(abs, deltas)):  # no spread: what is seen is sure
        mean = deltas[0]
        return float(mean == 0), float(mean >= counts), float(mean >= counts / 2)
    return (
        float(stats.ttest_1samp(deltas, 0.0).pvalue),
        float(stats.ttest_1samp(deltas, counts, alternative="less").pvalue),
        float(stats.ttest_1samp(deltas, counts / 2, alternative="less").pvalue),
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction of p values, in their own order."""
    adjusted, worst = [0.0] * len(ps), 0.0
    for k, at in enumerate(np.argsort(ps, kind="stable")):
        worst = max(worst, min(1.0, (len(ps) - k) * ps[at]))
        adjusted[at] = worst
    return adjusted


def _holm(found: Sequence[Effect], tests: int = 0, looks: int = 1) -> list[Effect]:
    """The effects with their corrected p values: one family of differences and exclusions.

    tests: how many the family has, where some are not made yet; looks: at the same claims.
    """
    known = [e for e in found if e.p is not None and e.p_excluded is not None]
    missing = max(0, tests - len(known))
    ps = [p for e in known for p in (e.p, e.p_excluded) if p is not None] + [1.0] * 2 * missing
    ps = [min(1.0, looks * p) for p in holm(ps)]
    corrected = {id(e): (ps[2 * k], ps[2 * k + 1]) for k, e in enumerate(known)}
    return [
        replace(e, adjusted=corrected[id(e)][0], excluded=corrected[id(e)][1])
        if id(e) in corrected
        else e
        for e in found
    ]


def contrast_verdict(found: Sequence[Effect]) -> str:
    """What the effects of one contrast say together (RULE)."""
    outcomes = [effect.outcome for effect in found]
    if FAILS in outcomes:
        return FAILS
    if found and found[0].contrast.expected == "no better":
        return HOLDS if all(outcome == HOLDS for outcome in outcomes) else OPEN
    if HOLDS in outcomes:
        return HOLDS
    return EXCLUDED if outcomes and set(outcomes) == {EXCLUDED} else OPEN


def verdict(key: str, found: Sequence[Effect], *, by_lips: bool = False) -> str:
    """What the runs say to a claim, by its deciding metrics, or by those of the lips (RULE)."""
    trial = next(trial for claim, trial in TRIALS if claim.key == key)
    said = []
    for contrast in trial.contrasts:
        own = [e for e in found if e.claim == key and e.contrast == contrast]
        asked = [e for e in own if (e.metric in LIPS if by_lips else e.decides)]
        said.append(contrast_verdict(asked))
    for answer in (FAILS, OPEN):
        if answer in said or not said:
            return answer
    return HOLDS if set(said) == {HOLDS} else EXCLUDED


def table(found: Sequence[Effect]) -> "pd.DataFrame":
    """Every test, a line each: effect, interval, what counts, p values raw and corrected."""
    import pandas as pd

    lines = []
    for e in found:
        mean, interval = mean_interval([*e.by_seed.values()])
        lines.append({
            "claim": e.claim, "contrast": e.contrast.words, "metric": e.metric,
            "decides": e.decides, "said to be": e.contrast.expected, "seeds": len(e.by_seed),
            f"effect [{LEVEL:.0%}]": with_interval(mean, interval, "+.3f"),
            "counts": e.counts, "p": e.p, "p corrected": e.adjusted,
            "p of the effect that counts": e.p_excluded, "corrected": e.excluded,
            "p of half of it": e.p_half_excluded, "outcome": e.outcome,
        })  # fmt: skip
    return pd.DataFrame(lines)


def answers(found: Sequence[Effect]) -> "pd.DataFrame":
    """The claims, each with its verdict by the paper's metrics and by the lips, and evidence."""
    import pandas as pd

    lines = []
    for claim, trial in TRIALS:
        own = [e for e in found if e.claim == claim.key]
        words = []
        for contrast in trial.contrasts:
            of = [e for e in own if e.contrast == contrast and e.decides]
            numbers = [f"{_short(e.metric)} "
                       + with_interval(*mean_interval([*e.by_seed.values()]), "+.3f", ", one seed")
                       for e in of]  # fmt: skip
            words.append(f"{contrast.words}, said to be {contrast.expected}: "
                         f"{contrast_verdict(of)} ({'; '.join(numbers) or 'not run'})")  # fmt: skip
        lines.append({
            "claim": claim.key, "the paper says": claim.quote,
            "here": verdict(claim.key, found),
            "by the lips": verdict(claim.key, found, by_lips=True) if trial.beside else "–",
            "evidence, positive as claimed": " · ".join(words),
        })  # fmt: skip
    return pd.DataFrame(lines)


def _short(metric: str) -> str:
    return METRICS[metric][0].split(",")[0].rstrip(" ↑↓") if metric in METRICS else metric


def seeds_needed(spread: float, effect: float, tests: int, power: float = 0.8) -> int:
    """Seeds that a paired t needs to find an effect at ALPHA/tests (Bonferroni, Holm's worst).

    spread: deviation of the paired difference over seeds, in the effect's unit.
    """
    from scipy import stats

    for n in range(2, 1000):
        edge = stats.t.ppf(1 - ALPHA / tests / 2, n - 1)
        if stats.nct.sf(edge, n - 1, effect / spread * np.sqrt(n)) >= power:
            return n
    return 1000
