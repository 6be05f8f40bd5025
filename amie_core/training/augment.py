"""What is changed at random of a training window, alike in all its pictures; and of its sound.

Few speakers stand for all faces and voices: their light, colours, place and side, the length of
their throats, their rooms and microphones must not be learnt by heart.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from amie_core.config import FACE_SIZE

SHIFT, SCALE, TURN = 0.03, 0.05, np.deg2rad(4)  # of the picture, of its size, radians: at most
LIP_GRID = 4  # px at 256: lip boxes lie on it, so that they are exact at 64 px

# iBUG's 68 points from right to left: jaw, brows, nose, eyes, outer and inner lip.
MIRROR = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), 67, 66, 65,
]  # fmt: skip


class Views(NamedTuple):
    """What is seen of b clips: k pictures each, and where the lips are in n of them."""

    pictures: Float[Tensor, "b k 3 s s"]
    lips: Float[Tensor, "b n h h"]  # drawn polygons
    boxes: Int[Tensor, "b 4"]  # on the CPU
    points: Float[Tensor, "b m 68 2"]  # landmarks, px at 256


def mirrored(points: Float[Tensor, "*n 68 2"]) -> Float[Tensor, "*n 68 2"]:
    """The landmarks of the mirrored 256² picture: every point takes its counterpart's place."""
    flipped = points[..., MIRROR, :].clone()
    flipped[..., 0] = FACE_SIZE - 1 - flipped[..., 0]
    return flipped


def colours(views: Views, random: np.random.Generator) -> Views:
    """Light and tint of each clip changed at random: stands in for unseen faces."""
    pictures, b = views.pictures, len(views.pictures)
    gamma = np.exp(random.uniform(-0.25, 0.25, (b, 1, 1, 1, 1))).astype(np.float32)
    gain = random.uniform(0.75, 1.25, (b, 1, 1, 1, 1)) * random.uniform(0.88, 1.12, (b, 1, 3, 1, 1))
    pictures = pictures.pow(torch.from_numpy(gamma).to(pictures.device))
    pictures.mul_(torch.from_numpy(gain.astype(np.float32)).to(pictures.device)).clamp_(0, 1)
    return views._replace(pictures=pictures)


def lighting(views: Views, random: np.random.Generator) -> Views:
    """On top of `colours`: channels' gain, contrast, paleness, light from one side, blur."""
    pictures = views.pictures
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
    return views._replace(pictures=pictures.clamp_(0, 1))


def mirror(views: Views, random: np.random.Generator) -> Views:
    """Half of the clips left to right."""
    pictures, lips, boxes, points = views
    turned = torch.from_numpy(random.random(len(pictures)) < 0.5)
    there = turned.to(pictures.device)
    swapped = [boxes[:, 0], boxes[:, 1], FACE_SIZE - boxes[:, 3], FACE_SIZE - boxes[:, 2]]
    return Views(
        torch.where(there[:, None, None, None, None], pictures.flip(-1), pictures),
        torch.where(there[:, None, None, None], lips.flip(-1), lips),
        torch.where(turned[:, None], torch.stack(swapped, 1), boxes),
        torch.where(there[:, None, None, None], mirrored(points), points),
    )


def geometry(views: Views, random: np.random.Generator) -> Views:
    """One small similarity a clip, of all its pictures and all that says where its lips are."""
    pictures, lips, boxes, points = views
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

    def place(old: Tensor) -> Tensor:
        """Where px (b, …, 2) of the old picture are in the new one."""
        flat = (2 * old.flatten(1, -2) + 1) / FACE_SIZE - 1 - at[:, None, :, 2]
        new = torch.linalg.solve(at[:, :, :2], flat.mT).mT
        return (((new + 1) * FACE_SIZE - 1) / 2).reshape(old.shape)

    middle = torch.stack([boxes[:, 2] + boxes[:, 3], boxes[:, 0] + boxes[:, 1]], 1) / 2 - 0.5
    middle = place(middle[:, None].to(at.device))[:, 0].cpu() + 0.5
    length = torch.stack([boxes[:, 3] - boxes[:, 2], boxes[:, 1] - boxes[:, 0]], 1)
    first = (middle / LIP_GRID).round().long() * LIP_GRID - length // 2
    left, top = first.clamp(torch.zeros_like(length), FACE_SIZE - length).unbind(1)
    boxes = torch.stack([top, top + length[:, 1], left, left + length[:, 0]], 1)
    pictures = moved(pictures.flatten(1, 2)).unflatten(1, pictures.shape[1:3])
    return Views(pictures, moved(lips), boxes, place(points))


