"""The lips of an aligned face cut out, and generated ones put back: for methods that make lips."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from amie_core.config import FACE_SIZE
from amie_core.data.faces import TEMPLATE, lip_box

FEATHER = 1 / 8  # of the lip box's height, on each side


def region(size: int) -> tuple[slice, slice]:
    """Rows and columns of the mean face's lip box in a face of `size` px."""
    top, bottom, left, right = (edge * size // FACE_SIZE for edge in lip_box(TEMPLATE[None]))
    return slice(top, bottom), slice(left, right)


def cut_lips(faces: Float[Tensor, "b 3 s s"], size: int) -> Float[Tensor, "b 3 h h"]:
    """The lip region of aligned faces as a square of `size` px."""
    rows, columns = region(faces.shape[-1])
    return F.interpolate(
        faces[:, :, rows, columns], (size, size), mode="bilinear", align_corners=False
    )


def put_lips(
    face: Float[Tensor, "b 3 s s"], lips: Float[Tensor, "b k 3 h h"]
) -> Float[Tensor, "b k 3 s s"]:
    """Generated lips in the identity face, their edge feathered."""
    rows, columns = region(face.shape[-1])
    height, width = rows.stop - rows.start, columns.stop - columns.start
    patch = F.interpolate(
        lips.flatten(0, 1), (height, width), mode="bilinear", align_corners=False
    ).unflatten(0, lips.shape[:2])
    edge = max(1.0, FEATHER * height)
    ramps = [
        ((torch.minimum(at + 1, n - at)) / edge).clamp(max=1)
        for n in (height, width)
        for at in (torch.arange(n, device=face.device),)
    ]
    shown = ramps[0][:, None] * ramps[1]
    frames = face[:, None].repeat(1, lips.shape[1], 1, 1, 1)
    there = frames[..., rows, columns]
    frames[..., rows, columns] = there + shown * (patch - there)
    return frames
