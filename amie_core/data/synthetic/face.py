"""A drawn face in motion: the head at rest is stretched by the jaw, given lips and eyes, and posed.

Both steps that move pixels are backward maps with closed forms, so the 68 landmarks follow the same
maps by fixed-point iteration and are exact to a hundredth of a pixel.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from amie_core.data.synthetic import hair_and_clothes as dress
from amie_core.data.synthetic import mouth as parts
from amie_core.data.synthetic.head import EYES, MARGIN, MIDDLE, SCALE, Look, brow_line, bump

POSE = ("x", "y", "turn", "size", "yaw", "pitch")  # px, px, radians, log scale, px, px
STILL = 262.0  # below this row the shoulders no longer follow the head


@dataclass(frozen=True)
class Motion:
    """What the face does, a row a frame: articulation, lids (0 open … 1 shut), gaze (px), pose."""

    jaw: Float[np.ndarray, " n"]
    width: Float[np.ndarray, " n"]
    rounding: Float[np.ndarray, " n"]
    blink: Float[np.ndarray, " n"]
    gaze: Float[np.ndarray, "n 2"]
    pose: Float[np.ndarray, "n 6"]


class Face:
    """An identity under one light, ready to be drawn in any pose of mouth, eyes and head."""

    def __init__(self, who: Look, lamp: dress.Light, rng: np.random.Generator) -> None:
        self.who, self.lamp = who, lamp
        self.layer = dress.head_layer(who, lamp)
        self.wall = dress.wall(who, lamp, rng)
        self.colours = parts.palette(self.layer, who)
        self._eyes: dict[tuple, np.ndarray] = {}
        # the part of the layer that the jaw moves, and how far it moves there
        self.box = (72.0, 184.0, who.mouth_y - 26, who.mouth_y + 76)
        piece, x, y = parts.part(self.layer, *self.box)
        self.fall = _fall(who, x, y).astype(np.float32) * SCALE
        self.pull = _pull(who, x, y).astype(np.float32) * SCALE
        rows, columns = piece.shape[:2]
        self.home = np.meshgrid(np.arange(columns, dtype=np.float32),
                                np.arange(rows, dtype=np.float32))
        # pose maps are sums of fixed pictures
        px, py = np.meshgrid(np.arange(256, dtype=np.float32), np.arange(256, dtype=np.float32))
        hold, depth = _hold(py), _depth(px, py)
        self.basis = [((v * SCALE).astype(np.float32)) for v in
                      ((px - 128) * hold, (py - 150) * hold, hold, depth)]
        centre = (MARGIN + 0.5) * SCALE - 0.5
        self.screen = px * SCALE + centre, py * SCALE + centre

    def draw(self, motion: Motion, frame: int) -> UInt8[np.ndarray, "256 256 3"]:
        """The picture of one frame of the motion."""
        values = (float(v[frame]) for v in (motion.jaw, motion.width, motion.rounding))
        shape = parts.mouth(self.who, *values)
        layer = self._with_eyes(float(_lid(motion.blink)[frame]),
                                tuple(np.round(motion.gaze[frame] * 4) / 4)).copy()
        piece, _, _ = parts.part(layer, *self.box)
        wider = shape.half - self.who.mouth_width
        moved = cv2.remap(piece, self.home[0] - np.float32(wider) * self.pull,
                          self.home[1] - np.float32(shape.gap) * self.fall, cv2.INTER_LINEAR,
                          borderMode=cv2.BORDER_REPLICATE)
        piece[:] = moved
        parts.draw_mouth(layer, self.who, shape, self.colours, self.lamp)
        (a, b, dx), (c, d, dy) = _pose_terms(motion.pose[frame])
        yaw, pitch = motion.pose[frame][4:]
        across, down, hold, depth = self.basis
        f = np.float32
        mx = self.screen[0] + f(a) * across + f(b) * down + f(dx) * hold - f(yaw) * depth
        my = self.screen[1] + f(c) * across + f(d) * down + f(dy) * hold - f(pitch) * depth
        posed = cv2.remap(layer, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.merge([posed[..., 3]] * 3)
        front = cv2.multiply(posed[..., :3], cover, scale=1 / 255)
        behind = cv2.multiply(self.wall, cv2.bitwise_not(cover), scale=1 / 255)
        return cv2.add(front, behind)

    def landmarks(self, motion: Motion) -> Float[np.ndarray, "n 68 2"]:
        """The 68 points of every frame, in pixels of its picture."""
        shapes = [parts.mouth(self.who, *(float(v[i]) for v in
                                          (motion.jaw, motion.width, motion.rounding)))
                  for i in range(len(motion.jaw))]
        gap = np.array([[m.gap] for m in shapes])
        wider = np.array([[m.half - self.who.mouth_width] for m in shapes])
        still = np.repeat(rest_landmarks(self.who)[None], len(shapes), 0)
        points = still.copy()
        for _ in range(40):
            x, y = points[..., 0], points[..., 1]
            move = wider * _pull(self.who, x, y), gap * _fall(self.who, x, y)
            points = 0.5 * (points + still + np.stack(move, 2))  # halving settles steep places
        eyes = [parts.eye_landmarks(self.who, lid) for lid in _lid(motion.blink)]
        lips = [m.landmarks() for m in shapes]
        points = np.concatenate([points, np.stack(eyes), np.stack(lips)], 1)
        return _posed(points, motion.pose).astype(np.float32)

    def _with_eyes(self, blink: float, gaze: tuple) -> np.ndarray:
        """The layer with eyes drawn; few different ones occur in a clip, so they are kept."""
        if (blink, gaze) not in self._eyes:
            layer = self.layer.copy()
            for side in (-1, 1):
                parts.draw_eye(layer, self.who, side, blink, gaze, self.colours.gain, self.lamp)
            self._eyes[blink, gaze] = layer
        return self._eyes[blink, gaze]


def rest_landmarks(who: Look) -> Float[np.ndarray, "36 2"]:
    """Points 0-35: jaw line, brows, nose, of the head at rest in face coordinates."""
    angle = np.linspace(np.pi + 0.06, -0.06, 17)
    reach = who.chin + EYES - MIDDLE
    side, down = np.cos(angle), np.maximum(np.sin(angle), 0)
    # the outline |x|^2 + |y|^square = 1 below the widest place; a little above it, straight up
    height = reach * down ** (2 / who.square) + 90 * np.minimum(np.sin(angle), 0)
    across = who.cheek * np.sign(side) * np.sqrt(1 - down**2)
    jaw = np.stack([128 + across, MIDDLE + height], 1)
    brows = np.concatenate([brow_line(who, -1), brow_line(who, 1)])
    tip = EYES + who.nose_length
    ridge = np.stack([np.full(4, 128.0), np.linspace(EYES, tip - 3, 4)], 1)
    across = np.array([-0.78, -0.40, 0, 0.40, 0.78]) * who.nose_width
    base = np.stack([128 + across, tip + np.array([4.2, 5.8, 6.8, 5.8, 4.2])], 1)
    return np.concatenate([jaw, brows, ridge, base])


def _fall(who: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far the skin sinks for a pixel of opening: all at lower lip and chin, none at cheeks."""
    out = np.abs(x - 128)
    band = 14 + 0.9 * np.clip(out - 16, 0, 40)
    t = np.clip((y - who.mouth_y + 0.45 * (band - 14)) / band, 0, 1)
    under = np.clip((EYES + who.chin + 38 - y) / 28, 0, 1)
    aside = np.exp(-((out / (54 - 0.5 * np.clip(y - 205, 0, 50))) ** 4))
    return 1.08 * t * t * (3 - 2 * t) * aside * under * under * (3 - 2 * under)


