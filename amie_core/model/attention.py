"""Dynamic attention on the lips (sec. 3.3): coarse mask, rate schedule, fine mask predictor.

A mask is what the identity face is multiplied with: 1 outside the lips, down to `rate` on them.
`coverage` in [0, 1] says where the lips are; mask = 1 − (1 − rate) · coverage. The rate is given
by the schedule and never predicted; only the coverage is.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from amie_core.config import FACE_SIZE, AttentionConfig


def rate_at(progress: float, config: AttentionConfig, random: np.random.Generator) -> float:
    """The attention rate at `progress` in [0, 1) of training.

    U(0.7, 0.9) first, its range sliding down to U(0.1, 0.3), then 1 for the last part (sec. 3.3).
    """
    if not config.enabled or progress >= 1 - config.final:
        return 1.0
    way = (progress - config.hold) / max(1 - config.final - config.hold, 1e-9)
    way = min(max(way, 0.0), 1.0)
    low = (1 - way) * config.high[0] + way * config.low[0]
    high = (1 - way) * config.high[1] + way * config.low[1]
    return float(random.uniform(low, high))


def coarse_coverage(lip_boxes: Int[Tensor, "b 4"], size: int) -> Float[Tensor, "b 1 s s"]:
    """The first frame's coverage: 1 inside the lip box (top, bottom, left, right in 256ths)."""
    at = (torch.arange(size, device=lip_boxes.device) + 0.5) * (FACE_SIZE / size)
    top, bottom, left, right = (side[:, None] for side in lip_boxes.unbind(1))
    rows = (at >= top) & (at < bottom)
    columns = (at >= left) & (at < right)
    return (rows[:, :, None] & columns[:, None, :]).float()[:, None]


def mask_of(coverage: Float[Tensor, "b 1 s s"], rate: float) -> Float[Tensor, "b 1 s s"]:
    """Attention mask M: `rate` where the lips are, 1 elsewhere."""
    return 1 - (1 - rate) * coverage


class FineMask(nn.Module):
    """Predicts a frame's coverage from the previous coverage and the generated face.

    Works at half resolution, and only inside the coarse area ("a coarse mask area … close to the
    lip shape").
    """

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, width, 5, 1, 2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 5, 1, 4, dilation=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 5, 1, 2),
        )
        bias = self.layers[-1].get_parameter("bias")
        nn.init.constant_(bias, -3.0)  # lips are a twentieth of the picture

    def forward(
        self,
        coverage: Float[Tensor, "b 1 s s"],
        generated: Float[Tensor, "b 3 s s"],
        coarse: Float[Tensor, "b 1 s s"],
    ) -> tuple[Float[Tensor, "b 1 s s"], Float[Tensor, "b 1 h h"]]:
        """Coverage of the next frame at full size, and its logits at half size (for the loss)."""
        x = F.avg_pool2d(torch.cat([coverage, generated * 2 - 1], dim=1), 2)
        logits = self.layers(x).float()
        return F.interpolate(torch.sigmoid(logits), scale_factor=2.0, mode="bilinear") * coarse, (
            logits
        )
