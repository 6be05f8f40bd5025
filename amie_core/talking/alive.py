"""Eyes that blink and a head that drifts a little, for the videos of `amie talk --alive`.

Nothing that is measured has it: no sound says when a person blinks. Times and ways are drawn by a
seed; blinks as people have them at rest (one in about four seconds, shut within a tenth of a
second, open again in two: Stern, Walrath and Goldstein 1984).
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.config import FACE_SIZE, FPS
from amie_core.data import alignment
from amie_core.model.lips import Flow, smoothstep

BETWEEN = (2.0, 6.0)  # s from one blink to the next
SHUT = (0.5, 1.0, 1.0, 0.7, 0.3)  # how far the eyes are shut in the frames of a blink
LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))  # upper and lower landmarks of the eyes
MEET = 1.05  # of the way to the lower lid, that the upper one goes
# The head's drift from side to side, up and down: px at 256 of each of the waves, whose mean it is
# (a deviation of .4 of it); its turn.
SWAY, NOD = 1.6, 1.0
TURN = np.deg2rad(0.5)
SLOW = (0.11, 0.19, 0.31)  # Hz, of the waves that the drift is made of
STEP = 4  # px at 256 between the places where the movement is worked out
FREE, HELD = 100.0, 128.0  # px at 256 from the nose: the drift is whole up to here, nothing there


class _Wave(NamedTuple):
    phases: np.ndarray
    size: float

    def at(self, seconds: float) -> float:
        """Its value: the mean of waves `size` high, less what that is at the beginning."""
        waves = np.sin(2 * np.pi * np.array(SLOW) * seconds + self.phases) - np.sin(self.phases)
        return float(self.size * waves.mean())


class Alive:
    """`frame` gives a video's picture with its face blinking and drifting.

    place: the similarity from the picture's px to the aligned face's 256-px units; points: the
    face's landmarks in those.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        place: Float[np.ndarray, "2 3"],
        points: Float[np.ndarray, "68 2"],
        seed: int = 0,
    ) -> None:
        self.random = np.random.default_rng([seed, 23])
        self.rest = points
        self.back = cv2.invertAffineTransform(place)
        self.sway, self.nod, self.turn = (
            _Wave(self.random.uniform(0, 2 * np.pi, len(SLOW)), size) for size in (SWAY, NOD, TURN)
        )
        self.blinks: list[int] = [self._next(0)]
        self.middle = points[30].astype(np.float64)
        axis = np.arange(0, FACE_SIZE + STEP, STEP, dtype=np.float32)
        grid = np.stack(np.meshgrid(axis, axis), -1)
        self.flow = Flow(points, grid.reshape(-1, 2))
        self.grid = grid
        far = np.linalg.norm(grid - self.middle, axis=2)
        self.free = smoothstep((HELD - far) / (HELD - FREE))[..., None]
        corners = alignment.transform(
            np.array([[0, 0], [0, 256], [256, 0], [256, 256]], np.float64), self.back
        )
        left, top = np.clip(np.floor(corners.min(0)).astype(int), 0, np.array(shape[::-1]) - 2)
        right, bottom = np.clip(np.ceil(corners.max(0)).astype(int), 2, shape[::-1])
        self.part = slice(top, bottom), slice(left, right)
        self.size = int(right - left), int(bottom - top)
        here = np.vstack([place, [0, 0, 1]]) @ [[1, 0, left], [0, 1, top], [0, 0, 1]]
        self.to_grid = np.diag([1 / STEP, 1 / STEP]) @ here[:2]
        pixels = np.meshgrid(np.arange(self.size[0]), np.arange(self.size[1]))
        self.pixels = np.stack(pixels, -1).astype(np.float32)

    def _next(self, after: int) -> int:
        return after + len(SHUT) + round(float(self.random.uniform(*BETWEEN)) * FPS)

    def shut(self, number: int) -> float:
        """How far the eyes are shut in the frame of that number; asked in rising order."""
        while number >= self.blinks[-1] + len(SHUT):
            self.blinks.append(self._next(self.blinks[-1]))
        phase = number - self.blinks[-1]
        return SHUT[phase] if phase >= 0 else 0.0

    def frame(self, picture: UInt8[np.ndarray, "h w 3"], number: int) -> UInt8[np.ndarray, "h w 3"]:
        """The picture of that number, alive."""
        new, shut, seconds = self.rest.copy(), self.shut(number), number / FPS
        for upper, lower in LIDS:
            new[upper] += shut * MEET * (self.rest[lower] - self.rest[upper])
        angle = self.turn.at(seconds)
        away = self.grid - self.middle - [self.sway.at(seconds), self.nod.at(seconds)]
        turned = away @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moves = (turned + self.middle - self.grid) * self.free
        if shut > 0:
            moves = moves + self.flow(new).reshape(moves.shape) * self.free
        moves = (moves @ self.back[:, :2].T).astype(np.float32)
        how, edge = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
        fine = cv2.warpAffine(moves, self.to_grid, self.size, flags=how, borderMode=edge)
        part = np.ascontiguousarray(picture[self.part])
        moved = cv2.remap(part, self.pixels + fine, None, cv2.INTER_LINEAR, borderMode=edge)  # type: ignore[call-overload]
        out = picture.copy()
        out[self.part] = moved
        return out