def _pull(who: Look, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far skin moves outwards for one pixel of widening of the mouth."""
    out = x - 128
    reach = np.exp(-((np.abs(out) - who.mouth_width) / 13) ** 2) * np.clip(np.abs(out) / 8, 0, 1)
    return 0.8 * np.sign(out) * reach * np.exp(-(((y - who.mouth_y) / 17) ** 2))


def _hold(y: np.ndarray) -> np.ndarray:
    """Share of the head's motion: 1 down to the chin, less over the neck, 0 at the shoulders."""
    t = np.clip((STILL - y) / 46, 0, 1)
    return t * t * (3 - 2 * t)


def _depth(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Nearness to the viewer, 0 … 1.4: what turns furthest when the head turns."""
    return bump(x, y, 128, 130, 58, 78) + 0.4 * bump(x, y, 128, 146, 15, 20)


def _pose_terms(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of (inverse similarity - identity) about the neck, acting on (x-128, y-150, 1)."""
    x, y, turn, size = pose[:4]
    c, s = np.cos(turn) * np.exp(-size), np.sin(turn) * np.exp(-size)
    rows = np.array([[c, s], [-s, c]])
    shift = -rows @ np.array([x, y])
    return np.append(rows[0] - [1, 0], shift[0]), np.append(rows[1] - [0, 1], shift[1])


def _posed(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Where face coordinates (n, k, 2) land in the posed pictures: solves the backward map."""
    rows = np.stack([np.stack(_pose_terms(p)) for p in pose])
    found = points.copy()
    for _ in range(30):
        x, y = found[..., 0], found[..., 1]
        terms = np.stack([x - 128, y - 150, np.ones_like(x)], 2)
        move = _hold(y)[..., None] * np.einsum("nkt,nct->nkc", terms, rows)
        found = points - move + _depth(x, y)[..., None] * pose[:, None, 4:]
    return found


def _lid(blink: np.ndarray) -> np.ndarray:
    """Eighths in which lids move, so that few different eyes are drawn."""
    return np.round(blink * 8) / 8
