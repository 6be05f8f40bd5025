"""The paper's printed numbers put to arithmetic, and to our own runs. Evidence, no verdicts.

The 8-bit hypothesis: PSNR computed on unsigned 8-bit pictures wraps around. With an error e in
grey levels the difference wraps to e mod 256 and its square to e² mod 256, so the legacy mean
squared error is E[e² mod 256]: equal to the true one while |e| < 16, far smaller beyond.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from amie_core.paper import CLAIMS, TABLE_1, TABLE_2, TABLE_3, TABLE_4, VOLUNTEERS

if TYPE_CHECKING:
    import pandas as pd

Deposit = Mapping[str, Any]
PEAK = 255.0**2
ROUNDED = 0.005  # per cent: how far a printed share may be from the counted one


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio of a mean squared error in grey levels, dB."""
    return float(10 * np.log10(PEAK / mse))


def mse_at(db: float) -> float:
    """The mean squared error that a PSNR stands for."""
    return float(PEAK / 10 ** (db / 10))


def wrapped(errors: Int[np.ndarray, " n"]) -> float:
    """Legacy PSNR of integer errors, dB: of E[e² mod 256]."""
    return psnr(float(np.mean((errors.astype(np.int64) ** 2) % 256)))


def read_as(errors: Float[np.ndarray, " n"], db: float) -> float:
    """What the legacy code reads where errors of this shape, scaled, have a true PSNR of `db`."""
    scaled = errors * np.sqrt(mse_at(db) / np.mean(errors**2))
    return wrapped(np.round(scaled).astype(np.int64))


def shapes(count: int = 200_000, seed: int = 0) -> dict[str, Float[np.ndarray, " _"]]:
    """Errors of known shape, from none but light to heavy tails, of unit deviation or near."""
    random = np.random.default_rng(seed)
    laplace = random.laplace(size=count)
    # Nine tenths of a face hardly change, one tenth (mouth, edges) changes a lot.
    mixed = random.normal(size=count) * np.where(random.random(count) < 0.1, 1.0, 0.1)
    return {
        "Gaussian": random.normal(size=count),
        "Laplace": laplace,
        "a tenth of the pixels ten times as far off": mixed,
    }


def kurtosis(errors: Float[np.ndarray, " n"]) -> float:
    """E[e⁴]/E[e²]²: 3 for a Gaussian, 6 for a Laplacian; more is heavier tails."""
    return float(np.mean(errors**4) / np.mean(errors**2) ** 2)


def errors_of(
    strips: Mapping[str, UInt8[np.ndarray, "_ _ 3"]],
) -> dict[str, Float[np.ndarray, " _"]]:
    """Signed errors in grey levels of every deposited strip against the real one."""
    real = strips["real"].astype(np.float64)
    return {name: (strip - real).ravel() for name, strip in strips.items() if name != "real"}


