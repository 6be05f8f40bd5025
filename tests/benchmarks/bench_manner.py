"""What each rule does by which an unheard voice moves a mouth (`model.manner`), and the lip line.

    python tests/benchmarks/bench_manner.py PREPARED [--steps 500] [--json OUT]

Training speakers but s1 are left out in turn (four parts, as in bench_motion.py) and Motion is
fitted to the others; each clip's first frame then says its sound with the voice unknown, and so do
val_unseen's, painted by the model that ships. A row leaves out one rule, or does not open lips
where the picture's meet (`model.lip_line`). Frames are compared with the real ones as in
bench_faces.py, whose columns these are. Prints a line a row and speaker. Not a test: nothing is
asserted.
"""

import argparse
import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import bench_faces
import bench_motion
import numpy as np
import soundfile
import torch

from amie_core import machine
from amie_core.config import SAMPLE_RATE, SPEECH_LEVEL
from amie_core.data import store
from amie_core.data.audio import stream_windows
from amie_core.files import commit, write_json
from amie_core.machine import progress_bar
from amie_core.model import lip_line, lips, manner, speaking
from amie_core.model.motion import Motion
from amie_core.model.painter import Painter
from amie_core.model.voices import learnt
from amie_core.talking.networks import ShippedNetworks
from amie_core.talking.still import Still

NAMES = ("correlation", "variance", "lmd", "psnr", "ssim")
ROWS = {
    "ships": "as it ships",
    "no lip line": "lips open where the landmarks say that they meet",
    "mean kept": "where a mouth that speaks lies in the mean is kept, as the rest is",
    "no doubt": "small openings as they are heard",
    "beside": "all is kept of what goes beside the opening",
    "pauses": "in pauses as much as is heard",
    "before": "mean kept, no doubt, no lip line, the usual size .065: as it shipped before",
}


class Hearing:
    """What `speaking.heard` asks of networks, of a Motion that knows no voice."""

    def __init__(self, motion: Motion) -> None:
        self.motion, self.context, self.hears = motion.eval(), motion.context, motion.hears
        self.voices = learnt([], [])

    @torch.inference_mode()
    def hear(self, windows: np.ndarray) -> np.ndarray:
        return self.motion.said(torch.from_numpy(windows)).numpy()


def said(net: Hearing, clip: store.PreparedClip) -> list[np.ndarray]:
    """The windows of a clip's sound, as `amie talk` hears it."""
    with TemporaryDirectory() as folder:
        sound = Path(folder) / "voice.wav"
        soundfile.write(sound, clip.audio, SAMPLE_RATE)
        return list(stream_windows(sound, SAMPLE_RATE, 48, level=SPEECH_LEVEL, hears=net.hears))


def mean_kept(*args: Any) -> manner.Manner:
    """`manner_of`, without what it leaves out of the mean."""
    made = manner.manner_of(*args)
    return made._replace(aside=np.zeros_like(made.aside))


@contextlib.contextmanager
def left_out(row: str) -> Iterator[None]:
    """The rules of one row."""
    with contextlib.ExitStack() as stack:
        if row in ("mean kept", "before"):
            stack.enter_context(patch.object(speaking, "manner_of", mean_kept))
        if row in ("no doubt", "before"):
            stack.enter_context(patch.object(manner, "DOUBT", 0.0))
        if row == "beside":
            stack.enter_context(patch.object(manner, "BESIDE", 1.0))
        if row == "pauses":
            stack.enter_context(patch.object(manner, "PAUSES", 1.0))
        if row == "before":
            stack.enter_context(patch.object(speaking, "USUAL", 0.065))
        yield


def measured(
    net: Hearing, painting: ShippedNetworks, clip: store.PreparedClip, row: str
) -> dict[str, float]:
    """The columns of one clip."""
    still = Still(clip.frames[0], clip.landmarks[0], np.eye(2, 3)).at_rest()
    points = still.points
    if row not in ("no lip line", "before"):
        points = lip_line.on_lip_line(still.picture, points)
    with left_out(row):
        told = list(speaking.heard(net, iter(said(net, clip))))  # type: ignore[arg-type]
    moves, own = (np.concatenate(part)[: len(clip.frames)] for part in zip(*told, strict=True))
    places = lips.laid(lips.closed(points), moves * np.float32(speaking.ASKED))
    painter = Painter(still.picture, still.matrix, points, painting.canvas,
                      painting.image_size, still.teeth)  # fmt: skip
    drawn = speaking.drawn(painting, still.picture, points, [(places, own)])
    frames = np.stack([painter.frame(one) for one in drawn])
    frames = np.concatenate([frames, np.repeat(frames[-1:], len(clip.frames) - len(frames), 0)])
    found = bench_faces.measured(clip, frames, None)
    return {name: found[name] for name in NAMES}


def unheard(folder: Path, steps: int) -> Iterator[tuple[Hearing, str, list[str]]]:
    """A Motion, a speaker whom it has not heard, that speaker's clips."""
    clips = bench_motion.read(folder, "ours", "train")
    for k, part in enumerate(progress_bar(bench_motion.PARTS, "parts", unit="part")):
        others = [clip for clip in clips if clip.speaker not in part]
        net = Hearing(bench_motion.fitted(others, "ours", 0, steps))
        for split in ("train", "val_unseen") if k == 0 else ("train",):
            for speaker, rows in store.clips(folder, split).groupby("speaker"):
                if speaker in part or split == "val_unseen":
                    yield net, str(speaker), rows["file"].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="prepared GRID")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    painting = ShippedNetworks()
    rows: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for net, speaker, files in unheard(chosen.data, chosen.steps):
        clips = [store.load_clip(chosen.data, file) for file in files]
        for row in ROWS:
            found = [measured(net, painting, clip, row) for clip in clips]
            means = {name: float(np.mean([one[name] for one in found])) for name in NAMES}
            rows[row][speaker] = means | {"clips": len(clips)}
            cells = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(f"{row:12} {speaker:5} {len(clips):3} clips: {cells}", flush=True)
    for row, speakers in rows.items():
        means = {name: float(np.mean([one[name] for one in speakers.values()])) for name in NAMES}
        print(f"{row:12} mean of {len(speakers)}:", {n: round(v, 4) for n, v in means.items()})
    if chosen.json:
        told: dict[str, Any] = {"rows": ROWS, "columns": {n: bench_faces.COLUMNS[n] for n in NAMES},
                                "steps": chosen.steps, "commit": commit(),
                                "data_digest": store.digest(chosen.data),
                                "machine": machine.processor(), "speakers": rows}  # fmt: skip
        write_json(chosen.json, told)


if __name__ == "__main__":
    sys.exit(main())
