"""The moving parts of a drawn face: lips with teeth and tongue, and eyes.

Every edge is a curve y(u) over the part's width, u in [-1, 1], so that a part is drawn by
comparing each pixel's height with its column's curves, smoothly and without polygons.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from amie_core.data.synthetic.hair_and_clothes import Light
from amie_core.data.synthetic.head import EYES, MARGIN, SCALE, Look, bump, soft

SEAM = 0.88  # the inner lips' half-width as a part of the outer's
EDGE = 0.7  # picture pixels over which an edge runs out


@dataclass(frozen=True)
class Mouth:
    """One pose of the mouth in picture pixels (see `mouth` and synthetic_track.Phone)."""

    y: float
    half: float  # half-width of the outer lips
    gap: float  # opening at the middle
    upper: float  # thickness of each lip
    lower: float
    round: float
    spread: float

    def seam(self, u: np.ndarray) -> np.ndarray:
        """Where the closed lips would meet; the corners sink as the jaw opens."""
        return self.y + (0.26 * self.gap - 0.9 - 1.2 * max(self.spread, 0.0)) * u * u

    def bow(self, t: np.ndarray) -> np.ndarray:
        """Share of the opening reached at t: 1 at the middle, 0 at the corners."""
        rest = np.clip(1 - np.abs(t) ** 2.2, 0, 1)
        return rest ** (0.72 - 0.2 * self.round)

    def edges(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Heights of upper lip's top, upper lip's edge, lower lip's edge, lower lip's bottom."""
        mid, inner, outer = self.seam(u), self.gap * self.bow(u / SEAM), self.gap * self.bow(u)
        taper = np.clip(1 - np.abs(u) ** 1.9, 0, 1)
        heart = 1 - 0.20 * np.exp(-((u / 0.13) ** 2)) + 0.05 * np.cos(np.pi * u)
        top = mid - 0.18 * outer - self.upper * taper**0.85 * heart
        bottom = mid + 0.82 * outer + self.lower * taper**0.62
        return top, mid - 0.18 * inner, mid + 0.82 * inner, bottom

    def landmarks(self) -> Float[np.ndarray, "20 2"]:
        """Points 48-67 of the 68: outer lips then inner lips, from the picture's left corner."""
        outer = np.array([-0.62, -0.24, 0.0, 0.24, 0.62])
        inner = np.array([-0.48, 0.0, 0.48]) * SEAM
        ends = np.array([-1.0, 1.0])
        top, bottom = self.edges(outer)[0], self.edges(outer)[3]
        up, low = self.edges(inner)[1:3]
        corner, inside = self.seam(ends), self.seam(ends * SEAM)
        u = np.concatenate([[-1], outer, [1], outer[::-1], [-SEAM], inner, [SEAM], inner[::-1]])
        y = np.concatenate([corner[:1], top, corner[1:], bottom[::-1], inside[:1], up, inside[1:],
                            low[::-1]])
        return np.stack([128 + u * self.half, y], 1)


def mouth(who: Look, jaw: float, width: float, rounding: float) -> Mouth:
    """The mouth of an identity for a point of the articulation track."""
    gap = who.gape * max(jaw, 0.0) * (1 - 0.15 * rounding)
    half = who.mouth_width * (1 + 0.15 * width - 0.32 * rounding - 0.05 * max(jaw, 0.0))
    thick = (1 + 2.6 * min(jaw, 0.0)) * (1 + 0.18 * rounding - 0.10 * max(width, 0))
    thick *= 1 - 0.14 * max(jaw, 0.0)
    return Mouth(who.mouth_y, half, gap, who.lip_upper * thick, who.lip_lower * thick,
                 rounding, width)


def part(layer: np.ndarray, left: float, right: float, top: float, bottom: float) -> tuple:
    """A layer's piece between picture coordinates: view, x (1, w) and y (h, 1) of its pixels."""
    a, b, c, d = (round((v + MARGIN) * SCALE) for v in (top, bottom, left, right))
    y = (np.arange(a, b, dtype=np.float32)[:, None] + 0.5) / SCALE - MARGIN - 0.5
    x = (np.arange(c, d, dtype=np.float32)[None] + 0.5) / SCALE - MARGIN - 0.5
    return layer[a:b, c:d], x, y


