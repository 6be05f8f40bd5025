"""A frame put together with the identity frame: what holds a face that G never saw.

Not in the paper (`paper.LEDGER`: changed). G changes a soft region around mouth and chin; outside
it the frame is the identity frame. With `compose="warp"` it also moves the identity frame's own
pixels there, so that skin, lips and beard stay the speaker's. Because both are given as changes,
they can be laid over the picture at any resolution.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from amie_core.config import FACE_SIZE
from amie_core.model.lips import BELOW, FEATHER, REACH, smoothstep

# The mouth of data.alignment.TEMPLATE (a test compares them), for callers that know no better.
TEMPLATE_LIP_BOX = (144, 224, 64, 192)
FARTHEST = 0.25  # of half the picture: how far a pixel may be moved


class Change(NamedTuple):
    """What G says of a frame: where its pixels come from, and what is added to them.

    flow: (x, y) in the picture's [-1, 1]; None where nothing is moved. shade: of a mouth moved by
    landmarks (model.mouth), where the colours cover the mouth's inside: what is added around them.
    """

    colours: Float[Tensor, "b 3 s s"]
    flow: Float[Tensor, "b 2 s s"] | None
    shade: Float[Tensor, "b 3 s s"] | None = None


def region(lip_boxes: Int[Tensor, "b 4"], size: int) -> Float[Tensor, "b 1 s s"]:
    """`lips.region` around each lip box."""
    at = (torch.arange(size, device=lip_boxes.device) + 0.5) * (FACE_SIZE / size)
    top, bottom, left, right = (side[:, None].float() for side in lip_boxes.unbind(1))
    y = (at - (top + bottom) / 2 - BELOW) / REACH[1]
    x = (at - (left + right) / 2) / REACH[0]
    far = (x[:, None, :].abs() ** 3 + y[:, :, None].abs() ** 3) ** (1 / 3)
    return smoothstep((1 - far) / FEATHER)[:, None]


def change(raw: Float[Tensor, "b c s s"], where: Float[Tensor, "b 1 s s"]) -> Change:
    """The decoder's 3 channels (colours) or 5 (and movement) as a change inside a region."""
    colours, moves = raw[:, :3] * where, raw[:, 3:]
    if not moves.shape[1]:
        return Change(colours, None)
    # At half size and smoothed: a movement that differs from pixel to pixel would tear the skin.
    smooth = F.avg_pool2d(moves, 4, 2, 1)
    smooth = F.interpolate(smooth, scale_factor=2.0, mode="bilinear", align_corners=False)
    return Change(colours, FARTHEST * torch.tanh(smooth) * where)


def apply(face: Float[Tensor, "b 3 s s"], made: Change) -> Float[Tensor, "b 3 s s"]:
    """The identity frame moved and coloured. Not clamped: the loss needs its gradient."""
    if made.flow is None:
        return face + made.colours
    size = face.shape[-1]
    at = (torch.arange(size, device=face.device) * 2 + 1) / size - 1
    grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    moved = F.grid_sample(
        face, grid + made.flow.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )
    return moved + made.colours
