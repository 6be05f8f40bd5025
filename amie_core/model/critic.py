"""T_θ, the mutual information critic (sec. 3.1), and which pairs it sees.

The estimators themselves are in `amie_core.mutual_information`; here they meet faces and sound.
"""

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import ModelConfig
from amie_core.model.generator import AudioEncoder, ImageEncoder


class Critic(nn.Module):
    """T_θ: image and audio encoder of G's architecture with own weights, 3-layer classifier.

    The classifier sees both embeddings and their product: from the two alone it stays at chance
    for hundreds of steps. No normalisation over the batch: it would leak the pairing into the
    score. `region` "lips": pictures are lip crops of any size, seen at half the face's size.
    """

    def __init__(self, config: ModelConfig, region: str = "face") -> None:
        super().__init__()
        self.size = config.image_size if region == "face" else config.image_size // 2
        seen = dataclasses.replace(config, image_size=self.size)
        widths, size = seen.widths(), config.embedding
        self.image_encoder = ImageEncoder(widths)
        self.image_head = nn.Linear(widths[-1] * seen.coarsest**2, size)
        self.audio_encoder = AudioEncoder(config.audio_width, size)
        self.classifier = nn.Sequential(
            nn.Linear(3 * size, 2 * size),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * size, size),
            nn.LeakyReLU(0.2),
            nn.Linear(size, 1),
        )

    def embed_frames(self, frames: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b e"]:
        """Embedding of each picture, of length √e."""
        if frames.shape[-2:] != (self.size, self.size):
            frames = F.interpolate(frames, (self.size, self.size), mode="bilinear")
        return _scaled(self.image_head(self.image_encoder(frames)[-1].flatten(1)))

    def embed_windows(self, windows: Float[Tensor, "b 20 13"]) -> Float[Tensor, "b e"]:
        """Embedding of each audio window, of length √e."""
        return _scaled(self.audio_encoder(windows))

    def score(
        self, frames: Float[Tensor, "b e"], windows: Float[Tensor, "b e"]
    ) -> Float[Tensor, " b"]:
        """T of each pair of embeddings (float32), all in float32: DV takes its exponential."""
        with torch.autocast(frames.device.type, enabled=False):
            both = torch.cat([frames, windows, frames * windows], dim=1)
            return self.classifier(both).squeeze(1)

    def forward(
        self,
        frames: Float[Tensor, "b 3 h w"],
        windows: Float[Tensor, "b 20 13"],
        negatives: Float[Tensor, "b 20 13"],
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Scores of the joint pairs {f_i, a_i} and of the marginal pairs {f_j, a_k}.

        `negatives` are windows a_k of the same clip as f_j, far from it; each frame and window is
        encoded once.
        """
        f = self.embed_frames(frames)
        a = self.embed_windows(torch.cat([windows, negatives]))
        return self.score(f, a[: len(f)]), self.score(f, a[len(f) :])


def paired_accuracy(
    joint: Float[Tensor, " n"], marginal: Float[Tensor, " n"]
) -> Float[Tensor, ""]:
    """How often a frame scores higher with its own sound than with another; chance is a half."""
    return (joint > marginal).float().mean() + 0.5 * (joint == marginal).float().mean()


def _scaled(embedding: Float[Tensor, "b e"]) -> Float[Tensor, "b e"]:
    """Each embedding at length √e, so that the product's entries are of order 1."""
    return F.normalize(embedding.float(), dim=-1) * embedding.shape[-1] ** 0.5
