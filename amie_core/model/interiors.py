"""Teeth of real mouths, for the finest detail of what G paints (`compose="landmarks"`).

G's picture of a mouth is a mean over what such a mouth may look like, so its teeth are a blur. Of
each training speaker one frame that shows teeth is kept. Upper teeth do not move against the head,
so the detail of one such frame hangs from the upper lip at the face's own scale, and lips open and
close before it.
"""

import torch
from torch import Tensor, nn

from amie_core.model.teeth import Bank

KEPT = 8  # speakers' frames


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
        self.register_buffer("widths", torch.ones(KEPT))  # of the mouth in that frame, 256ths
        self.register_buffer("tints", torch.ones(KEPT, 3))

    def bank(self) -> Bank:
        """The same as arrays."""
        names = Bank._fields
        return Bank(*(self.get_buffer(name).cpu().float().numpy() for name in names))
