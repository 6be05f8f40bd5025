"""A picture whose mouth is moved and painted (`model.mouth`), at the picture's own resolution."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.config import FACE_SIZE
from amie_core.data import alignment
from amie_core.model.lips import INNER, Flow, region, smoothstep
from amie_core.model.own_teeth import Teeth
from amie_core.model.speaking import Painted

STEP = 4  # px at 256 between the places where the movement is worked out
STILL = 0.01  # px at 256: landmarks nearer than this to where they were have not moved
SEEN = (1.5, 3.0)  # px at 256 between lips: from none of the teeth behind them to all
EDGE = 0.7  # px at 256: deviation of the blur at the edge of what is painted


class Painter:
    """`frame` is the picture with the face in it speaking.

    picture: what the video shows; place: the similarity from its px to the aligned face's 256-px
    units; points: the face's landmarks at rest, in those units; canvas: side of G's square around
    the mouth, px at 256; size: of its picture; teeth: upper ones, the speaker's
    own or lent ones;
    given: picture and landmarks before the lips were closed, the same ones where they were not.
    """

    def __init__(
        self,
        picture: UInt8[np.ndarray, "h w 3"],
        place: Float[np.ndarray, "2 3"],
        points: Float[np.ndarray, "68 2"],
        canvas: int,
        size: int,
        teeth: Teeth | None = None,
        given: tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "68 2"]] | None = None,
    ) -> None:
        self.picture = picture
        self.given, own = given or (picture, points)
        box = alignment.lip_box(points[None])
        self.back = cv2.invertAffineTransform(place)
        where = region(box, FACE_SIZE)
        y, x = np.nonzero(where)
        corners = np.array([(a, b) for a in (x.min(), x.max()) for b in (y.min(), y.max())])
        at = alignment.transform(corners.astype(np.float64), self.back)
        height, width = picture.shape[:2]
        left, top = np.clip(np.floor(at.min(0)).astype(int) - 1, 0, (width - 2, height - 2))
        right, bottom = np.clip(np.ceil(at.max(0)).astype(int) + 2, (2, 2), (width, height))
        self.part = slice(top, bottom), slice(left, right)  # all of the picture that can change
        self.shape = int(right - left), int(bottom - top)  # in cv2's order
        self.offset = np.array([left, top], np.float32)
        here = np.vstack([place, [0, 0, 1]]) @ [[1, 0, left], [0, 1, top], [0, 0, 1]]

        self.first = int(x.min()), int(y.min())
        axes = [np.arange(a.min(), a.max() + STEP, STEP, dtype=np.float32) for a in (x, y)]
        grid = np.stack(np.meshgrid(*axes), -1)
        self.counts = grid.shape[:2]
        self.flow = Flow(points, grid.reshape(-1, 2))
        self.given_flow = self.flow if own is points else Flow(own, grid.reshape(-1, 2))
        inside = np.minimum(grid.astype(int), FACE_SIZE - 1)
        # How far a place in the face may be moved, and that movement in px of the picture.
        self.allowed = where[inside[..., 1], inside[..., 0]][..., None]
        self.turn = self.back[:, :2].T.astype(np.float32)
        shrink = np.array([[1.0, 0.0, -self.first[0]], [0.0, 1.0, -self.first[1]]]) / STEP
        self.to_grid = shrink @ here
        square = alignment.mouth_square(box, canvas)
        self.to_canvas = alignment.pixels(square, size) @ here
        # The canvas's own square, in the part.
        edges = alignment.transform(
            np.array([[x, y] for x in (0, size) for y in (0, size)], np.float64) - 0.5,
            cv2.invertAffineTransform(self.to_canvas),
        )
        low = np.clip(np.floor(edges.min(0)).astype(int), 0, np.array(self.shape) - 1)
        high = np.clip(np.ceil(edges.max(0)).astype(int) + 1, low + 1, self.shape)
        self.spot = slice(low[1], high[1]), slice(low[0], high[0])
        self.square = int(high[0] - low[0]), int(high[1] - low[1])
        self.to_square = self.to_canvas.copy()
        self.to_square[:, 2] += self.to_canvas[:, :2] @ low
        self.pixels = np.stack(
            np.meshgrid(np.arange(self.shape[0]), np.arange(self.shape[1])), -1
        ).astype(np.float32)
        self.blur = EDGE * float(np.hypot(*self.back[:, 0]))
        self.teeth = None if teeth is None else teeth.laid(here[:2], self.shape)

    def frame(self, painted: Painted) -> UInt8[np.ndarray, "h w 3"]:
        """The picture with its mouth as `painted` says."""
        if painted.begun == 0 and np.abs(painted.points - self.given_flow.old).max() < STILL:
            return self.given.copy()
        part = self._moved(self.picture, self.flow, painted)
        self._shade(part, painted)
        self._paint(part, painted)
        if painted.begun < 1:  # what the lips part or uncover goes over into what is painted
            before = self._moved(self.given, self.given_flow, painted)
            part = cv2.addWeighted(part, painted.begun, before, 1 - painted.begun, 0)
        frame = self.picture.copy()
        frame[self.part] = part
        return frame

    def _moved(
        self, picture: UInt8[np.ndarray, "h w 3"], flow: Flow, painted: Painted
    ) -> UInt8[np.ndarray, "_ _ 3"]:
        """The part that can change, its landmarks moved."""
        moves = flow(painted.points).reshape(*self.counts, 2)
        moves = (moves * self.allowed) @ self.turn
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        edge = cv2.BORDER_REPLICATE
        fine = cv2.warpAffine(moves, self.to_grid, self.shape, flags=how, borderMode=edge)
        source = self.pixels + self.offset + fine
        # Both coordinates in one map leave the second empty, which cv2's stubs do not know.
        return cv2.remap(picture, source, None, cv2.INTER_LINEAR, borderMode=edge)  # type: ignore[call-overload]

    def _shade(self, part: UInt8[np.ndarray, "h w 3"], painted: Painted) -> None:
        """What G adds to lips and skin, in place."""
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        shade = cv2.warpAffine(
            painted.shade * np.float32(255), self.to_square, self.square, flags=how
        )
        rows, columns = self.spot
        part[rows, columns] = (part[rows, columns] + shade + 0.5).clip(0, 255)

    def _paint(self, part: UInt8[np.ndarray, "h w 3"], painted: Painted) -> None:
        """G's colours between the inner lips, and upper teeth before them, in place."""
        lips = alignment.transform(painted.points[INNER], self.back) - self.offset
        rim = int(np.ceil(3 * self.blur)) + 1
        low = np.clip(np.floor(lips.min(0)).astype(int) - rim, 0, self.shape)
        high = np.clip(np.ceil(lips.max(0)).astype(int) + rim + 1, 0, self.shape)
        if (high - low).min() < 1:
            return
        width, height = (high - low).tolist()
        mask = np.zeros((height, width), np.uint8)
        cv2.fillPoly(mask, [((lips - low) * 16).round().astype(np.int32)], 255, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), self.blur)[..., None]
        to_canvas = self.to_canvas.copy()
        to_canvas[:, 2] += to_canvas[:, :2] @ low
        colours = cv2.warpAffine(
            painted.colours * np.float32(255), to_canvas, (width, height),
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        rows, columns = slice(low[1], high[1]), slice(low[0], high[0])
        if self.teeth is not None:
            own, weights, light = (whole[rows, columns] for whole in self.teeth)
            colours = colours * light
            # Between lips that are all but closed it is dark.
            apart = alignment.lip_opening(painted.points[None]).astype(np.float32)
            seen = smoothstep((apart - SEEN[0]) / (SEEN[1] - SEEN[0]))
            colours = colours + weights * seen * (own - colours)
        spot = part[rows, columns]
        spot[:] = (spot + soft * (colours - spot) + 0.5).clip(0, 255)
