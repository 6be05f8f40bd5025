"""What a network that has heard very many voices knows of a sound, before any mouth is seen.

Google's speech_embedding (Lin, Kilgour, Roblek, Sharifi: Training Keyword Spotters with Limited and
Synthesized Speech Data, ICASSP 2020; Apache-2.0), in the form that openWakeWord gave it, as far as
the maps before its last pooling. Nothing is learnt here. Not in the paper (`paper.LEDGER`).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

WIDTHS = (24, 24, 48, 48, 48, 48, 72, 72, 72, 72, *[96] * 8)  # of the layers after the first
POOLED = {1: (2, 2), 5: (1, 2), 9: (2, 2), 13: (1, 2)}  # after which of them: hops, bands
HEARD = 2 * WIDTHS[-1]  # numbers that it tells of 40 ms
SPAN = 56  # hops from which it tells them
# Before and after a frame's own 20 hops, so many frames and less the first hop: then the middle of
# what is heard lies at the frame's.
REACH = 5
LEVEL = 90.3  # dB of a sample of 1 that is counted in 16 bits, as it was taught
QUIET = -65.0  # dB that nothing lies below: 80 under the loudest of levelled speech


class SpeechEmbedding(nn.Module):
    """Speech bands (`data.audio.speech_rows`) to 192 numbers every four hops.

    Zeros until its weights are loaded: a checkpoint's, or those of `training.speech_embedding`.
    """

    first: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("first", torch.zeros(WIDTHS[0], 1, 3, 3))
        self.register_buffer("scale", torch.zeros(WIDTHS[0], 1, 1))
        self.register_buffer("shift", torch.zeros(WIDTHS[0], 1, 1))
        inputs = WIDTHS[0]
        for k, width in enumerate(WIDTHS):
            across = (1, 3) if k % 2 == 0 else (3, 1)  # bands and hops in turn
            self.register_buffer(f"weight_{k:02}", torch.zeros(width, inputs, *across))
            self.register_buffer(f"bias_{k:02}", torch.zeros(width))
            inputs = width

    def forward(self, bands: Float[Tensor, "b t 32"]) -> Float[Tensor, "b 192 n"]:
        """bands: dB; n = (t - SPAN) // 4 + 1."""
        seen = (bands.clamp(min=QUIET) + LEVEL) / 10 + 2
        maps = F.conv2d(seen[:, None], self.first, padding=(0, 1)).relu()
        maps = _bent(maps * self.scale + self.shift)
        for k in range(len(WIDTHS)):
            weight, bias = self.get_buffer(f"weight_{k:02}"), self.get_buffer(f"bias_{k:02}")
            beside = (0, weight.shape[3] // 2)  # bands are padded, hops are not
            maps = _bent(F.conv2d(maps, weight, bias, padding=beside))
            if k in POOLED:
                maps = F.max_pool2d(maps, POOLED[k])
        return maps.transpose(2, 3).flatten(1, 2)


def _bent(maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, 0.2).clamp(min=-0.4)
