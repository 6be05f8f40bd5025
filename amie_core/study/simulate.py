"""Simulated raters, for tests and for trying an analysis out. They are nobody's votes.

What they write says so in every row (`source` is "simulated"), in every rater's name and in every
file name, and `answers.read` refuses it unless it is asked for by name.
"""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from amie_core.errors import UserError
from amie_core.files import write_whole
from amie_core.study import COLUMNS, SIMULATED
from amie_core.study.plan import MAIN, shown

FILES = "answers-SIMULATED-"
LAPSE = 0.03  # chance that an attentive rater answers a question at random


def made_up_strengths(methods: list[str]) -> dict[str, float]:
    """Log strengths half a unit apart, the first method's the least; they mean nothing."""
    return {name: 0.5 * rank for rank, name in enumerate(methods)}


def simulate(
    key: dict[str, Any],
    out: str | Path,
    raters: int = 42,
    *,
    strengths: Mapping[str, Mapping[str, float]] | None = None,
    careless: float = 0.1,
    seed: int = 0,
) -> list[Path]:
    """Write one CSV a simulated rater to the folder `out`, answering the whole ballot of `key`.

    strengths: log strength of each method, by question (`made_up_strengths` where None); a clip is
    chosen with probability proportional to exp(strength) (Luce). Checks are answered right but for
    lapses. `careless`: share of raters who guess throughout. The forms are used in turn.
    """
    if raters < 1 or not 0 <= careless <= 1:
        raise UserError(f"{raters} raters, {careless} of them careless: at least 1, from 0 to 1")
    for earlier in Path(out).glob(f"{FILES}*.csv"):
        earlier.unlink()  # they would be counted with these
    by_question = strengths or dict.fromkeys(key["questions"], made_up_strengths(key["methods"]))
    rng = np.random.default_rng(seed)
    guesses = set(rng.permutation(raters)[: round(careless * raters)].tolist())
    paths = []
    for number in range(raters):
        form = number % len(key["forms"])
        name = f"{SIMULATED}-{number:03d}"
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for place, (trial, turn) in enumerate(key["forms"][form]):
            clips = shown(list(key["trials"][trial]["clips"]), turn)
            for question in key["questions"]:
                odds = _odds(key["trials"][trial], clips, question, by_question[question])
                lapse = 1.0 if number in guesses else LAPSE
                odds = (1 - lapse) * odds + lapse / len(clips)
                at = int(rng.choice(len(clips), p=odds))
                seconds = f"{rng.gamma(4.0, 3.0):.0f}"
                writer.writerow([key["study"], SIMULATED, name, form, place, trial, question, at,
                                 clips[at], seconds])  # fmt: skip
        paths.append(Path(out) / f"{FILES}{number:03d}.csv")
        write_whole(paths[-1], text.getvalue().encode())
    return paths


def _odds(
    trial: dict[str, Any], clips: list[str], question: str, strengths: Mapping[str, float]
) -> np.ndarray:
    """The chance of each clip of a trial, in the order shown."""
    if trial["kind"] == MAIN:
        weights = np.exp([strengths[trial["clips"][clip]] for clip in clips])
    elif question in trial["right"]:
        weights = np.array([float(clip == trial["right"][question]) for clip in clips])
    else:
        weights = np.ones(len(clips))
    return weights / weights.sum()
