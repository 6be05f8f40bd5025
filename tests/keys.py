"""A study's key without clips, for tests of answers and analysis."""

from typing import Any

import numpy as np
import pandas as pd

from amie_core.study import QUESTIONS, plan, sample


def write_key(
    methods: list[str], trials: int = 8, choices: int = 2, seed: int = 0
) -> dict[str, Any]:
    """What `sample` would write, for clips that do not exist."""
    clips = [(f"s{i % 3}", f"u{i}") for i in range(trials + 2 * sample.CHECKS)]
    rows = pd.DataFrame(clips, columns=["speaker", "utterance"])
    rng = np.random.default_rng(seed)
    planned = sample._plan(methods, choices, rows, trials, rng)
    free = iter(range(10_000))
    found = {}
    for number, trial in enumerate(planned):
        ids = {f"c{next(free)}": method for method in trial.methods}
        found[f"t{number:02d}"] = {
            "kind": trial.kind, "clips": ids, "reference": f"c{next(free)}", "seconds": 1.0,
            "right": sample.right_answers(trial.kind, ids),
        }  # fmt: skip
    forms = plan.forms([trial.kind for trial in planned], choices, 2)
    return {
        "study": "0123456789ab", "corpus": "grid", "split": "test_seen", "profiles": ["grid"],
        "seed": seed, "commit": "0000000000", "runs": {}, "methods": methods,
        "questions": QUESTIONS, "choices": choices, "trials": found,
        "forms": [[[f"t{trial:02d}", turn] for trial, turn in form] for form in forms],
    }  # fmt: skip
