"""What surrounds a drawn face: light on the skin, hair, ears, neck, clothes and the wall behind."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from amie_core.data.synthetic.head import (
    EYES,
    MIDDLE,
    SCALE,
    SIDE,
    Look,
    bare,
    blur,
    bump,
    grain,
    grid,
    outside,
    soft,
)


@dataclass(frozen=True)
class Light:
    """Where the light stands (x right, y down, z to the viewer; unit length), strength, warmth."""

    x: float
    y: float
    z: float
    key: float
    warm: float


def light(rng: np.random.Generator) -> Light:
    """A lamp up to 50 degrees to a side and 15 to 45 degrees above."""
    side, above = np.radians(rng.uniform(-50, 50)), np.radians(rng.uniform(15, 45))
    x, y, z = np.sin(side) * np.cos(above), -np.sin(above), np.cos(side) * np.cos(above)
    return Light(x, y, z, rng.uniform(0.85, 1.1), rng.uniform(-0.04, 0.06))


def head_layer(who: Look, lamp: Light) -> UInt8[np.ndarray, "s s 4"]:
    """The head with hair, neck and clothes but without eyes and lips, RGB and coverage."""
    x, y = grid()
    rng = np.random.default_rng([9, who.seed])
    skin = _lit_skin(who, lamp)
    head = soft(1.0 - outside(who, x, y), 2.2 / who.cheek)
    colour, alpha = np.empty((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32)
    colour[:] = np.float32(who.hair) * 0.25
    tone = _strands(who, lamp, rng)
    _lay(colour, alpha, tone * 0.55, _hair_behind(who))
    _neck_and_clothes(who, lamp, rng, colour, alpha, head)
    if who.style not in ("long", "bob"):
        _ears(who, lamp, colour, alpha)
    front = _hair_front(who, rng)
    shadow = 1 - 0.42 * np.clip(blur(front, 3.5) * 1.2, 0, 1) * soft(EYES - 6 - y, 70)
    _lay(colour, alpha, skin * shadow[..., None], head)
    _lay(colour, alpha, tone, front)
    layer = np.dstack([np.clip(colour, 0, 1), alpha])
    return np.rint(layer * 255).astype(np.uint8)


def wall(who: Look, lamp: Light, rng: np.random.Generator) -> UInt8[np.ndarray, "256 256 3"]:
    """The background: a plain wall, brighter where the light falls, a little out of focus."""
    y, x = np.mgrid[0:256, 0:256].astype(np.float32) / 255 - 0.5
    fall = 1 + 0.22 * lamp.x * x * 2 - 0.10 * y + 0.03 * grain(rng, 4, 256)
    fall = fall - 0.22 * bump(x, y, -0.25 * lamp.x, 0.15, 0.42, 0.6)
    colour = np.float32(who.wall) * (fall + 0.006 * rng.standard_normal((256, 256)))[..., None]
    return np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8)


def _lay(colour: np.ndarray, alpha: np.ndarray, over: np.ndarray, cover: np.ndarray) -> None:
    """Lay a picture over what is there (both change in place)."""
    colour += cover[..., None] * (over - colour)
    alpha += cover * (1 - alpha)


def _tone(linear: np.ndarray) -> np.ndarray:
    """Linear light to display values; bright places bend rather than burn out."""
    bent = linear * (1 + 0.12 * linear) / (1 + 0.22 * linear)
    return cv2.pow(np.maximum(bent, 0).astype(np.float32), 1 / 2.2)


def _lit_skin(who: Look, lamp: Light) -> np.ndarray:
    """Skin under the lamp: ambient from above, wrapped diffuse light, red edge, soft gloss."""
    normal, albedo, hollow, oil = bare(who)
    facing = normal @ np.float32([lamp.x, lamp.y, lamp.z])
    ambient = (0.22 - 0.10 * normal[..., 1]) * hollow
    wrap = np.clip((facing + 0.25) / 1.25, 0, 1)
    rim = np.clip(normal[..., 2], 0, 1) ** 0.35  # skin turning away reflects little
    diffuse = lamp.key * 1.0 * wrap * hollow**0.6 * rim
    edge = bump(facing, facing * 0, 0.05, 0.0, 0.35, 1.0) * 0.06
    half = np.float32([lamp.x, lamp.y, lamp.z + 1.0])
    half /= np.linalg.norm(half)
    gloss = 0.16 * oil * np.clip(normal @ half, 0, 1) ** 22
    linear = cv2.pow(albedo, 2.2) * (ambient + diffuse)[..., None]
    linear *= np.float32([1 + lamp.warm, 1.0, 1 - lamp.warm])
    linear += linear * (edge * 2.0)[..., None] * np.float32([1.6, 0.2, 0.0])
    return _tone(linear + (0.30 * gloss * lamp.key)[..., None])


def _flow(who: Look) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates across and along the hair strands."""
    x, y = grid()
    top = EYES - who.skull
    if who.style in ("long", "bob"):
        centre = x - 128 - who.part * np.clip((y - top) / -60 + 1, 0, 1)
        across = np.sqrt((centre / 72) ** 2 + (np.clip(y - 150, -200, 0) / 130) ** 2) * 90
        across = np.where(y > 150, np.abs(centre) * 1.25, across) + np.sign(centre) * 300
        return across, y + 0.3 * np.abs(centre)
    angle = np.arctan2(x - 128 - 0.5 * who.part, (EYES + 10) - y) * 75
    radius = np.hypot(x - 128, y - EYES)
    lean = {"short": 0.35, "crop": 0.15, "curly": 0.8, "bun": 0.0}[who.style]
    return angle + lean * radius * np.sign(who.part), radius


