"""The study of a notebook's settings: what is compared, and its ballot in the workspace."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from amie_core.errors import UserError
from amie_core.experiments import cells
from amie_core.experiments.notebook import Settings, prepared, trained
from amie_core.files import workspace

ASKED = ("davs", "atvgnet", "ours")  # the methods of the paper's Table 4


def compared(settings: Settings) -> list[str]:
    """What a study of these settings compares, in words that `study.sample` takes.

    The three methods of the paper's Table 4 where all were trained as cells (notebook 06); else
    two reference rows and the run of notebook 03.
    """
    data = prepared(settings)
    runs = {
        name: cells.run_folder(cells.Cell(settings.profile, name, settings.seed), data)
        for name in ASKED
    }
    if all((run / "done.json").exists() for run in runs.values()):
        return [f"{name}={run}" for name, run in runs.items()]
    return ["copied_identity", "nearest_audio", f"ours={trained(settings)}"]


def ballot(
    settings: Settings, split: str = "test_seen", trials: int = 12
) -> tuple[Path, dict[str, Any]]:
    """A ballot folder of these settings in the workspace, and its key; made where it is not there.

    `trials`: at most, as many as the split has clips.
    """
    from amie_core.data.store import clips, digest
    from amie_core.study.sample import read_ballot, read_key, sample

    words, data = compared(settings), prepared(settings)
    trials = min(trials, len(clips(data, split)))
    asked = json.dumps([words, digest(data), split, trials, settings.seed])
    name = f"{settings.profile}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    folder = workspace() / "study" / name
    key = folder.with_name(f"{name}.key.json")
    if not (folder.is_dir() and key.is_file()):
        shutil.rmtree(folder, ignore_errors=True)  # without its key a ballot is worth nothing
        key.unlink(missing_ok=True)
        sample(words, data, split, folder, key, trials=trials, size=160, seed=settings.seed)
    if read_ballot(folder)["study"] != read_key(key)["study"]:
        raise UserError(f"{key} is not the key of {folder}: remove both and run this again")
    return folder, read_key(key)
