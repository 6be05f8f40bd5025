"""Which frames of the training speakers `model.interiors` keeps: those that show most teeth."""

import cv2
import numpy as np
import torch

from amie_core.data.alignment import lip_opening
from amie_core.machine import progress_bar
from amie_core.model.interiors import KEPT, Interiors
from amie_core.model.lips import UPPER, mouth_width
from amie_core.model.mouth import tint
from amie_core.model.speaking import inside
from amie_core.training.windows import Windows

TRIED = 3  # widest open frames of a clip
CLIPS = 24  # of a speaker, at most
EDGE = np.ones((3, 3), np.uint8)


def fill(interiors: Interiors, windows: Windows, progress: bool = True) -> int:
    """Keep the best frame of each of at most KEPT speakers, in place; how many there are."""
    best: dict[str, tuple[float, dict[str, torch.Tensor]]] = {}
    seen: dict[str, int] = {}
    for index in progress_bar(windows.filmed.tolist(), "interiors", shown=progress):
        speaker = int(windows.speakers[index])
        who = f"clip {index}" if speaker < 0 else f"speaker {speaker}"
        seen[who] = seen.get(who, 0) + 1
        if seen[who] > CLIPS:
            continue
        opening = lip_opening(windows.load(index, []).landmarks)
        numbers = sorted(np.argsort(opening)[-TRIED:].tolist())
        clip = windows.load(index, numbers)
        for frame, number in zip(clip.frames, numbers, strict=True):
            points = clip.landmarks[number]
            score = _teeth(frame, points)
            if score > best.get(who, (0.0, {}))[0]:
                best[who] = score, _kept(frame, points)
    chosen = sorted(best.values(), key=lambda one: -one[0])[:KEPT]
    for place in range(KEPT if chosen else 0):
        for name, value in chosen[place % len(chosen)][1].items():
            interiors.get_buffer(name)[place] = value
    return len(chosen)


def _teeth(frame: np.ndarray, points: np.ndarray) -> float:
    """How much bright detail lies between the lips, as a share of the face's own brightness."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / frame.mean()
    where = cv2.erode(inside(points[None], len(frame))[0], EDGE)
    detail = np.abs(cv2.Sobel(grey, -1, 1, 0))  # teeth stand side by side
    return float((detail * where).sum())


def _kept(frame: np.ndarray, points: np.ndarray) -> dict[str, torch.Tensor]:
    canvas = torch.from_numpy(frame.copy()).permute(2, 0, 1).float() / 255
    colour = tint(canvas[None])[0]
    return {
        "canvases": canvas / colour,
        # Not the lips' own edge: it is no detail of what lies between them.
        "inner": torch.from_numpy(cv2.erode(inside(points[None], len(frame))[0], EDGE)[None]),
        "hang": torch.from_numpy(points[UPPER].mean(0)),
        # As wide as it is here, not at rest: teeth come out up to a ninth smaller so, which no
        # measure of val sees (bench_faces: detail .81, LMD .72, PSNR -.48 dB either way).
        "widths": torch.tensor(mouth_width(points)),
        "tints": colour[:, 0, 0],
    }
