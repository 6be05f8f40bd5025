"""Metrics that need a network, on demand: identity similarity, a Fréchet distance, LSE.

They cost more than all the others together, so `evaluate` leaves them out unless asked; what is
left out says why.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from amie_core.data.store import PreparedClip
from amie_core.evaluation import metrics, syncnet

NOT_ASKED = "not asked for (amie evaluate --features)"
DEFINITIONS = {
    "identity_cosine_vgg": "cosine of φ's features (VGG16 relu2_2, ImageNet weights: mean and "
    "deviation of each channel over the face, standardised over the split's real frames) of a "
    "frame and of the clip's first; no face recognition, so to be read beside the real frames' "
    "own value",
    "frechet_vgg": "Fréchet distance of the same features of generated frames and of other real "
    "frames of the same clips; not the FID, whose network and sizes are others; real_frames is "
    "the floor that this number of frames leaves; one value a split, so no interval",
} | syncnet.DEFINITIONS  # fmt: skip
Frames = UInt8[np.ndarray, "n s s 3"]


class NetworkMetrics:
    """Sees every clip of a split with the frames made for it; `values` once all have been seen."""

    def __init__(self, features: bool, weights: str | Path | None) -> None:
        self.net = None if weights is None else syncnet.load(weights)
        self.phi = None
        if features:
            from amie_core.perceptual import Phi

            self.phi = Phi("relu2_2")
        self.scores: dict[str, list[dict[str, Any]]] = {"model": [], "real_frames": []}
        self.seen: dict[str, list[Any]] = {name: [] for name in ("made", "real", "other", "first")}

    def __call__(self, clip: PreparedClip, frames: Frames) -> dict[str, Any]:
        """Look at one clip; returns the values that stand with the clip's own."""
        values: dict[str, Any] = {}
        if self.net is not None:
            values = syncnet.values(self.net, clip, frames)
            self.scores["model"].append(values)
            self.scores["real_frames"].append(syncnet.values(self.net, clip, clip.frames))
        if self.phi is not None:
            from amie_core.evaluation import distances

            for name, pictures, which in (
                ("made", frames, distances.GENERATED),
                ("other", clip.frames, distances.GENERATED),
                ("real", clip.frames, distances.REAL),
                ("first", clip.frames, slice(0, 1)),
            ):
                self.seen[name].append(distances.features(self.phi, clip, pictures, which))
        return values

    def values(self) -> dict[str, dict[str, Any]]:
        """By metric: its definition, and its value by row, or why it was skipped."""
        found: dict[str, dict[str, Any]] = {
            name: {"definition": text} for name, text in DEFINITIONS.items()
        }
        for name in ("lse_d", "lse_c"):
            found[name] |= {"skipped": syncnet.ABSENT} if self.net is None else {
                "rows": {kind: _mean([clip[name] for clip in clips])
                         for kind, clips in self.scores.items()}
            }  # fmt: skip
        for name in ("identity_cosine_vgg", "frechet_vgg"):
            found[name] |= {"skipped": NOT_ASKED} if self.phi is None else {
                "rows": getattr(self, f"_{name}")()
            }  # fmt: skip
        return found

    def _identity_cosine_vgg(self) -> dict[str, Any]:
        from amie_core.evaluation import distances

        by = distances.standardisation(self.seen["real"])

        def unit(features: dict[str, np.ndarray]) -> np.ndarray:
            standard = (features["frame"] - by.mean["frame"]) / by.deviation["frame"]
            return standard / np.linalg.norm(standard, axis=1, keepdims=True)

        firsts = [unit(clip) for clip in self.seen["first"]]
        return {
            kind: _mean([float((unit(clip) @ first.T).mean())
                         for clip, first in zip(self.seen[name], firsts, strict=True)])
            for kind, name in (("model", "made"), ("real_frames", "real"))
        }  # fmt: skip

    def _frechet_vgg(self) -> dict[str, Any]:
        from amie_core.evaluation import distances

        by = distances.standardisation(self.seen["real"])
        sets = {
            name: (np.concatenate([clip["frame"] for clip in self.seen[name]]) - by.mean["frame"])
            / by.deviation["frame"]
            for name in ("real", "made", "other")
        }
        return {
            kind: {"mean": distances.frechet(sets[name], sets["real"]), "interval": None,
                   "clips": len(self.seen[name])}
            for kind, name in (("model", "made"), ("real_frames", "other"))
        }  # fmt: skip


def _mean(values: list[float | None]) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    interval = metrics.bootstrap_interval(known)
    return {
        "mean": float(np.mean(known)) if known else None,
        "interval": list(interval) if interval else None,
        "clips": len(known),
    }