class _Room(NamedTuple):
    """How b clips are heard: by bands, dB; `longer`, `lower`: a vocal tract's, None as it is."""

    longer: Float[Tensor, "b 1 1"] | None
    lower: Float[Tensor, "b 1 1"] | None  # bands
    colour: Float[Tensor, "b 1 26"]
    gain: Float[Tensor, "b 1 1"]
    tilt: Float[Tensor, "b 1 1"]
    bow: Float[Tensor, "b 1 1"]
    noise: Float[Tensor, "b 1 1"]
    hiss: Float[Tensor, "b 1 1"]  # the noise's tilt


def sound(
    hops: Float[Tensor, "b t c"], random: np.random.Generator, voice: bool = True
) -> Float[Tensor, "b t c"]:
    """Cepstra of each clip, and speech bands where they stand beside them, as if another microphone
    in another room had heard another voice.

    The mel bands that the cepstra stand for (smoothed, as 13 of 26 are) are made louder, tilted and
    coloured, and noise is added; `voice` also moves them along the scale, as a shorter or longer
    vocal tract does (VTLP: Jaitly and Hinton 2013).
    """
    from amie_core.data.audio import BANDS, cosines, speech_places

    b, device = len(hops), hops.device

    def drawn(low: float, high: float) -> Float[Tensor, "b 1 1"]:
        values = random.uniform(low, high, (b, 1, 1)).astype(np.float32)
        return torch.from_numpy(values).to(device)

    longer, lower = (drawn(-0.12, 0.12), drawn(-1.0, 1.0)) if voice else (None, None)
    colour = 1.5 * random.standard_normal((b, 1, BANDS)).astype(np.float32)
    shape = ((-4.0, 4.0), (-6.0, 6.0), (-3.0, 3.0), (-75.0, -25.0), (-10.0, 10.0))
    rest = [drawn(*between) for between in shape]
    room = _Room(longer, lower, torch.from_numpy(colour).to(device), *rest)
    there = torch.from_numpy(cosines().T).to(device)  # orthonormal: back is the transpose
    cepstra, bands = hops.split([len(there), hops.shape[2] - len(there)], 2)
    numbers = torch.arange(BANDS, device=device, dtype=hops.dtype)
    cepstra = _heard_in(room, cepstra @ there, numbers) @ there.T
    if not bands.shape[2]:
        return cepstra
    places = torch.from_numpy(speech_places()).to(device)
    return torch.cat([cepstra, _heard_in(room, bands, places)], 2)


def _heard_in(
    room: _Room, bands: Float[Tensor, "b t k"], places: Float[Tensor, " k"]
) -> Float[Tensor, "b t k"]:
    """Mel bands in dB; places: where they lie, evenly, among the numbers of the 26."""
    last = len(places) - 1
    if room.longer is not None and room.lower is not None:
        moved = places * (1 + room.longer) + room.lower
        moved = ((moved - places[0]) / (places[1] - places[0])).clamp(0, last)
        low = moved.long().clamp(max=last - 1)
        part = moved - low
        low = low.expand(-1, bands.shape[1], -1)
        bands = torch.lerp(bands.gather(2, low), bands.gather(2, low + 1), part)
    number = room.colour.shape[2] - 1
    across = places * (2 / number) - 1
    low = places.long().clamp(max=number - 1)
    colour = torch.lerp(room.colour[..., low], room.colour[..., low + 1], places - low)
    bands = bands + room.gain + colour + room.tilt * across + room.bow * torch.cos(np.pi * across)
    noise = room.noise + room.hiss * across
    natural = np.log(10) / 10  # of a decibel
    return torch.logaddexp(bands * natural, noise * natural) / natural
