"""What G changes of a face, laid over the picture it comes from, at that picture's own resolution.

G works on a small aligned face. Its changes (pixels moved, colours added) are enlarged and applied
to the large picture, so that hair, background and skin stay as sharp as they were.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.config import FACE_SIZE
from amie_core.data.alignment import warp
from amie_core.model.lips import region

LONGEST = 1280  # px: longer side of a video of a whole picture
REPAINTED = 0.10  # change of colour, of 1, from which half of a pixel's own detail is given up


def whole(
    image: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 3"]
) -> tuple[UInt8[np.ndarray, "_ _ 3"], Float[np.ndarray, "2 3"]]:
    """The picture as a video can have it (even sides, at most LONGEST), and `matrix` from there."""
    longer = max(image.shape[:2])
    if longer > LONGEST:
        ratio = LONGEST / longer
        image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([1 / ratio, 1 / ratio, 1])
    height, width = (side - side % 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[:height, :width]), matrix


def face_alone(
    image: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 3"], size: int
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "2 3"]]:
    """The aligned face at size², cut from the picture itself, and the way from its px to 256."""
    return warp(image, matrix, size), np.diag([FACE_SIZE / size, FACE_SIZE / size, 1.0])[:2]


class Canvas:
    """A picture and the face in it; `frame` is the picture with that face changed.

    picture: what the video shows; place: the similarity from its px to the aligned face's 256-px
    units; seen: the face as the network saw it; lip_box: the mouth's, in 256ths.
    """

    def __init__(
        self,
        picture: UInt8[np.ndarray, "h w 3"],
        place: Float[np.ndarray, "2 3"],
        seen: UInt8[np.ndarray, "s s 3"],
        lip_box: tuple[int, int, int, int],
    ) -> None:
        self.picture = picture
        inverse = cv2.invertAffineTransform(place)
        y, x = np.nonzero(region(lip_box, FACE_SIZE))
        corners = np.array([(a, b) for a in (x.min(), x.max()) for b in (y.min(), y.max())])
        at = corners @ inverse[:, :2].T + inverse[:, 2]
        height, width = picture.shape[:2]
        left, top = np.clip(np.floor(at.min(0)).astype(int) - 1, 0, (width - 2, height - 2))
        right, bottom = np.clip(np.ceil(at.max(0)).astype(int) + 2, (2, 2), (width, height))
        self.part = slice(top, bottom), slice(left, right)  # all of the picture that can change
        self.shape = int(right - left), int(bottom - top)  # in cv2's order
        # px of that part to the network's; cv2 counts both from the middle of the first one.
        ratio = len(seen) / FACE_SIZE
        shrink = np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2]])
        offset = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], np.float64)
        self.to_network = shrink @ np.vstack([place @ offset, [0, 0, 1]])
        # A movement in the network's [-1, 1], turned and scaled to px of the picture.
        self.turn = (inverse[:, :2] * (FACE_SIZE / 2)).astype(np.float32)
        grid = np.meshgrid(np.arange(self.shape[0]), np.arange(self.shape[1]))
        self.grid = np.stack(grid, -1).astype(np.float32)
        # What the network saw of the picture, and what it could not see.
        self.coarse = self._enlarge(seen.astype(np.float32) / 255)
        self.detail = picture[self.part].astype(np.float32) / 255 - self.coarse

    def _enlarge(self, values: np.ndarray) -> np.ndarray:
        """Values of the network's pixels, at the pixels of the part."""
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        edge = cv2.BORDER_REPLICATE
        return cv2.warpAffine(values, self.to_network, self.shape, flags=how, borderMode=edge)

    def frame(
        self,
        colours: Float[np.ndarray, "s s 3"],
        flow: Float[np.ndarray, "s s 2"] | None = None,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """The picture with a change of its face (see model.composition.Change)."""
        colours = self._enlarge(colours)
        coarse, detail = self.coarse, self.detail
        if flow is not None:
            at = self.grid + self._enlarge(flow) @ self.turn.T
            coarse, detail = (
                # Both coordinates in one map leave the second empty, which cv2's stubs do not know.
                cv2.remap(part, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
                for part in (coarse, detail)
            )
        # Where much is repainted, as in an opened mouth, what was there must not shine through.
        painted = cv2.blur(np.abs(colours).max(2), (5, 5)) / REPAINTED
        part = coarse + colours + detail / (1 + painted**2)[..., None]
        frame = self.picture.copy()
        frame[self.part] = (part * 255 + 0.5).clip(0, 255).astype(np.uint8)
        return frame
