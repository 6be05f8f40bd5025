"""The fine detail of a mouth's teeth, laid into another mouth (`interiors` has the frames)."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from amie_core.model.lips import UPPER

COARSE = 2.5  # px of the canvas: deviation of the blur whose rest is detail
# Of that detail, what is laid: with all of it the mouths of unheard voices have 1.27 of their own
# and .091 dB of PSNR, with this 1.13 and .096, with .8 1.00 and .101; but s31's have too little.
LAID = 0.9


class Bank(NamedTuple):
    """Canvases that show teeth, as multiples of their own tint; what is kept of them."""

    canvases: Float[np.ndarray, "k 3 s s"]
    inner: Float[np.ndarray, "k 1 s s"]  # between the lips
    hang: Float[np.ndarray, "k 2"]  # of the upper lip, 256ths
    widths: Float[np.ndarray, " k"]  # of the mouth in that frame, 256ths
    tints: Float[np.ndarray, "k 3"]

    def details(self, tint: Float[np.ndarray, " 3"]) -> "Details":
        """The detail of the frame whose light is most like the face's."""
        own, theirs = (t / t.sum(-1, keepdims=True) for t in (tint, self.tints))
        best = int(np.abs(theirs - own).sum(1).argmin())
        canvas, inside = (
            np.ascontiguousarray(part[best].transpose(1, 2, 0), np.float32)
            for part in (self.canvases, self.inner)
        )
        within = cv2.GaussianBlur(inside, (0, 0), COARSE)[..., None] + 1e-3
        # Blurred among the pixels between the lips alone: the lips' own edge is no detail.
        coarse = cv2.GaussianBlur(canvas * inside, (0, 0), COARSE) / within
        fine = np.ascontiguousarray((canvas - coarse) * inside * (LAID * tint), np.float32)
        return Details(fine, self.hang[best], float(self.widths[best]))


class Details:
    """The fine detail of one mouth, laid into another."""

    def __init__(
        self, fine: Float[np.ndarray, "s s 3"], hang: Float[np.ndarray, " 2"], width: float
    ) -> None:
        self.fine, self.hang, self.width = fine, hang, width

    def laid(
        self, points: Float[np.ndarray, "68 2"], width: float
    ) -> Float[np.ndarray, "s s 3"]:
        """At the size of canvases, where a mouth's landmarks (256ths) are.

        width: of that mouth at rest, 256ths.
        """
        size = len(self.fine)
        to = (points[UPPER].mean(0) + 0.5) * (size / 256) - 0.5
        from_ = (self.hang + 0.5) * (size / 256) - 0.5
        scale = self.width / width  # px here for one there
        matrix = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
        matrix[:, 2] = from_ - scale * to
        return cv2.warpAffine(
            self.fine, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
