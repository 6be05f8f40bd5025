"""What preparation asks of a landmark finder, and where a face is."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8

SURE = 0.5  # score from which landmarks count as found
FOREHEAD = 0.215  # of brow to chin: what a face's box has above the brows (measured on GRID)


@dataclass(frozen=True)
class Detection:
    """A face: box (left, top, right, bottom) px of the upright face, score, roll in radians."""

    box: tuple[float, float, float, float]
    score: float
    angle: float = 0.0

    @property
    def side(self) -> float:
        """Longer side of the box, px."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


@runtime_checkable  # the tests check types as the code runs
class LandmarkBackend(Protocol):
    """What preparation asks of a landmark finder. Both methods take an RGB frame."""

    name: str

    def detect(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces of the frame, surest first."""
        ...

    def landmarks(
        self, frame: UInt8[np.ndarray, "h w 3"], place: Detection
    ) -> tuple[Float[np.ndarray, "68 2"], float]:
        """68 points (iBUG order, px) of the face at `place`, and how sure it is one (0 … 1)."""
        ...


def face_place(points: Float[np.ndarray, "68 2"], score: float = 1.0) -> Detection:
    """The place of a face from its landmarks: where to look for it in the next frame."""
    across = points[42:48].mean(0) - points[36:42].mean(0)
    angle = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])  # points @ turn: the upright face
    upright = points @ turn
    low, high = upright.min(0), upright.max(0)
    low[1] -= FOREHEAD * (high[1] - low[1])
    centre, half = turn @ ((low + high) / 2), (high - low) / 2
    box = (*(centre - half).tolist(), *(centre + half).tolist())
    return Detection(box, score, angle)
