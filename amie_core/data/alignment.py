"""Alignment: the template, one similarity a clip to 256², the lip box, pictures through it."""

import numpy as np
from jaxtyping import Float, UInt8

from amie_core.config import FACE_SIZE, LIP_CROP

# Mean of eleven GRID speakers, made symmetric and scaled so that the eyes' centres lie 76 px
# apart at y = 98: the longest chin of those speakers, opened, stays inside the picture.
TEMPLATE: Float[np.ndarray, "68 2"] = np.array([
    (45, 103), (46, 120), (49, 157), (55, 177), (62, 193), (71, 205), (91, 223), (113, 234),
    (128, 236), (143, 234), (165, 223), (185, 205), (194, 193), (201, 177), (207, 157),
    (210, 120), (211, 103),
    (60, 80), (68, 73), (79, 69), (94, 69), (111, 71), (145, 71), (162, 69), (177, 69),
    (188, 73), (196, 80),
    (128, 92), (128, 110), (128, 127), (128, 137), (108, 150), (119, 153), (128, 153),
    (137, 153), (148, 150),
    (74, 98), (82, 94), (95, 93), (107, 99), (97, 102), (84, 102), (149, 99), (161, 93),
    (174, 94), (182, 98), (172, 102), (159, 102),
    (97, 179), (104, 174), (119, 169), (128, 170), (137, 169), (152, 174), (159, 179),
    (152, 187), (137, 195), (128, 196), (119, 195), (104, 187),
    (102, 178), (115, 177), (128, 178), (141, 177), (154, 178), (142, 183), (128, 184),
    (114, 183),
], np.float32)  # fmt: skip
STABLE = list(range(27, 48))  # nose and eyes: they do not move when the mouth does


def similarity(landmarks: Float[np.ndarray, "n 68 2"]) -> Float[np.ndarray, "2 3"]:
    """One similarity for a clip: its mean nose and eyes onto TEMPLATE's, least squares.

    Per-frame alignment would make the face zoom in and out; one matrix keeps its motion.
    """
    source = landmarks.mean(axis=0)[STABLE].astype(np.float64)
    target = TEMPLATE[STABLE].astype(np.float64)
    a, b = source - source.mean(0), target - target.mean(0)
    za, zb = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    turn = (za.conj() @ zb) / (za.conj() @ za)  # scale · e^{i angle}
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target.mean(0) - linear @ source.mean(0)])


def transform(
    points: Float[np.ndarray, "*n 2"], matrix: Float[np.ndarray, "2 3"]
) -> Float[np.ndarray, "*n 2"]:
    """Points in px, moved as `warp` moves the picture."""
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def warp(
    frame: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 3"], size: int = FACE_SIZE
) -> UInt8[np.ndarray, "s s 3"]:
    """The frame through `matrix` (to 256-px units) as a size² picture; edges are continued."""
    return sample(frame, matrix * (size / FACE_SIZE), size)


def sample(
    frame: np.ndarray, matrix: np.ndarray, size: int, border: int | None = None
) -> np.ndarray:
    """The frame through `matrix` (to px of the result); shrunk first where it would alias.

    border: OpenCV's name of what lies beyond the edges; None continues them.
    """
    import cv2

    border = cv2.BORDER_REPLICATE if border is None else border
    scale = float(np.hypot(*matrix[:, 0]))
    if scale < 0.5:  # sampling without a filter would alias: shrink first
        height, width = frame.shape[:2]
        small = max(1, round(2 * scale * width)), max(1, round(2 * scale * height))
        frame = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
        x, y = width / small[0], height / small[1]  # px there for one of the smaller picture
        # Places are those of pixels' centres, at whole numbers; edges fall on edges.
        matrix = matrix @ np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    return cv2.warpAffine(frame, matrix, (size, size), borderMode=border)


def lip_box(landmarks: Float[np.ndarray, "n 68 2"]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the lip crop (Eq. 11): 80 rows × 128 columns at 256 px.

    Centred on the mean mouth, on multiples of 4 (exact at 64 px), inside the picture.
    """
    x, y = landmarks[:, 48:68].mean(axis=(0, 1))
    top, left = (
        int(np.clip(4 * round((float(centre) - length / 2) / 4), 0, FACE_SIZE - length))
        for centre, length in ((y, LIP_CROP[0]), (x, LIP_CROP[1]))
    )
    return top, top + LIP_CROP[0], left, left + LIP_CROP[1]


def mouth_square(box: tuple[int, int, int, int], side: int) -> Float[np.ndarray, "2 3"]:
    """The similarity from 256-px units of a face to those of a square around its mouth.

    box: the mouth's (`lip_box`); side: of the square, px at 256. It is moved to lie in the picture.
    """
    top, bottom, left, right = box
    x, y = (
        min(max((a + b - side) / 2, 0), FACE_SIZE - side) for a, b in ((left, right), (top, bottom))
    )
    ratio = FACE_SIZE / side
    # px are counted from the middle of the first one
    return np.array([[ratio, 0, (0.5 - x) * ratio - 0.5], [0, ratio, (0.5 - y) * ratio - 0.5]])


def pixels(matrix: Float[np.ndarray, "2 3"], size: int) -> Float[np.ndarray, "2 3"]:
    """A matrix to 256-px units as one to the px of a picture of that size, counted from the middle
    of the first one, as OpenCV does.
    """
    ratio = size / FACE_SIZE
    return np.diag([ratio, ratio]) @ matrix + [[0, 0, (ratio - 1) / 2]] * 2


def lip_opening(landmarks: Float[np.ndarray, "n 68 2"]) -> Float[np.ndarray, " n"]:
    """Opening of the mouth, px: mean distance of the inner-lip pairs 61-67, 62-66, 63-65."""
    return np.linalg.norm(landmarks[:, 61:64] - landmarks[:, [67, 66, 65]], axis=2).mean(axis=1)


def scale(frame: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """A frame at `size` px: cubic where it grows, area means where it shrinks."""
    import cv2

    if frame.shape[:2] == (size, size):
        return frame
    how = cv2.INTER_AREA if size < frame.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(frame, (size, size), interpolation=how)


def filled(points: Float[np.ndarray, "n p 2"], size: int) -> UInt8[np.ndarray, "n size size"]:
    """Polygons (px at 256²) filled with 255 in pictures of `size` px, anti-aliased."""
    import cv2

    out = np.zeros((len(points), size, size), np.uint8)
    scaled = ((points + 0.5) * (size / FACE_SIZE) - 0.5) * 16  # in sixteenths: cv2's shift of 4
    for picture, corners in zip(out, scaled.round().astype(np.int32), strict=True):
        cv2.fillPoly(picture, [corners], 255, cv2.LINE_AA, 4)
    return out
