"""Does this mouth say this sound? A small SyncNet (Chung and Zisserman 2016)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.model.generator import AudioEncoder, Convolution


class SyncNetwork(nn.Module):
    """Embeds lip crops and sound on one sphere; their cosine says how well they fit.

    span: lip crops that are seen at once, stacked.
    """

    def __init__(self, span: int, embedding: int = 64, width: int = 24) -> None:
        super().__init__()
        self.lips = nn.Sequential(
            Convolution(3 * span, width),
            Convolution(width, 2 * width, stride=2),
            Convolution(2 * width, 4 * width, stride=2),
            nn.AdaptiveAvgPool2d((3, 4)),
            nn.Flatten(),
            nn.Linear(4 * width * 12, embedding),
        )
        self.audio = AudioEncoder(16, embedding)
        self.sharpness = nn.Parameter(torch.tensor(2.0))  # log of the softmax's inverse width

    def see(self, crops: Float[Tensor, "b f h w"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of stacks of lip crops, colours in [0, 1]."""
        return F.normalize(self.lips(crops * 2 - 1), dim=-1)

    def hear(self, heard: Float[Tensor, "b 20 13"]) -> Float[Tensor, "b e"]:
        """Unit embeddings of MFCC windows."""
        return F.normalize(self.audio(heard), dim=-1)