def _strands(who: Look, lamp: Light, rng: np.random.Generator) -> np.ndarray:
    """Hair colour with strands and a band of gloss."""
    x, y = grid()
    across, along = _flow(who)
    tile = rng.standard_normal((48, 1024)).astype(np.float32)
    tile = cv2.GaussianBlur(tile, (0, 0), 0.8) * 2
    wave = who.curl * (5 if who.style == "curly" else 1.2)
    across = across + wave * grain(rng, 26 if who.style == "curly" else 10)
    long = 0.30 if who.style == "curly" else 0.09
    reach = (across * 1.9) % 1000, (along * long) % 44
    fine = cv2.remap(tile, reach[0].astype(np.float32), reach[1].astype(np.float32),
                     cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    locks = cv2.remap(cv2.GaussianBlur(tile, (0, 0), 3) * 4, (reach[0] * 0.5).astype(np.float32),
                      (reach[1] * 0.5).astype(np.float32), cv2.INTER_LINEAR)
    rise = np.clip((MIDDLE - y) / (who.skull + who.volume), -1, 1)
    band = np.exp(-(((rise - 0.66 - 0.12 * lamp.x * (x - 128) / 60) / 0.16) ** 2))
    facing = 0.62 + 0.30 * np.clip(0.4 + lamp.x * (x - 128) / 70 + 0.6 * rise, -0.6, 1.2)
    shade = facing * (1 + 0.20 * fine + 0.16 * locks)
    base = np.float32(who.hair) * shade[..., None] * 1.1 + 0.012
    shine = band * np.clip(0.5 + 0.5 * fine, 0, 1.5) * 0.22 * lamp.key
    return (base + shine[..., None] * (0.35 * np.float32(who.hair) + 0.25)).astype(np.float32)


def _hair_behind(who: Look) -> np.ndarray:
    """Coverage of the hair that hangs behind neck and ears."""
    x, y = grid()
    if who.style == "bun":
        knot = 1 - np.hypot((x - 128) / 24, (y - (EYES - who.skull - 8)) / 19)
        return soft(knot, 0.08)
    if who.style not in ("long", "bob"):
        return np.zeros_like(x)
    end = 222 if who.style == "bob" else 300
    t = np.clip((y - 105) / 60, 0, 1)
    half = who.cheek + who.volume + t * t * (3 - 2 * t) * (5 + 4 * np.sin(y / 23 + who.part))
    half = half - 0.25 * np.clip(y - 195, 0, None) * (who.style == "bob")
    ragged = 1.5 * np.sin(x * 1.7) + 2 * np.sin(x * 0.37)
    return soft(half - np.abs(x - 128), 2) * soft(y - 95, 20) * soft(end + ragged - y, 5)


def _hair_front(who: Look, rng: np.random.Generator) -> np.ndarray:
    """Coverage of the hair on the skull and around the face."""
    x, y = grid()
    style, bulk = who.style, {"crop": 0.3, "bun": 0.35, "curly": 2.0}.get(who.style, 1.0)
    across, along = _flow(who)
    tile = rng.standard_normal((8, 1024)).astype(np.float32)
    ragged = cv2.remap(tile, ((across * 1.1) % 1000).astype(np.float32),
                       ((along * 0.03) % 6).astype(np.float32), cv2.INTER_LINEAR)
    if style == "curly":
        ragged = 2.2 * grain(rng, 34) + 0.8 * grain(rng, 90)
    skull = soft(1.0 - outside(who, x, y, grow=bulk * who.volume) + 0.018 * ragged, 0.03)
    u = (x - 128) / who.cheek
    line = EYES - who.hairline + 6 * who.curl * np.cos(2.2 * u + who.part / 10)
    if style in ("long", "bob"):  # a curtain falling from the parting
        open_ = np.clip((y - (EYES - who.hairline - 12)) / 90, 0, 1) ** 0.55
        left = 128 + who.part - (who.part + 54) * open_
        right = 128 + who.part + (54 - who.part) * open_
        gap = np.minimum(x - left, right - x) + 1.2 * ragged
        face = soft(gap, 3.0) * soft(y - (EYES - who.hairline - 14), 6)
        end = 222 if style == "bob" else 300
        skirt = np.where(y > MIDDLE, soft(who.cheek + who.volume - np.abs(x - 128), 2), skull)
        inner = soft(np.abs(x - 128) - 54 - 0.07 * np.clip(y - 150, 0, None) - 1.2 * ragged, 3)
        sides = np.where(y > 150, inner, 1 - face)
        tips = soft(end - y + 1.5 * np.sin(x * 1.3) + 2 * np.sin(x * 0.4), 6)
        return (skirt * sides * tips).astype(np.float32)
    drop = {"short": 26, "crop": 20, "curly": 22, "bun": 16}[style]
    line = line + drop * np.clip(np.abs(u) - 0.62, 0, 1) * 4.2 + 1.6 * ragged
    fade = {"crop": 9.0, "short": 3.0, "curly": 4.0, "bun": 3.5}[style]
    burn = soft(np.abs(x - 128) - who.cheek + 7.5 - 0.10 * (EYES + 8 - y) + ragged, 3)
    above = np.maximum(soft(line - y, fade), burn * soft(EYES + 12 - y, 14))
    return (skull * above).astype(np.float32)


def _ears(who: Look, lamp: Light, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Both ears, partly behind the head."""
    x, y = grid()
    for side in (-1, 1):
        cx = 128 + side * (who.cheek + 2.0)
        u, v = (x - cx - side * 0.10 * (128 - y)) / 7.5, (y - EYES - 15) / 18
        r = np.hypot(u, v)
        turned = 0.60 + 0.22 * np.clip(side * lamp.x, -0.7, 1)
        fold = 1 - 0.28 * np.exp(-(((r - 0.62) / 0.16) ** 2))
        fold = fold - 0.25 * bump(u, v, -side * 0.5, 0, 0.5, 0.5)
        over = np.float32(who.skin) * np.float32([1.0, 0.88, 0.84]) * (turned * fold)[..., None]
        _lay(colour, alpha, over.astype(np.float32), soft(1 - r, 0.14).astype(np.float32))


def _neck_and_clothes(who: Look, lamp: Light, rng: np.random.Generator, colour: np.ndarray,
                      alpha: np.ndarray, head: np.ndarray) -> None:
    """Neck in the shadow of the chin, and a garment with a collar."""
    x, y = grid()
    half = who.cheek * 0.61 + 0.05 * np.abs(y - 205) + 0.010 * np.clip(y - 205, 0, None) ** 2
    u = (x - 128) / half
    round_ = np.sqrt(np.clip(1 - np.clip(u, -1, 1) ** 2, 0, 1))
    shade = 0.42 + 0.38 * round_ * np.clip(0.75 + 0.6 * lamp.x * u, 0.1, 1.3)
    drop = int(16 * SCALE)
    below = np.roll(head, (drop, -int(lamp.x * 14 * SCALE)), (0, 1))
    shade = shade * (1 - 0.48 * np.clip(blur(below.astype(np.float32), 5.0) * 1.1, 0, 1))
    shade = shade * (1 - 0.12 * bump(np.abs(x - 128) + (y - 225) * 0.3, y, 14, 240, 3.5, 30))
    skin = np.float32(who.skin) * shade[..., None] * np.float32([1.04, 0.97, 0.94])
    out = np.abs(x - 128)
    _lay(colour, alpha, skin.astype(np.float32), soft(half - out, 1.6) * soft(y - 160, 4))
    collar = 248 - 17 * np.clip(out / 44, 0, 1) ** 1.4
    edge = collar + 0.0045 * np.clip(out - 44, 0, None) ** 1.9  # the shoulders slope away
    weave = 1 + 0.05 * grain(rng, (SIDE // 2, 60)) + 0.07 * grain(rng, (14, 40))
    lit = 0.62 + 0.35 * np.clip(0.5 + 0.9 * lamp.x * (x - 128) / 110, 0, 1)
    lit = lit + 0.1 * soft(250 - y, 30)
    seam = 1 - 0.25 * np.exp(-(((y - edge) / 1.6) ** 2))
    seam = seam - 0.3 * np.exp(-(((y - edge - 6) / 0.9) ** 2)) * (out < 50)
    cloth = np.float32(who.cloth) * (weave * lit * seam)[..., None]
    _lay(colour, alpha, cloth.astype(np.float32), soft(y - edge, 1.6).astype(np.float32))
