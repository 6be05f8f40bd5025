"""Faces: where they are, their 68 landmarks, one similarity a clip to 256², the lip box."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from amie_core.config import FACE_SIZE
from amie_core.errors import UserError

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
LIP_BOX = (80, 128)  # rows × columns at 256 px
SURE = 0.5  # score from which landmarks count as found
FOREHEAD = 0.215  # of brow to chin: what a face's box has above the brows (measured on GRID)
RIVAL = 0.5  # of the largest face's side: from this size on, another face makes two


@dataclass(frozen=True)
class Detection:
    """A face: box (left, top, right, bottom) px of the upright face, score, roll in radians."""

    box: tuple[float, float, float, float]
    score: float
    angle: float = 0.0

    @property
    def side(self) -> float:
        """Longer side of the box, px."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])


@runtime_checkable  # the tests check types as the code runs
class LandmarkBackend(Protocol):
    """What preparation asks of a landmark finder. Both methods take an RGB frame."""

    name: str

    def detect(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces of the frame, surest first."""
        ...

    def landmarks(
        self, frame: UInt8[np.ndarray, "h w 3"], place: Detection
    ) -> tuple[Float[np.ndarray, "68 2"], float]:
        """68 points (iBUG order, px) of the face at `place`, and how sure it is one (0 … 1)."""
        ...


@cache
def backend(name: str = "auto") -> LandmarkBackend:
    """The landmark finder of that name: "mesh" or "face-alignment".

    "auto" takes face-alignment where a GPU and its weights are at hand (on a CPU it needs seconds
    a frame), else the mesh. UserError: unknown, or not installed.
    """
    if name == "auto":
        name = "mesh"
        if importlib.util.find_spec("torch") and importlib.util.find_spec("face_alignment"):
            from amie_core.data import landmarks_fan

            name = "face-alignment" if landmarks_fan.at_hand() else "mesh"
    if name == "mesh":
        from amie_core.data.landmarks_mesh import MeshBackend

        return MeshBackend()
    if name == "face-alignment":
        from amie_core.data.landmarks_fan import FaceAlignmentBackend

        return FaceAlignmentBackend()
    raise UserError(f"unknown landmark backend {name!r}: choose auto, mesh or face-alignment")


def face_place(points: Float[np.ndarray, "68 2"], score: float = 1.0) -> Detection:
    """The place of a face from its landmarks: where to look for it in the next frame."""
    across = points[42:48].mean(0) - points[36:42].mean(0)
    angle = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])  # points @ turn: the upright face
    upright = points @ turn
    low, high = upright.min(0), upright.max(0)
    low[1] -= FOREHEAD * (high[1] - low[1])
    centre, half = turn @ ((low + high) / 2), (high - low) / 2
    box = (*(centre - half).tolist(), *(centre + half).tolist())
    return Detection(box, score, angle)


def alignment(landmarks: Float[np.ndarray, "n 68 2"]) -> Float[np.ndarray, "2 3"]:
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
    import cv2

    return _sample(frame, matrix * (size / FACE_SIZE), size, cv2.BORDER_REPLICATE)


def _sample(frame: np.ndarray, matrix: np.ndarray, size: int, border: int) -> np.ndarray:
    import cv2

    scale = float(np.hypot(*matrix[:, 0]))
    if scale < 0.5:  # sampling without a filter would alias: shrink first
        frame = cv2.resize(frame, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([0.5 / scale, 0.5 / scale, 1])
    return cv2.warpAffine(frame, matrix, (size, size), borderMode=border)


def rivals(faces: list[Detection]) -> list[Detection]:
    """The faces that could be the one meant: the largest, and all at least half its size."""
    largest = max((face.side for face in faces), default=0.0)
    return [face for face in faces if face.side >= RIVAL * largest]


def locate(
    frame: UInt8[np.ndarray, "h w 3"], finder: LandmarkBackend, place: Detection
) -> tuple[Float[np.ndarray, "68 2"], float]:
    """Landmarks at a detected place: looked for twice, the second time where the first found."""
    points, score = finder.landmarks(frame, place)
    return finder.landmarks(frame, face_place(points)) if score >= SURE else (points, score)


def align_image(
    image: UInt8[np.ndarray, "h w 3"],
    *,
    face_index: int | None = None,
    size: int = FACE_SIZE,
    finder: LandmarkBackend | None = None,
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "68 2"], Float[np.ndarray, "2 3"]]:
    """The aligned face of a still, its landmarks in 256-px units, and the similarity.

    face_index: which face, counted from the left; needed only where several are of like size.
    UserError: no face, several and none chosen, or no such index.
    """
    finder = finder or backend()
    faces = sorted(rivals(finder.detect(image)), key=lambda face: face.box[0])
    if not faces:
        raise UserError("no face in the image: give one that shows a face from the front")
    if face_index is None and len(faces) > 1:
        raise UserError(
            f"{len(faces)} faces in the image: choose one, 0 (left) to {len(faces) - 1}, or crop it"
        )
    if face_index is not None and not 0 <= face_index < len(faces):
        raise UserError(f"face {face_index} asked for, but the image has {len(faces)}")
    points, score = locate(image, finder, faces[face_index or 0])
    if score < SURE:
        raise UserError("no clear face in the image: give one that shows a face from the front")
    matrix = alignment(points[None])
    return warp(image, matrix, size), transform(points, matrix), matrix


def lip_box(landmarks: Float[np.ndarray, "n 68 2"]) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the lip crop (Eq. 11): 80 rows × 128 columns at 256 px.

    Centred on the mean mouth, on multiples of 4 (exact at 64 px), inside the picture.
    """
    x, y = landmarks[:, 48:68].mean(axis=(0, 1))
    top, left = (
        int(np.clip(4 * round((float(centre) - length / 2) / 4), 0, FACE_SIZE - length))
        for centre, length in ((y, LIP_BOX[0]), (x, LIP_BOX[1]))
    )
    return top, top + LIP_BOX[0], left, left + LIP_BOX[1]


def lip_opening(landmarks: Float[np.ndarray, "n 68 2"]) -> Float[np.ndarray, " n"]:
    """Opening of the mouth, px: mean distance of the inner-lip pairs 61-67, 62-66, 63-65."""
    return np.linalg.norm(landmarks[:, 61:64] - landmarks[:, [67, 66, 65]], axis=2).mean(axis=1)


def measure(
    frames: UInt8[np.ndarray, "n 256 256 3"], finder: LandmarkBackend | None = None
) -> tuple[Float[np.ndarray, "n 68 2"], Bool[np.ndarray, " n"]]:
    """Landmarks of aligned frames, and which were found.

    No detector and no memory from frame to frame: every frame is looked at in the template's
    place, so real and generated frames are measured alike.
    """
    finder = finder or backend()
    place = face_place(TEMPLATE)
    found = [finder.landmarks(frame, place) for frame in frames]
    points = np.array([pair[0] for pair in found], np.float32).reshape(-1, 68, 2)
    return points, np.array([pair[1] >= SURE for pair in found], bool)
