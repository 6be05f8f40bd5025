"""What is changed at random of a training window, alike in all its pictures.

Few speakers stand for all faces: their light, colours, place and side must not be learnt by heart.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from amie_core.config import FACE_SIZE

SHIFT, SCALE, TURN = 0.03, 0.05, np.deg2rad(4)  # of the picture, of its size, radians: at most
LIP_GRID = 4  # px at 256: lip boxes lie on it, so that they are exact at 64 px


def colours(
    pictures: Float[Tensor, "b k 3 s s"], random: np.random.Generator
) -> Float[Tensor, "b k 3 s s"]:
    """Light and tint of each clip changed at random: stands in for unseen faces."""
    b = len(pictures)
    gamma = np.exp(random.uniform(-0.25, 0.25, (b, 1, 1, 1, 1))).astype(np.float32)
    gain = random.uniform(0.75, 1.25, (b, 1, 1, 1, 1)) * random.uniform(0.88, 1.12, (b, 1, 3, 1, 1))
    pictures = pictures.pow(torch.from_numpy(gamma).to(pictures.device))
    return pictures.mul_(torch.from_numpy(gain.astype(np.float32)).to(pictures.device)).clamp_(0, 1)


def lighting(
    pictures: Float[Tensor, "b k 3 s s"], random: np.random.Generator
) -> Float[Tensor, "b k 3 s s"]:
    """On top of `colours`: channels' gain, contrast, paleness, light from one side, blur."""
    b, _, _, s, _ = pictures.shape

    def drawn(low: float, high: float, *shape: int) -> Tensor:
        values = random.uniform(low, high, (b, *shape, *(1,) * (4 - len(shape))))
        return torch.from_numpy(values.astype(np.float32)).to(pictures.device)

    mean = pictures.mean((1, 2, 3, 4), keepdim=True)
    pictures = torch.lerp(mean, pictures, drawn(0.7, 1.3))
    pictures = torch.lerp(pictures.mean(2, keepdim=True), pictures, drawn(0.3, 1.3))
    at = torch.linspace(-1, 1, s, device=pictures.device)
    side = 1 + drawn(-0.25, 0.25) * at + drawn(-0.25, 0.25) * at[:, None]
    pictures = pictures * (side * drawn(0.85, 1.15, 1, 3))
    soft = torch.from_numpy(np.flatnonzero(random.random(b) < 0.3)).to(pictures.device)
    if len(soft):
        chosen = pictures[soft].flatten(0, 2)[:, None]
        chosen = F.avg_pool2d(F.pad(chosen, (1, 1, 1, 1), mode="replicate"), 3, 1)
        pictures[soft] = chosen[:, 0].unflatten(0, (len(soft), *pictures.shape[1:3]))
    return pictures.clamp_(0, 1)


def mirror(
    pictures: Float[Tensor, "b k 3 s s"],
    lips: Float[Tensor, "b n h h"],
    boxes: Int[Tensor, "b 4"],
    random: np.random.Generator,
) -> tuple[Float[Tensor, "b k 3 s s"], Float[Tensor, "b n h h"], Int[Tensor, "b 4"]]:
    """Half of the clips left to right; `boxes` stay on the CPU."""
    turned = torch.from_numpy(random.random(len(pictures)) < 0.5)
    there = turned.to(pictures.device)
    pictures = torch.where(there[:, None, None, None, None], pictures.flip(-1), pictures)
    lips = torch.where(there[:, None, None, None], lips.flip(-1), lips)
    swapped = [boxes[:, 0], boxes[:, 1], FACE_SIZE - boxes[:, 3], FACE_SIZE - boxes[:, 2]]
    return pictures, lips, torch.where(turned[:, None], torch.stack(swapped, 1), boxes)


def geometry(
    pictures: Float[Tensor, "b k 3 s s"],
    lips: Float[Tensor, "b n h h"],
    boxes: Int[Tensor, "b 4"],
    random: np.random.Generator,
) -> tuple[Float[Tensor, "b k 3 s s"], Float[Tensor, "b n h h"], Int[Tensor, "b 4"]]:
    """One small similarity a clip, of all its pictures, its lip polygons and its lip box."""
    b = len(pictures)
    size, turn = random.uniform(1 - SCALE, 1 + SCALE, b), random.uniform(-TURN, TURN, b)
    shift = random.uniform(-2 * SHIFT, 2 * SHIFT, (b, 2))  # the picture is 2 wide here
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = (linear * size).transpose(2, 0, 1)  # (b, 2, 2), of output places to input places
    matrix = np.concatenate([linear, shift[:, :, None]], 2).astype(np.float32)
    at = torch.from_numpy(matrix).to(pictures.device)

    def moved(images: Tensor) -> Tensor:
        """(b, c, h, w), through each clip's similarity."""
        grid = F.affine_grid(at, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)

    pictures = moved(pictures.flatten(1, 2)).unflatten(1, pictures.shape[1:3])
    # The mouth's place in the new picture: where the similarity takes its old one from.
    middle = torch.stack([boxes[:, 2] + boxes[:, 3], boxes[:, 0] + boxes[:, 1]], 1).numpy() / 2
    place = np.linalg.solve(linear, (2 * middle / FACE_SIZE - 1 - shift)[:, :, None])[:, :, 0]
    place = (place + 1) * FACE_SIZE / 2
    length = torch.stack([boxes[:, 3] - boxes[:, 2], boxes[:, 1] - boxes[:, 0]], 1)
    first = torch.from_numpy(np.round(place / LIP_GRID).astype(np.int64) * LIP_GRID) - length // 2
    first = first.clamp(torch.zeros_like(length), FACE_SIZE - length)
    left, top = first.unbind(1)
    boxes = torch.stack([top, top + length[:, 1], left, left + length[:, 0]], 1)
    return pictures, moved(lips), boxes
