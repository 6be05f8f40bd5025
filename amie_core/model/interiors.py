"""Teeth of real mouths, for the finest detail of what G paints (`compose="landmarks"`).

G's picture of a mouth is a mean over what such a mouth may look like, so its teeth are a blur. Of
each training speaker one frame that shows teeth is kept. Upper teeth do not move against the head,
so the detail of one such frame hangs from the upper lip at the face's own scale, and lips open and
close before it.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

KEPT = 8  # speakers' frames
UPPER = slice(61, 64)  # of the 68 landmarks: the inner edge of the upper lip
COARSE = 2.5  # px of the canvas: deviation of the blur whose rest is detail


class Interiors(nn.Module):
    """Canvases that show teeth, as multiples of their own `mouth.tint`; what is kept of them."""

    canvases: Tensor
    inner: Tensor
    hang: Tensor
    widths: Tensor
    tints: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("canvases", torch.ones(KEPT, 3, size, size))
        self.register_buffer("inner", torch.zeros(KEPT, 1, size, size))  # between the lips
        self.register_buffer("hang", torch.zeros(KEPT, 2))  # of the upper lip, 256ths
        self.register_buffer("widths", torch.ones(KEPT))  # of the mouth at rest, 256ths
        self.register_buffer("tints", torch.ones(KEPT, 3))

    def details(self, tint: Float[np.ndarray, " 3"]) -> "Details":
        """The detail of the frame whose light is most like the face's."""
        own, theirs = (t / t.sum(-1, keepdims=True) for t in (tint, self.tints.cpu().numpy()))
        best = int(np.abs(theirs - own).sum(1).argmin())
        canvas = self.canvases[best].permute(1, 2, 0).cpu().float().numpy()
        inside = self.inner[best].permute(1, 2, 0).cpu().float().numpy()
        within = cv2.GaussianBlur(np.ascontiguousarray(inside), (0, 0), COARSE)[..., None] + 1e-3
        # Blurred among the pixels between the lips alone: the lips' own edge is no detail.
        coarse = cv2.GaussianBlur(canvas * inside, (0, 0), COARSE) / within
        fine = np.ascontiguousarray((canvas - coarse) * inside * tint, np.float32)
        return Details(fine, self.hang[best].cpu().numpy(), float(self.widths[best]))


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
