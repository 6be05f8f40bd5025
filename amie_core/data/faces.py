"""Faces: where they are, their 68 landmarks, one similarity a clip to 256², the lip box."""

import importlib.util
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, UInt8

from amie_core.config import FACE_SIZE
from amie_core.data.alignment import TEMPLATE, similarity, transform, warp
from amie_core.data.landmarks import SURE, Detection, LandmarkBackend, face_place
from amie_core.errors import UserError

RIVAL = 0.5  # of the largest face's side: from this size on, another face makes two
DOUBTFUL, SURER = 0.75, 0.15  # score of a detection; how much surer the picture upside down is


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


def rivals(faces: list[Detection]) -> list[Detection]:
    """The faces that could be the one meant: the largest, and all at least half its size."""
    largest = max((face.side for face in faces), default=0.0)
    return [face for face in faces if face.side >= RIVAL * largest]


def of_still(image: UInt8[np.ndarray, "h w 3"], finder: LandmarkBackend) -> list[Detection]:
    """The faces of a still that could be the one meant, from the left: every detector looks, and
    where landmarks confirm some of what they found, the others are none."""
    found = getattr(finder, "every", finder.detect)(image)
    if len(found) < 2:  # nobody to be told from
        return found
    sure = [face for face in found if locate(image, finder, face)[1] >= SURE]
    return sorted(rivals(sure or found), key=lambda face: face.box[0])


def picked(found: list[Detection], index: int | None) -> Detection:
    """Number `index` of the faces, or the only one (UserError: none, several, or no such index)."""
    if not found:
        raise UserError("no face in the image: give one that shows a face from the front")
    if index is None and len(found) > 1:
        raise UserError(
            f"{len(found)} faces in the image: choose one, 0 (left) to {len(found) - 1}, or crop it"
        )
    if index is not None and not 0 <= index < len(found):
        raise UserError(f"face {index} asked for, but the image has {len(found)}")
    return found[index or 0]


def on_its_head(
    image: UInt8[np.ndarray, "h w 3"], found: list[Detection], finder: LandmarkBackend
) -> bool:
    """Whether a face on its head was taken for an upright one, which a finder does unsurely."""
    surest = max((face.score for face in found), default=1.0)
    if surest >= DOUBTFUL:
        return False
    turned = finder.detect(np.ascontiguousarray(image[::-1, ::-1]))
    return max((face.score for face in turned), default=0.0) > surest + SURER


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
    return aligned(image, picked(of_still(image, finder), face_index), finder, size)


def aligned(
    image: UInt8[np.ndarray, "h w 3"], face: Detection, finder: LandmarkBackend, size: int
) -> tuple[UInt8[np.ndarray, "s s 3"], Float[np.ndarray, "68 2"], Float[np.ndarray, "2 3"]]:
    """What `align_image` says, of a face that is found (UserError: landmarks do not confirm it)."""
    points, score = locate(image, finder, face)
    if score < SURE:
        raise UserError("no clear face in the image: give one that shows a face from the front")
    matrix = similarity(points[None])
    return warp(image, matrix, size), transform(points, matrix), matrix


def measure_landmarks(
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