@dataclass(frozen=True)
class Palette:
    """Colours under the clip's light, 0 … 255: skin left and right of the mouth, whites, gain."""

    left: np.ndarray
    right: np.ndarray
    gain: float  # brightness of lit skin over its unlit colour
    creases: np.ndarray  # (16, 128) noise on the lips


def palette(layer: np.ndarray, who: Look) -> Palette:
    """Measure the light around the mouth on the drawn skin, so that lips fit it."""
    sides = [part(layer, 122.0 + s * 22, 134.0 + s * 22, who.mouth_y - 8, who.mouth_y + 8)[0]
             for s in (-1, 1)]
    left, right = (p[..., :3].reshape(-1, 3).mean(0).astype(np.float32) for p in sides)
    rng = np.random.default_rng([10, who.seed])
    creases = rng.standard_normal((16, 128)).astype(np.float32)
    creases = (creases + np.roll(creases, 1, 0) + np.roll(creases, 2, 0)) / 1.7
    gain = float((left + right).mean() / 2 / (255 * np.mean(who.skin)))
    return Palette(left, right, gain, creases)


def draw_mouth(layer: np.ndarray, who: Look, m: Mouth, colours: Palette, lamp: Light) -> None:
    """Draw lips, teeth and tongue into the layer, in place."""
    view, x, y = part(layer, 88.0, 168.0, who.mouth_y - 17, who.mouth_y + 36)
    u = (x - 128) / m.half
    lip = np.clip(u, -1, 1)
    top, up, low, bottom = m.edges(lip)
    inside = (np.abs(u) < 1.0).astype(np.float32)
    area = view[..., :3].astype(np.float32)
    skin = colours.left + (colours.right - colours.left) * np.clip(0.5 + 0.5 * u, 0, 1)[..., None]

    # skin around the lips: dark corners, shade under the lower lip, bright rim above the upper
    away = np.hypot((np.abs(x - 128) - m.half - 0.5) / 3.0, (y - m.seam(np.ones(1))) / 2.2)
    under = np.exp(-(((y - bottom - 2.2) / 2.6) ** 2)) * (1 - lip**2)
    rim = np.exp(-(((y - top + 1.2) / 1.1) ** 2)) * (1 - lip**2) ** 0.5
    shade = 0.30 * np.exp(-(away**2)) + 0.16 * under * (1 + 0.5 * m.round) - 0.05 * rim
    area *= (1 - shade)[..., None]

    # lips: the upper faces down and is dark, the lower faces up and catches the light
    upper_lip = soft(y - top, EDGE * 1.6) * soft(up - y, EDGE) * inside
    lower_lip = soft(y - low, EDGE) * soft(bottom - y, EDGE * 1.6) * inside
    v_up = np.clip((y - top) / np.maximum(up - top, 0.5), 0, 1)
    v_low = np.clip((y - low) / np.maximum(bottom - low, 0.5), 0, 1)
    side = 1 + 0.22 * lamp.x * lip - 0.10 * lip**2
    shade_up = (0.92 - 0.30 * v_up + 0.10 * np.sin(np.pi * v_up)) * side
    shade_low = (0.80 + 0.42 * np.sin(np.pi * v_low**0.75) - 0.20 * v_low) * side
    column = ((lip[0] * 0.5 + 0.5) * 127).astype(np.intp)
    lines = colours.creases[:, column]
    shade_up = shade_up + 0.035 * lines[(v_up * 15).astype(np.intp), np.arange(len(column))]
    shade_low = shade_low + 0.045 * lines[(v_low * 15).astype(np.intp), np.arange(len(column))]
    red = np.float32([0.97, 0.97 - 0.36 * who.lip_red, 0.97 - 0.32 * who.lip_red])
    gloss = (26 + 14 * who.lip_red) * colours.gain * bump(lip, v_low, 0.3 * lamp.x, 0.36, 0.42, 0.2)
    tint = skin * red
    for cover, shade, shine in ((upper_lip, shade_up, 0.0), (lower_lip, shade_low, gloss)):
        colour = tint * shade[..., None] + np.asarray(shine)[..., None]
        area += cover[..., None] * (colour - area)

    # the line between the lips, then the cavity over it where they part
    meet = np.exp(-(((y - 0.5 * (up + low)) / 0.85) ** 2)) * np.clip(1.04 - lip**4, 0, 1) * inside
    area *= 1 - (0.80 * meet * np.clip(1.2 - m.gap / 3, 0, 1))[..., None]
    if m.gap > 0.05:
        hole = soft(y - up, EDGE) * soft(low - y, EDGE) * (np.abs(u) < SEAM)
        hole = hole * np.clip(m.gap * m.bow(lip / SEAM) / EDGE, 0, 1)
        area += hole[..., None] * (_cavity(who, m, colours.gain, x, y, lip, up, low) - area)
    view[..., :3] = np.clip(area, 0, 255).astype(np.uint8)


