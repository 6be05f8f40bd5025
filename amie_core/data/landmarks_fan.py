"""68 landmarks by the package face-alignment (Bulat and Tzimiropoulos 2017): a tool for a GPU.

Its two weight files are the user's: they are taken from the torch hub cache, and downloaded only
when this backend is asked for by name. "auto" never downloads.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from amie_core.data.landmarks import Detection
from amie_core.errors import UserError

WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")


def cached() -> bool:
    """Whether both weight files lie in the torch hub cache."""
    return all((hub() / "checkpoints" / name).is_file() for name in WEIGHTS)


def hub() -> Path:
    """torch.hub.get_dir() without torch, which takes a second to import."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    return Path(os.environ.get("TORCH_HOME", cache)).expanduser() / "hub"


def at_hand() -> bool:
    """Whether it can be used at once and at a useful speed: weights cached, and a GPU."""
    if not cached():
        return False
    import torch

    return torch.cuda.is_available()


class FaceAlignmentBackend:
    """Faces from S3FD, landmarks from 2DFAN-4. `network`: a ready FaceAlignment (for tests)."""

    name = "face-alignment"

    def __init__(self, network: Any = None) -> None:
        self._network = network or _network()

    def detect(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces of the frame, surest first."""
        boxes = self._network.face_detector.detect_from_image(frame.copy())
        numbers = ([float(value) for value in box[:5]] for box in boxes)
        faces = [Detection((a, b, c, d), score) for a, b, c, d, score in numbers]
        return sorted((f for f in faces if f.score > 0.5), key=lambda f: -f.score)

    def landmarks(
        self, frame: UInt8[np.ndarray, "h w 3"], place: Detection
    ) -> tuple[Float[np.ndarray, "68 2"], float]:
        """68 points in px; the score is the mean height of the heat maps' peaks."""
        points, scores, _ = self._network.get_landmarks_from_image(
            frame, detected_faces=[np.array([*place.box, place.score])], return_landmark_score=True
        )
        score = float(np.clip(np.mean(scores[0]), 0, 1))
        return np.asarray(points[0], np.float32)[:, :2], score


def _network() -> Any:
    import torch
    from face_alignment import FaceAlignment, LandmarksType

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:  # flip_input would double the cost; compile would write outside the workspace
        return FaceAlignment(LandmarksType.TWO_D, device=device, flip_input=False, compile=False)
    except OSError as error:  # no network: URLError
        raise UserError(
            f"face-alignment needs {' and '.join(WEIGHTS)} in {hub() / 'checkpoints'}: put them "
            "there, or use --backend mesh"
        ) from error
