"""Frame discriminator (sec. 3.1): do this frame and this audio belong together?"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import ModelConfig


class Discriminator(nn.Module):
    """D: image CNN, flattened; audio FC; both concatenated; classifier to one logit.

    Normalisation-free, so that a frame's score does not depend on the batch it is judged in; half
    as wide as G.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = [max(8, width // 2) for width in config.widths()]
        self.register_buffer("mean", torch.zeros(13))
        self.register_buffer("std", torch.ones(13))
        self.image = nn.ModuleList(
            nn.Conv2d(a, b, 4, 2, 1) for a, b in zip((3, *widths[1:-1]), widths[1:], strict=True)
        )
        self.audio = nn.Linear(20 * 13, config.embedding)
        self.classifier = nn.Sequential(
            nn.Linear(widths[-1] * config.coarsest**2 + config.embedding, config.embedding),
            nn.LeakyReLU(0.2),
            nn.Linear(config.embedding, 1),
        )

    def forward(
        self, frames: Float[Tensor, "b 3 s s"], windows: Float[Tensor, "b 20 13"]
    ) -> Float[Tensor, " b"]:
        """Logit of "matched" for each pair; the probability is its sigmoid."""
        x = frames * 2 - 1
        for layer in self.image:
            x = F.leaky_relu(layer(x), 0.2)
        sound = F.leaky_relu(self.audio(((windows - self.mean) / self.std).flatten(1)), 0.2)
        return self.classifier(torch.cat([x.flatten(1), sound], dim=1)).squeeze(1).float()