def _cavity(who: Look, m: Mouth, gain: float, x: np.ndarray, y: np.ndarray, u: np.ndarray,
            up: np.ndarray, low: np.ndarray) -> np.ndarray:
    """What an open mouth shows: dark throat, tongue, lower teeth, upper teeth."""
    colour = np.float32([34, 11, 10]) * gain + 0 * (x + y)[..., None]
    floor = m.y + 0.82 * m.gap  # the lower lip's edge at the middle, which moves with the jaw
    back = floor - np.clip(0.42 * m.gap, 1.5, 7.5) + 5.0 * u * u
    rise = np.clip((y - back) / 4.0, 0, 1) * np.clip((floor + 0.6 - y) / 3.4, 0.25, 1)
    groove = 1 - 0.25 * np.exp(-((u / 0.07) ** 2)) * rise
    tongue = np.float32([150, 66, 66]) * gain * ((0.40 + 0.42 * rise) * groove)[..., None]
    colour += (soft(y - back, 1.6) * soft(0.66 - np.abs(u), 0.16))[..., None] * (tongue - colour)
    position = np.abs(x - 128)
    edges = (0.0, 4.6, 8.2, 12.0, 15.4, 18.5)  # tooth borders from the middle, px
    gaps = np.min([np.abs(position - e) for e in edges], axis=0)
    teeth = np.float32([236, 228, 212]) * min(1.0, gain * 1.02)
    dim = np.clip(1.04 - (position / 21.0) ** 2.2, 0.12, 1)
    lines = 1 - 0.22 * np.exp(-((gaps / 0.45) ** 2))
    shadow = 0.62 + 0.38 * np.clip((y - up) / 2.6, 0, 1)  # of the upper lip
    bite = m.y + 2.6 - 0.006 * position**2 + 0.5 * np.exp(-((gaps / 0.8) ** 2)) * -1.0
    bite = np.minimum(bite, m.y + 0.55 * m.gap + 1.6)
    show = np.clip((m.gap - 5) / 8, 0, 1)
    crown = floor - 2.3 * show + 0.010 * position**2 + 0.4 * np.exp(-((gaps / 0.8) ** 2))
    below = soft(y - crown, EDGE) * soft(13 - position, 2.0) * (show > 0)
    lower = teeth * (0.62 * dim * lines)[..., None]
    colour += below[..., None] * (lower - colour)
    upper = teeth * (dim * lines * shadow)[..., None]
    colour += (soft(bite - y, EDGE) * soft(20 - position, 2.0))[..., None] * (upper - colour)
    depth = np.clip(np.minimum(y - up, low - y) / 1.4, 0, 1)
    return colour * (0.55 + 0.45 * depth)[..., None]


