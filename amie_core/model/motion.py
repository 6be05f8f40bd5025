"""Sound to the movement of a mouth, in units of the face's own mouth (`compose="landmarks"`).

Not in the paper (`paper.LEDGER`: changed). A mouth's movement is what its landmarks do relative to
the same mouth at rest, divided by its width: nothing of it depends on how a face looks, so it can
be learnt from few faces and laid on any. How large a voice's movements are is told apart from what
they are: the first has few examples (a speaker is one), the second many.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.model.lips import MOVED

COEFFICIENTS = 6
WIDTH = 128  # channels
SMALL, LARGE = 0.025, 0.1  # deviation of the opening, in mouth widths: no face moves less or more


class ChannelNorm(nn.LayerNorm):
    """Over the channels of each hop alone, so that a window's code does not depend on others."""

    def forward(self, input: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Normalised over c."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class Motion(nn.Module):
    """MFCC windows to coefficients of a mouth's movement, frame by frame.

    Convolutions over 20 hops without padding, of stride 4 in all: rows of a whole clip and its
    windows one by one give the same numbers.
    """

    mean: Tensor
    std: Tensor
    basis: Tensor

    def __init__(self, width: int = WIDTH, drop: float = 0.15) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(13))
        self.register_buffer("std", torch.ones(13))
        # Displacements, in mouth widths, of a movement whose opening has the deviation 1.
        self.register_buffer("basis", torch.zeros(COEFFICIENTS, 2 * len(MOVED)))
        parts: list[nn.Module] = []
        inputs = 13
        for kernel, stride in ((5, 1), (4, 2), (3, 2), (3, 1)):
            parts += [nn.Conv1d(inputs, width, kernel, stride), ChannelNorm(width), nn.GELU(),
                      nn.Dropout1d(drop)]  # fmt: skip
            inputs = width
        self.body = nn.Sequential(*parts)
        self.what = nn.Conv1d(width, COEFFICIENTS, 1)
        self.large = nn.Linear(width, 1)

    def codes(self, hops: Float[Tensor, "b t 13"]) -> Float[Tensor, "b c n"]:
        """A code for each frame, from 4n + 16 rows of cepstra."""
        return self.body(((hops - self.mean) / self.std).transpose(1, 2))

    def coefficients(self, codes: Float[Tensor, "b c n"]) -> Float[Tensor, "b n 6"]:
        """Of the movement, for an opening of deviation 1."""
        return self.what(codes).transpose(1, 2)

    def size(self, codes: Float[Tensor, "b c n"]) -> Float[Tensor, " b"]:
        """How large a voice's movements are: deviation of the opening, in mouth widths."""
        share = torch.sigmoid(self.large(codes.mean(2)))[:, 0]
        return SMALL * (LARGE / SMALL) ** share

    def displacements(self, coefficients: Float[Tensor, "*n 6"]) -> Float[Tensor, "*n 31 2"]:
        """Of the landmarks MOVED from where they are at rest, in mouth widths."""
        return (coefficients @ self.basis).unflatten(-1, (-1, 2))
