"""What a voice that was never heard does in pauses: `model.speaking.PAUSES` at 1 and as it ships.

    python tests/benchmarks/bench_pauses.py PREPARED [--steps 500] [--json OUT]

Training speakers but s1 are left out in turn (four parts, as in bench_motion.py) and Motion is
fitted to the others; each clip's first frame then says its sound with the voice unknown, and so do
val_unseen's. The landmarks that it is given, and the frames that the model that ships paints over
them, are compared with the real ones. Prints a line a speaker. Not a test: nothing is asserted.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import bench_motion
import numpy as np
import soundfile
import torch

from amie_core import machine
from amie_core.config import SAMPLE_RATE, SPEECH_LEVEL
from amie_core.data import store
from amie_core.data.alignment import lip_opening
from amie_core.data.audio import stream_windows
from amie_core.evaluation import metrics
from amie_core.files import commit, write_json
from amie_core.machine import progress_bar
from amie_core.model import lips, speaking
from amie_core.model.motion import Motion
from amie_core.model.painter import Painter
from amie_core.model.voices import learnt
from amie_core.talking.networks import ShippedNetworks
from amie_core.talking.still import Still

EVERY = 5  # SSIM and PSNR look at every fifth frame
COLUMNS = {"psnr": "dB at 256² over the copied frame's", "ssim": "the same", "lmd": "of the "
           "landmarks that are drawn, over the copied frame's", "correlation": "of their opening",
           "variance": "of their opening, over the real one's"}  # fmt: skip


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


def measured(net: Hearing, painting: ShippedNetworks, clip: store.PreparedClip) -> dict[str, float]:
    """The columns of one clip."""
    still = Still(clip.frames[0], clip.landmarks[0], np.eye(2, 3)).at_rest()
    told = list(speaking.heard(net, iter(said(net, clip))))  # type: ignore[arg-type]
    moves, own = (np.concatenate(part)[: len(clip.frames)] for part in zip(*told, strict=True))
    places = lips.laid(lips.closed(still.points), moves * np.float32(speaking.ASKED))
    painter = Painter(still.picture, still.matrix, still.points, painting.canvas,
                      painting.image_size, still.teeth)  # fmt: skip
    drawn = speaking.drawn(painting, still.picture, still.points, [(places, own)])
    n, some = len(places), slice(1, len(places), EVERY)
    made = np.stack([painter.frame(one) for one in drawn])[some]
    real, points = clip.frames[:n][some], clip.landmarks[:n]
    copied, first = np.repeat(clip.frames[:1], len(real), 0), np.repeat(points[:1], n, 0)
    opening, wanted = lip_opening(places), lip_opening(points)
    lmd, of_copy = (metrics.lmd(one[1:], points[1:], metrics.MOUTH) for one in (places, first))
    return {
        "psnr": metrics.psnr_rgb(made, real) - metrics.psnr_rgb(copied, real),
        "ssim": metrics.ssim_gaussian_rgb(made, real) - metrics.ssim_gaussian_rgb(copied, real),
        "lmd": lmd / of_copy,
        "correlation": float(np.corrcoef(opening[1:], wanted[1:])[0, 1]),
        "variance": float(opening.var() / wanted.var()),
    }


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
    painting, found = ShippedNetworks(), {}
    for net, speaker, files in unheard(chosen.data, chosen.steps):
        for kept in (1.0, speaking.PAUSES):
            with patch.object(speaking, "PAUSES", kept):
                rows = [measured(net, painting, store.load_clip(chosen.data, f)) for f in files]
            means = {name: float(np.mean([row[name] for row in rows])) for name in COLUMNS}
            found.setdefault(f"{kept:g}", {})[speaker] = means | {"clips": len(rows)}
            cells = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(f"{speaker:5} {len(rows):3} clips, {kept:g} kept: {cells}", flush=True)
    for kept, speakers in found.items():
        means = {name: np.mean([row[name] for row in speakers.values()]) for name in COLUMNS}
        print(f"mean of {len(speakers)}, {kept} kept:", {n: round(v, 3) for n, v in means.items()})
    if chosen.json:
        told: dict[str, Any] = {"columns": COLUMNS, "steps": chosen.steps, "commit": commit(),
                                "data_digest": store.digest(chosen.data),
                                "machine": machine.processor(), "kept": found}  # fmt: skip
        write_json(chosen.json, told)


if __name__ == "__main__":
    sys.exit(main())
