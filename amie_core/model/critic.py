"""T_θ, the mutual information critic (sec. 3.1), and which pairs it sees.

The estimators themselves are in `amie_core.mutual_information`; here they meet faces and sound.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from amie_core.config import ModelConfig
from amie_core.model.generator import AudioEncoder, ImageEncoder


class Critic(nn.Module):
    """T_θ: image and audio encoder of G's architecture with own weights, 3-layer classifier.

    Each frame and each window is encoded once; pairs are made of the embeddings by index.
    No normalisation in the head: batch statistics would leak the pairing into the score.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.widths()
        size = config.embedding
        self.image_encoder = ImageEncoder(widths)
        self.image_head = nn.Linear(widths[-1] * 16, size)
        self.audio_encoder = AudioEncoder(config.audio_width, size)
        self.classifier = nn.Sequential(
            nn.Linear(2 * size, 2 * size),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * size, size),
            nn.LeakyReLU(0.2),
            nn.Linear(size, 1),
        )

    def embed_frames(self, frames: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b e"]:
        """Embedding of each frame."""
        return self.image_head(self.image_encoder(frames)[-1].flatten(1))

    def embed_windows(self, windows: Float[Tensor, "b 20 13"]) -> Float[Tensor, "b e"]:
        """Embedding of each audio window."""
        return self.audio_encoder(windows)

    def score(
        self, frames: Float[Tensor, "b e"], windows: Float[Tensor, "b e"]
    ) -> Float[Tensor, " b"]:
        """T of each pair of embeddings, in float32 (its log and exp overflow in half)."""
        return self.classifier(torch.cat([frames, windows], dim=1)).squeeze(1).float()

    def forward(
        self,
        frames: Float[Tensor, "b 3 s s"],
        windows: Float[Tensor, "b 20 13"],
        negatives: Float[Tensor, "b 20 13"],
        pairing: Int[Tensor, " b"] | None = None,
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Scores of the joint pairs {f_i, a_i} and of the marginal pairs {f_j, a_k}.

        `negatives` are windows a_k of the same clip as f_j, far from it; `pairing` gives j for
        each of them (default: the frame of the same index).
        """
        f = self.embed_frames(frames)
        a = self.embed_windows(torch.cat([windows, negatives]))
        joint = self.score(f, a[: len(f)])
        return joint, self.score(f if pairing is None else f[pairing], a[len(f) :])
