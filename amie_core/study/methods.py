"""The methods that a study compares: trained runs and reference rows, each a maker of clips.

All of them draw a prepared clip anew from its first frame and its sound; no name leaves the key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amie_core.errors import UserError

# Of `evaluation.reference_rows.ROWS`: no training behind them.
REFERENCES = ("copied_identity", "nearest_audio")


@dataclass(frozen=True)
class Method:
    """One method under the name that the study gives it.

    about: what the key keeps of it; frames: the clip of a manifest's `file` as the method makes
    it, (n, s, s, 3) uint8, from its first frame and its sound.
    """

    name: str
    about: dict[str, Any]
    frames: Callable[[str], np.ndarray]


def open_methods(words: Sequence[str], data: Path, device: str = "cpu") -> list[Method]:
    """Two methods or more: run folders, NAME=FOLDER, or names of reference rows.

    A run without a name has its method's, for AMIE the row of Table 3. data: the prepared clips
    that they will speak. Raises UserError for what is no run, has another MFCC rate, or whose name
    is taken.
    """
    runs = [_run(word, data, device) for word in words if word not in REFERENCES]
    if len(words) < 2 or not runs:
        raise UserError(
            "a study compares at least two methods, one of them a run: give more --runs"
        )
    size = max(method.about["image_size"] for method in runs)
    found = iter(runs)
    methods = [_reference(w, data, size) if w in REFERENCES else next(found) for w in words]
    names = [method.name for method in methods]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two methods are called {name!r}: name runs, --runs NAME=FOLDER")
        if name.startswith(("real", "shift")):
            raise UserError(f"a method cannot be called {name!r}: name it, --runs NAME=FOLDER")
    return methods


def _run(word: str, data: Path, device: str) -> Method:
    """A trained run of the command line."""
    from amie_core.data import store
    from amie_core.machine import pick_device
    from amie_core.model.talker import spoken
    from amie_core.training.checkpoint import load_generator

    name, equals, path = word.partition("=")
    place = Path(path if equals else word)
    generator, meta = load_generator(place, pick_device(device))
    if store.settings(data).get("mfcc_rate") != meta["mfcc_rate"]:
        raise UserError(f"{data} has not the MFCC rate of {place}, {meta['mfcc_rate']} Hz")
    method = str(meta.get("method", "amie"))
    own = str(meta["row"]) if method == "amie" else method

    def frames(file: str) -> np.ndarray:
        clip = store.load_clip(data, file, size=meta["image_size"])
        return spoken(generator, meta, clip)

    kept = ("profile", "row", "seed", "step", "commit", "image_size")
    about = {"run": place.resolve().name, "method": method, **{k: meta.get(k) for k in kept}}
    return Method(name if equals and name else own, about, frames)


def _reference(name: str, data: Path, size: int) -> Method:
    """A reference row at the size of the runs beside it."""
    from amie_core.data import store
    from amie_core.evaluation.reference_rows import ROWS, NearestAudio

    nearest = NearestAudio(data, size) if name == "nearest_audio" else None

    def frames(file: str) -> np.ndarray:
        clip = store.load_clip(data, file, size=size)
        if nearest is not None:
            return nearest.frames(clip, file)
        return np.repeat(clip.frames[:1], len(clip.frames), axis=0)

    return Method(name, {"reference": ROWS[name], "image_size": size}, frames)