def hypothesis(
    errors: Mapping[str, Float[np.ndarray, " _"]], true: float = TABLE_3[-1].psnr
) -> "pd.DataFrame":
    """A line a set of errors: its own true and legacy PSNR, tails, and its reading at `true` dB."""
    import pandas as pd

    lines = {}
    for name, e in errors.items():
        own = float(np.mean(e**2))
        lines[name] = {
            "true PSNR, dB": round(psnr(own), 2) if own else None,
            "legacy PSNR, dB": round(wrapped(np.round(e).astype(np.int64)), 2) if own else None,
            "kurtosis": round(kurtosis(e), 1) if own else None,
            "errors beyond ±16": f"{np.mean(np.abs(e) >= 16):.1%}",
            f"legacy at {true:.2f} dB": round(read_as(e, true), 2) if own else None,
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def pairs(cells: Sequence[Deposit]) -> Float[np.ndarray, "n 2"]:
    """(true, legacy) PSNR of every clip of every deposited cell."""
    found = [
        (clip["psnr_rgb"], clip["psnr_rgb_uint8_legacy"])
        for cell in cells
        for split in cell["splits"].values()
        for clip in split["clips"]
        if clip["psnr_rgb"] is not None and clip["psnr_rgb_uint8_legacy"] is not None
    ]
    return np.array(found, np.float64).reshape(-1, 2)


def near(of: Float[np.ndarray, "n 2"], db: float = TABLE_3[-1].psnr, width: float = 0.75) -> str:
    """What the legacy code reads of clips whose true PSNR is within `width` of `db`, in words."""
    read = of[np.abs(of[:, 0] - db) <= width, 1]
    if not len(read):
        return f"no clip of ours is within {width} dB of {db} dB"
    low, middle, high = np.percentile(read, [5, 50, 95])
    return (
        f"{len(read)} clips of ours within {width} dB of {db} dB read {middle:.2f} dB in the "
        f"median, 90 % of them {low:.2f} to {high:.2f} dB; Table 1 has {TABLE_1[-1].psnr} dB"
    )


def possible(shares: Sequence[float], answers: int) -> bool:
    """Whether counts that sum to `answers` round to these percentages (two decimals)."""
    lowest = [int(np.ceil((share - ROUNDED) / 100 * answers - 1e-9)) for share in shares]
    highest = [int(np.floor((share + ROUNDED) / 100 * answers + 1e-9)) for share in shares]
    fits = all(low <= high for low, high in zip(lowest, highest, strict=True))
    return fits and sum(lowest) <= answers <= sum(highest)


def votes(people: int = VOLUNTEERS, most: int = 400) -> dict[str, list[int]]:
    """Answers a person, up to `most`, with which Table 4 (a column, both) can be whole counts."""
    realistic = [row.realistic for row in TABLE_4]
    synchronous = [row.synchronization for row in TABLE_4]
    each = range(1, most + 1)
    first = [k for k in each if possible(realistic, people * k)]
    second = [k for k in each if possible(synchronous, people * k)]
    return {
        "Realistic": first,
        "Synchronization": second,
        "both": sorted(set(first) & set(second)),
    }


def both_tables() -> "pd.DataFrame":
    """The method of the paper on LRW as Tables 1 and 3 print it."""
    import pandas as pd

    ours = {"Table 1": TABLE_1[-1], "Table 3": TABLE_3[-1]}
    rows = {n: {"PSNR": s.psnr, "SSIM": s.ssim, "LMD": s.lmd} for n, s in ours.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.loc["difference"] = (frame.loc["Table 1"] - frame.loc["Table 3"]).round(2)
    return frame


def table_2() -> "pd.DataFrame":
    """Table 2 by column: who is best, and how far the paper's method is from it."""
    import pandas as pd

    rows = {}
    for field, best in (("psnr", max), ("ssim", max), ("lmd", min)):
        values = {score.method: getattr(score, field) for score in TABLE_2}
        winner = best(values, key=lambda name: values[name])
        ours = TABLE_2[-1]
        rows[field.upper()] = {
            "best": winner, "its value": values[winner], "AMIE": getattr(ours, field),
            "difference": round(getattr(ours, field) - values[winner], 2),
            "AMIE on LRW (Table 1)": getattr(TABLE_1[-1], field),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index")


def runs_say(
    cells: Sequence[Deposit], real: Deposit, again: Sequence[Deposit] = ()
) -> dict[str, str]:
    """What deposited cells say to the paper's claims, by the claim's key.

    real: `cells.real`; again: the cells of the replication.
    """
    from amie_core.experiments.claims import (
        TRIALS,
        effects,
        replication,
        verdict,
        with_replication,
    )

    found = with_replication(effects(cells, real), replication(again, real))
    said = dict.fromkeys(("lrw_best", "lrw_same_model"), "needs LRW")
    said["votes"] = "the paper's own ballots are not to be had; notebook 07 has the kit"
    known = {cell["name"] for cell in cells}
    for claim, trial in TRIALS:
        pairs = [pair for contrast in trial.contrasts for pair in contrast.pairs]
        told = {row for pair in pairs for row in pair} <= known
        said[claim.key] = verdict(claim.key, found) if told else "rows not run"
    for key, wanted in (("grid_best_ssim_lmd", ("SSIM", "LMD")), ("always_best", ("PSNR", "SSIM")),
                        ("zhou_ssim", ("SSIM",))):  # fmt: skip
        name, label = ("davs", "DAVS") if key == "zhou_ssim" else ("ours", "AMIE")
        place = _places(cells, name, label, wanted)
        said[key] = f"{said[key]}; {place}" if key in said else place
    return said


def _places(cells: Sequence[Deposit], name: str, label: str, wanted: Sequence[str]) -> str:
    """The place of a method among the methods, unseen faces, by each column."""
    from amie_core.experiments.ablation import values
    from amie_core.experiments.comparison import CELLS, COLUMNS

    parts = []
    for heading, (metric, *_) in COLUMNS.items():
        short = heading.split(",")[0].split(" ")[0]
        found = values(cells, metric, "test_unseen")
        means = {cell: float(np.mean(list(found[cell].values()))) for cell in CELLS
                 if cell in found}  # fmt: skip
        if short in wanted and name in means:
            order = sorted(means, key=lambda k: means[k], reverse="↑" in heading)
            parts.append(f"{order.index(name) + 1} of {len(order)} in {short}")
    return f"{label} is {', '.join(parts)} (unseen faces)" if parts else "methods not run"


def claims(said: Mapping[str, str]) -> "pd.DataFrame":
    """Every quantitative claim: where, what, whether the printed numbers bear it out, our runs.

    said: what our runs say, by the claim's key; "not tested here" where nothing.
    """
    import pandas as pd

    words = {True: "yes", False: "no", None: "cannot be told"}
    return pd.DataFrame([
        {"section": c.section, "claim": c.quote, "borne out by the printed numbers": words[c.holds],
         "arithmetic": c.reason, "our runs": said.get(c.key, "not tested here")}
        for c in CLAIMS
    ])  # fmt: skip
