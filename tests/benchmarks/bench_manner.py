"""What each rule does by which an unheard voice moves a mouth (`model.manner`), and where lips are.

    python tests/benchmarks/bench_manner.py PREPARED [--steps 500] [--json OUT]

Training speakers but s1 are left out in turn (four parts, as in bench_motion.py) and Motion is
fitted to the others; each clip's first frame then says its sound with the voice unknown, and so do
val_unseen's, painted by the model that ships. A row leaves out one rule, or halves what is done in
pauses. Frames are compared with the real ones as in bench_faces.py, whose columns these are. Prints
a line a row and speaker. Not a test: nothing is asserted.
"""

import argparse
import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import bench_faces
import bench_motion
import numpy as np
import torch

from amie_core import machine
from amie_core.data import store
from amie_core.files import commit, write_json
from amie_core.machine import progress_bar
from amie_core.model import lent_teeth, lip_edges, lips, manner, speaking, teeth
from amie_core.model.motion import Motion
from amie_core.model.voices import learnt
from amie_core.talking.networks import ShippedNetworks

NAMES = ("correlation", "variance", "lmd", "psnr", "ssim")
ROWS = {
    "ships": "as it ships",
    "no lip line": "lips where the landmarks are, whatever the picture shows",
    "at rest": "the mouth goes to rest in the first frames, before anything is said, and stays",
    "mean kept": "where a mouth that speaks lies in the mean beside one at rest is kept",
    "pauses": "half of what is heard is done in pauses",
    "no lent teeth": "no teeth are lent to a face that shows none, nor is it darker below them",
    "as landmarks": "moved lips part as far as landmarks do, not as edges in pictures",
    "as told": "the mouth moves when it is told to, not .4 of a frame earlier",
    "all detail": "all of the detail of another mouth's teeth is laid over what is painted",
}


class Unheard(ShippedNetworks):
    """The networks that ship, but for their Motion, and no voice is known."""

    def __init__(self, motion: Motion) -> None:
        super().__init__()
        self.motion, self.voices = motion.eval(), learnt([], [])

    @torch.inference_mode()
    def hear(self, windows: np.ndarray) -> np.ndarray:
        return self.motion.said(torch.from_numpy(windows)).numpy()


@contextlib.contextmanager
def left_out(row: str) -> Iterator[None]:
    """The rules of one row."""

    def changed(*args: Any) -> manner.Manner:
        made = manner.manner_of(*args)
        if row == "mean kept":
            return made._replace(aside=np.zeros_like(made.aside))
        return made._replace(paused=np.float32(0.5))

    with contextlib.ExitStack() as stack:
        if row in ("mean kept", "pauses"):
            stack.enter_context(patch.object(speaking, "manner_of", changed))
        if row == "no lip line":
            stack.enter_context(patch.object(lip_edges, "by_picture", lambda _, points: points))
        if row == "no lent teeth":
            stack.enter_context(patch.object(lent_teeth, "lent", lambda *_: None))
        if row == "as landmarks":
            stack.enter_context(patch.object(lips, "to_edges", lambda points, *_: points))
        if row == "as told":
            stack.enter_context(patch.object(speaking, "EARLIER", 0.0))
        if row == "all detail":
            stack.enter_context(patch.object(teeth, "LAID", 1.0))
        if row == "at rest":  # an unknown voice moves alike, near what is said and away from it
            everywhere = patch.object(speaking, "said_near", lambda rows: np.ones(len(rows)))
            stack.enter_context(everywhere)
        yield


def unheard(folder: Path, steps: int) -> Iterator[tuple[Unheard, str, list[str]]]:
    """Networks, a speaker whom they have not heard, that speaker's clips."""
    clips = bench_motion.read(folder, "ours", "train")
    for k, part in enumerate(progress_bar(bench_motion.PARTS, "parts", unit="part")):
        others = [clip for clip in clips if clip.speaker not in part]
        net = Unheard(bench_motion.fitted(others, "ours", 0, steps))
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
    rows: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for net, speaker, files in unheard(chosen.data, chosen.steps):
        clips = [store.load_clip(chosen.data, file) for file in files]
        for row in ROWS:
            found = []
            with left_out(row):
                for clip in clips:
                    made = bench_faces.spoken(net, net.meta, clip, 1.0)
                    found.append(bench_faces.measured(clip, made, None))
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
