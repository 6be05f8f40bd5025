"""A drawn head at rest: skin on a small relief, light, hair, neck, clothes, background.

Face coordinates are pixels of the 256x256 picture with the head upright: x = 128 is the middle,
eyes at y = 112, 60 px apart, as large as a webcam shows them. The layer is drawn SCALE times finer
and with a margin, so that it can be moved without showing its edge.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float

Number = int | float
SCALE = 2  # layer pixels a picture pixel
MARGIN = 20  # picture pixels around the 256 that the layer also holds
SIDE = (256 + 2 * MARGIN) * SCALE
EYES = 112.0  # y of the eyes
MIDDLE = 118.0  # y of the widest place of the head


@dataclass(frozen=True)
class Look:
    """How an identity looks. Lengths in picture pixels, colours sRGB in 0 … 1."""

    seed: int
    skin: tuple[float, float, float]
    cheek: float
    chin: float
    square: float
    skull: float
    eye_gap: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris: tuple[float, float, float]
    brow: float
    brow_arch: float
    nose_width: float
    nose_length: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_red: float
    gape: float
    hair: tuple[float, float, float]
    style: str
    volume: float
    hairline: float
    part: float
    curl: float
    stubble: float
    freckles: float
    age: float
    cloth: tuple[float, float, float]
    wall: tuple[float, float, float]


SKINS = ((0.96, 0.82, 0.73), (0.93, 0.76, 0.64), (0.86, 0.68, 0.54), (0.76, 0.57, 0.43),
         (0.62, 0.43, 0.31), (0.47, 0.31, 0.22))
HAIRS = ((0.10, 0.08, 0.07), (0.22, 0.14, 0.09), (0.36, 0.23, 0.13), (0.72, 0.55, 0.32),
         (0.50, 0.22, 0.10), (0.62, 0.60, 0.58))
IRISES = ((0.28, 0.17, 0.10), (0.38, 0.27, 0.14), (0.35, 0.45, 0.30), (0.35, 0.50, 0.62))
STYLES = ("short", "long", "crop", "bob", "curly", "bun")
CLOTHS = ((0.16, 0.24, 0.38), (0.45, 0.14, 0.16), (0.75, 0.74, 0.70), (0.16, 0.33, 0.28),
          (0.22, 0.22, 0.24), (0.70, 0.52, 0.25), (0.42, 0.36, 0.55))
WALLS = ((0.70, 0.74, 0.78), (0.52, 0.60, 0.58), (0.80, 0.76, 0.68), (0.40, 0.46, 0.56),
         (0.62, 0.56, 0.60))


@lru_cache(maxsize=64)
def look(identity_seed: int) -> Look:
    """The look of an identity. Neighbouring seeds step through the skins, hairs and styles."""
    s, rng = identity_seed, np.random.default_rng([7, identity_seed])
    feminine = STYLES[s % 6] in ("long", "bob", "bun")
    tone = ((s * 0.618034 + 0.15) % 1.0) * (len(SKINS) - 1.001)
    low, part = int(tone), tone % 1
    skin = (1 - part) * np.array(SKINS[low]) + part * np.array(SKINS[low + 1])
    darkest = 2 if tone > 3 else len(HAIRS)  # dark skin goes with dark hair
    hair = np.array(HAIRS[(s * 5 + s // 6 + 1) % len(HAIRS) if darkest > 2 else s % 2])
    iris = IRISES[0] if tone > 2.6 else IRISES[(s * 3 + 1) % 4]
    u = rng.uniform
    return Look(
        seed=s, skin=tuple(skin), cheek=u(59, 66), chin=u(100, 110) - 4 * feminine,
        square=u(1.95, 2.2) if feminine else u(2.15, 2.6), skull=u(100, 107),
        eye_gap=u(58.5, 62), eye_width=u(13.2, 15.2), eye_height=u(8.6, 10.2) + 0.8 * feminine,
        eye_tilt=u(-1.2, 1.6), iris=tuple(np.array(iris) * u(0.85, 1.15)),
        brow=u(2.6, 3.4) if feminine else u(3.8, 5.2), brow_arch=u(2.0, 5.0),
        nose_width=u(13.5, 18.0) - 1.5 * feminine, nose_length=u(38, 43),
        mouth_y=EYES + u(66, 70), mouth_width=u(23, 26.5), lip_upper=u(5.6, 7.6) + feminine,
        lip_lower=u(7.6, 10.0) + feminine, lip_red=u(0.8, 1.05) + 0.2 * feminine,
        gape=u(17.5, 20.0),
        hair=tuple(np.clip(hair * u(0.85, 1.15) * u(0.96, 1.04, 3), 0, 1)),
        style=STYLES[s % 6], volume=u(5, 9), hairline=u(54, 64), part=u(-24, 24), curl=u(0.3, 1.0),
        stubble=0.0 if feminine else max(0.0, u(-0.25, 0.42)),
        freckles=max(0.0, u(-0.8, 0.6)), age=u(0.0, 0.8),
        cloth=CLOTHS[(s * 3) % len(CLOTHS)], wall=tuple(np.array(WALLS[s % 5]) * u(0.85, 1.1)),
    )


@lru_cache(maxsize=1)
def grid() -> tuple[np.ndarray, np.ndarray]:
    """Face coordinates (x, y) of every pixel of the layer, float32."""
    axis = ((np.arange(SIDE, dtype=np.float32) + 0.5) / SCALE - MARGIN) - 0.5
    x, y = np.meshgrid(axis, axis)
    return x, y


def grain(rng: np.random.Generator, cells: int | tuple[int, int], side: int = SIDE) -> np.ndarray:
    """Smooth noise of about unit deviation, `cells` blobs along a side (rows, columns)."""
    shape = (cells, cells) if isinstance(cells, int) else cells
    small = rng.standard_normal((shape[0] + 3, shape[1] + 3)).astype(np.float32)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC) * 1.2


def bump(
    x: np.ndarray, y: np.ndarray, cx: Number, cy: Number, rx: Number, ry: Number
) -> np.ndarray:
    """A Gaussian hill of height 1."""
    return np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)


def outside(who: Look, x: np.ndarray, y: np.ndarray, grow: Number = 0) -> np.ndarray:
    """0 at the middle of the head, 1 on its outline (two superellipses), more outside."""
    down = y > MIDDLE
    reach = np.where(down, who.chin + EYES - MIDDLE, who.skull + MIDDLE - EYES) + grow
    m, n = np.where(down, who.square, 2.15), np.where(down, 2.0, 2.25)
    return (np.abs(x - 128) / (who.cheek + grow)) ** n + (np.abs(y - MIDDLE) / reach) ** m


def soft(values: np.ndarray, width: Number) -> np.ndarray:
    """0 … 1 ramp through `values` = 0, `width` wide."""
    return np.clip(values / width + 0.5, 0.0, 1.0)


def blur(values: np.ndarray, pixels: Number) -> np.ndarray:
    """Gaussian blur, sigma in picture pixels; wide ones at a quarter of the size, for speed."""
    if pixels < 3:
        return cv2.GaussianBlur(values, (0, 0), pixels * SCALE)
    small = cv2.resize(values, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), pixels * SCALE / 4)
    return cv2.resize(small, values.shape[::-1], interpolation=cv2.INTER_LINEAR)


def relief(who: Look) -> Float[np.ndarray, "s s"]:
    """Height of the face towards the viewer, in picture pixels."""
    x, y = grid()
    z = 62 * np.sqrt(np.clip(1.02 - outside(who, x, y), 0.0, None))
    z = blur(z.astype(np.float32), 3.0)
    gap, nose, mouth = who.eye_gap / 2, EYES + who.nose_length, who.mouth_y
    ridge = np.clip((y - EYES + 8) / (who.nose_length + 4), 0, 1)
    width = 5.0 + (who.nose_width * 0.55 - 5.0) * ridge**2
    bridge = (4 + 13 * ridge**1.3) * np.exp(-(((x - 128) / width) ** 2))
    z += blur((bridge * soft(nose + 3 - y, 7) * soft(y - EYES + 12, 16)).astype(np.float32), 1.0)
    z += 6 * bump(x, y, 128, nose - 3, 8, 7)
    for side in (-1, 1):
        z += 5 * bump(x, y, 128 + side * who.nose_width * 0.72, nose + 0.5, 4.6, 5)
        z -= 8 * bump(x, y, 128 + side * gap, EYES - 1, 19, 10)
        z += 4 * bump(x, y, 128 + side * gap, EYES, 12, 7)
        z += 4 * bump(x, y, 128 + side * (gap + 1), EYES - 15, 20, 7)
        z += 5 * bump(x, y, 128 + side * 38, EYES + 30, 17, 15)
        fold = 128 + side * (who.nose_width + 2 + (y - nose) * 0.42)
        crease = np.exp(-(((x - fold) / 4) ** 2)) * soft(y - nose + 2, 14) * soft(mouth + 6 - y, 22)
        z -= (1.0 + 1.6 * who.age) * crease
    z += 6 * bump(x, y, 128, mouth - 1, 27, 17)
    z -= 1.6 * bump(x, y, 128, (nose + mouth) / 2 + 1, 3.2, 8)
    z -= 4 * bump(x, y, 128, mouth + 17, 15, 5)
    z += 6 * bump(x, y, 128, EYES + who.chin - 13, 16, 10)
    return z.astype(np.float32)


@lru_cache(maxsize=4)
def bare(who: Look) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Skin without light: normals (s, s, 3), albedo (s, s, 3), hollows (s, s), oil (s, s)."""
    x, y = grid()
    rng = np.random.default_rng([8, who.seed])
    z = relief(who)
    pores = 0.035 * grain(rng, SIDE // 2) + 0.03 * grain(rng, SIDE // 5)
    dx = cv2.Sobel(z + pores, cv2.CV_32F, 1, 0, scale=SCALE / 8)
    dy = cv2.Sobel(z + pores, cv2.CV_32F, 0, 1, scale=SCALE / 8)
    normal = np.dstack([-dx, -dy, np.full_like(z, 0.88)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    hollow = np.clip(1 + 0.055 * np.minimum(z - blur(z, 7.0), 0), 0.35, 1)
    albedo = np.ones((SIDE, SIDE, 3), np.float32) * np.float32(who.skin)
    patch = 0.018 * grain(rng, 9) + 0.014 * grain(rng, 40) + 0.012 * grain(rng, 150)
    albedo *= (1 + patch)[..., None]
    nose = EYES + who.nose_length
    red = 0.7 * bump(x, y, 128, nose - 2, 14, 9) + 0.4 * bump(x, y, 128, EYES + who.chin, 22, 12)
    for side in (-1, 1):
        red = red + 0.8 * bump(x, y, 128 + side * 36, EYES + 36, 17, 15)
        eye = 128 + side * who.eye_gap / 2
        bags = bump(x, y, eye, EYES + 8, 14, 5) + 0.8 * bump(x, y, eye, EYES - 8, 15, 5)
        albedo *= 1 - (0.10 + 0.08 * who.age) * bags[..., None] * np.float32([0.9, 1.1, 1.0])
        hole = bump(x, y, 128 + side * who.nose_width * 0.42, nose + 4.2, 3.4, 1.9)
        albedo *= 1 - 0.75 * np.clip(1.5 * hole, 0, 1)[..., None]
    albedo *= 1 - 0.16 * red[..., None] * np.float32([0.1, 1.0, 0.9])
    if who.freckles:
        spots = (grain(rng, 170) > 1.5) * bump(x, y, 128, EYES + 26, 44, 20) * who.freckles
        albedo *= 1 - blur(spots.astype(np.float32), 0.6)[..., None] * np.float32([0.35, 0.5, 0.6])
    if who.stubble:
        albedo *= 1 - _beard(who, rng)[..., None] * (1 - np.float32(who.hair) * 0.6)
    _brows(who, rng, albedo)
    oil = bump(x, y, 128, EYES - 32, 38, 22) + bump(x, y, 128, nose - 10, 9, 22)
    oil = 0.35 + 0.65 * oil + 0.3 * bump(x, y, 128, EYES + 34, 60, 14)
    return normal, albedo, hollow.astype(np.float32), (oil * (1 + 0.25 * grain(rng, 120)))


def _beard(who: Look, rng: np.random.Generator) -> np.ndarray:
    """How much stubble darkens the skin: jaw, chin and upper lip."""
    x, y = grid()
    cheek = soft(y - (who.mouth_y - 34 + 0.5 * np.abs(np.abs(x - 128) - 58)), 26)
    lip = np.exp(-(((x - 128) / 24) ** 4)) * soft(y - who.mouth_y + 20, 8)
    clear = bump(x, y, 128, who.mouth_y - 6, 36, 24)
    area = np.clip(cheek * (1 - 0.7 * clear) + 0.8 * lip, 0, 1) * soft(y - who.mouth_y + 20, 12)
    hairs = np.clip(0.55 + 0.35 * grain(rng, (SIDE // 3, SIDE // 2)), 0.1, 1.2)
    return (0.72 * who.stubble * area * hairs).astype(np.float32)


def brow_line(who: Look, side: int) -> Float[np.ndarray, "5 2"]:
    """Five points of a brow, from the picture's left to its right; side -1 is the left one."""
    t = np.linspace(0, 1, 5)  # 0 at the nose
    x = 128 + side * (who.eye_gap / 2 - 17 + 37 * t)
    y = EYES - 15.5 - who.brow_arch * np.sin(np.pi * np.clip(t, 0, 0.95) ** 1.3) + 2.5 * t**3
    points = np.stack([x, y], 1)
    return points[::-1] if side < 0 else points


def _brows(who: Look, rng: np.random.Generator, albedo: np.ndarray) -> None:
    """Draw the hairs of both brows into the albedo."""
    cover = np.zeros((SIDE, SIDE), np.uint8)
    for side in (-1, 1):
        line = brow_line(who, side)
        line = line[::-1] if side < 0 else line
        for t in rng.uniform(0, 1, 260) ** 0.85:
            root = np.array([np.interp(t, np.linspace(0, 1, 5), line[:, i]) for i in (0, 1)])
            thick = who.brow * (1.15 - 0.75 * t) * min(1.0, 0.5 + 4 * t)
            root[1] += rng.normal(0, 0.33) * thick
            lean = np.array([side * (1.6 + 3 * t), -2.6 + 3.4 * t]) * rng.uniform(0.7, 1.4)
            ends = (np.stack([root, root + lean]) + MARGIN + 0.5) * SCALE * 16
            cv2.line(cover, *[tuple(int(v) for v in p) for p in ends], 215, 1, cv2.LINE_AA, 4)
    alpha = 0.95 * cv2.GaussianBlur(cover, (0, 0), 0.7).astype(np.float32)[..., None] / 255
    alpha = np.clip(alpha * 1.2, 0, 0.85)
    albedo *= 1 - alpha
    albedo += alpha * np.float32(who.hair) * 0.55
