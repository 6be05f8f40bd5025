"""What a network that has heard very many voices knows of a sound, before any mouth is seen.

Google's speech_embedding (Lin, Kilgour, Roblek, Sharifi: Training Keyword Spotters with Limited and
Synthesized Speech Data, ICASSP 2020; Apache-2.0), in the form that openWakeWord gave it, as far as
the maps before its last pooling. Nothing is learnt here. Not in the paper (`paper.LEDGER`).
"""

import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from amie_core.errors import UserError
from amie_core.files import SPEECH

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
    """Speech bands (`data.audio.speech_rows`) to 192 numbers every four hops (UserError: its
    weights, which come with the package, are missing or damaged)."""

    def __init__(self) -> None:
        super().__init__()
        try:
            with safe_open(SPEECH, framework="pt") as file:
                for name in sorted(file.keys()):
                    self.register_buffer(name, file.get_tensor(name).float())
        except (SafetensorError, OSError) as error:
            raise UserError(f"{SPEECH} is missing or damaged: install the package anew") from error

    def forward(self, bands: Float[Tensor, "b t 32"]) -> Float[Tensor, "b 192 n"]:
        """bands: dB; n = (t - SPAN) // 4 + 1."""
        seen = (bands.clamp(min=QUIET) + LEVEL) / 10 + 2
        maps = F.conv2d(seen[:, None], self.get_buffer("first"), padding=(0, 1)).relu()
        scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
        maps = _bent(maps * scale[:, None, None] + shift[:, None, None])
        for k in range(len(WIDTHS)):
            across = (0, 1) if k % 2 == 0 else 0  # bands and hops in turn; hops without padding
            weight, bias = self.get_buffer(f"weight_{k:02}"), self.get_buffer(f"bias_{k:02}")
            maps = _bent(F.conv2d(maps, weight, bias, padding=across))
            if k in POOLED:
                maps = F.max_pool2d(maps, POOLED[k])
        return maps.transpose(2, 3).flatten(1, 2)


def _bent(maps: Tensor) -> Tensor:
    return F.leaky_relu(maps, 0.2).clamp(min=-0.4)