def lids(who: Look, side: int, blink: float, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights of upper and lower lid edge; u runs from the nose (-1) outwards (1)."""
    tilt = -who.eye_tilt * u
    rest = np.clip(1 - np.abs(u) ** 2.3, 0, 1)
    high = rest**0.78 * (1 - 0.14 * u) * 0.60 * who.eye_height
    down = rest**0.85 * (1 + 0.15 * u) * 0.40 * who.eye_height
    return EYES + tilt - high * (1 - blink) + (down - 0.4) * blink, EYES + tilt + down


def eye_landmarks(who: Look, blink: float) -> Float[np.ndarray, "12 2"]:
    """Points 36-47 of the 68, each eye from the picture's left corner over the upper lid."""
    points = []
    for side in (-1, 1):
        u = np.array([-1, -0.36, 0.36, 1.0])
        high, down = lids(who, side, blink, u * side)
        x = 128 + side * who.eye_gap / 2 + u * who.eye_width
        order = [(x[i], high[i]) for i in range(4)] + [(x[2], down[2]), (x[1], down[1])]
        points += order
    return np.array(points)


def draw_eye(layer: np.ndarray, who: Look, side: int, blink: float, gaze: tuple[float, float],
             gain: float, lamp: Light) -> None:
    """Draw one eye (side -1: the picture's left) into the layer, in place."""
    cx = 128 + side * who.eye_gap / 2
    view, x, y = part(layer, cx - 20, cx + 20, EYES - 14.0, EYES + 12.0)
    u = np.clip((x - cx) / who.eye_width, -1, 1) * side
    beyond = np.abs(x - cx) < who.eye_width
    high, down = lids(who, side, blink, u)
    area = view[..., :3].astype(np.float32)
    crease = np.exp(-(((y - high + 3.2 * (1 - 0.5 * blink) * (1 - 0.4 * u * u)) / 0.9) ** 2))
    area *= 1 - (0.26 * crease * np.clip(1.1 - u**4, 0, 1) * beyond)[..., None]
    open_ = soft(y - high, EDGE) * soft(down - y, EDGE) * beyond
    shadow = np.clip(0.58 + 0.42 * (y - high) / 3.4, 0.5, 1)
    ball = (1 - 0.24 * np.abs(u) ** 2.5) * shadow * (1 + 0.10 * lamp.x * u * side)
    white = np.float32([228, 220, 216]) * min(1.0, gain * 0.98) * ball[..., None]
    white = white - bump(u, y, -0.95, EYES + 0.6, 0.16, 2.2)[..., None] * np.float32([10, 60, 60])
    dx, dy = x - cx - gaze[0], y - EYES + 1.0 - gaze[1]
    r = np.hypot(dx, dy) / 5.7
    rays = 0.12 * np.sin(np.arctan2(dy, dx) * 17 + 6 * np.sin(np.arctan2(dy, dx) * 5 + who.seed))
    glow = 0.72 + rays + 0.30 * soft(dy / 5.7, 1.4) * (1.2 - r)
    iris = np.float32(who.iris) * 255 * glow[..., None]
    iris = iris * (1 - 0.60 * soft(r - 0.90, 0.22))[..., None] * (shadow * gain * 1.05)[..., None]
    iris = iris * soft(r - 0.40, 0.14)[..., None]
    white += soft(1 - r, 0.16)[..., None] * (iris - white)
    white += np.exp(-(((dx - 1.9 * np.sign(lamp.x)) ** 2 + (dy + 1.9) ** 2) / 1.0))[..., None] * 235
    area += open_[..., None] * (np.clip(white, 0, 255) - area)
    lash = np.exp(-(((y - high + 0.1) / (0.75 + 0.35 * (u + 1) * 0.5)) ** 2)) * beyond
    area *= 1 - (0.84 * lash * np.clip(1.25 - 0.8 * np.abs(u) ** 3, 0, 1))[..., None]
    rim = np.exp(-(((y - down - 0.2) / 0.6) ** 2)) * beyond * (0.55 + 0.45 * u)
    area *= 1 - (0.34 * np.clip(rim, 0, 1))[..., None]
    view[..., :3] = np.clip(area, 0, 255).astype(np.uint8)
