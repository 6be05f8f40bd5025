"""Where the time of `amie talk` goes: start-up, face, sound, network, scaling, encoding.

    python tests/benchmarks/bench_talk.py [--checkpoint RUN|FILE] [--image-size 256] [--width 16]
        [--size 256] [--seconds 10] [--threads N] [--face IMAGE]

Without a checkpoint the network is an untrained one of that image size and width: as fast as a
trained one. Without an image a face is drawn. Prints milliseconds a frame and frames/s by stage,
then what the whole process of `amie talk` reaches. Not a test: nothing is asserted.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


class Clock:
    """Seconds spent in each stage, and of them on this process's processors."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.worked: dict[str, float] = {}

    def __call__(self, stage: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """The work's result; its time is added to the stage."""
        start, busy = time.perf_counter(), time.process_time()
        result = work(*arguments)
        self.spent[stage] = self.spent.get(stage, 0.0) + time.perf_counter() - start
        self.worked[stage] = self.worked.get(stage, 0.0) + time.process_time() - busy
        return result

    def each(self, stage: str, things: Iterator[Any]) -> Iterator[Any]:
        """The same things; the time to get each is added to the stage."""
        end = object()
        while (thing := self(stage, next, things, end)) is not end:
            yield thing


def untrained(folder: Path, image_size: int, width: int) -> Path:
    """A checkpoint of the default widths at some image size."""
    import standins

    from amie_core.config import ModelConfig

    standins.TINY = ModelConfig(image_size=image_size, width=width)
    return standins.write_run(folder)


def drawn_face(path: Path) -> Path:
    """A face of the embedded corpus as a still."""
    from PIL import Image

    from amie_core.data.synthetic import draw_clip

    Image.fromarray(next(iter(draw_clip(1, 1).frames))).save(path)
    return path


def stages(face: Path, sound: Path, out: Path, run: Path, size: int) -> tuple[Clock, int]:
    """What `talk.talk` does, one stage after the other, and the frames it made."""
    import torch

    from amie_core import talk
    from amie_core.checkpoint import load_generator
    from amie_core.data.audio import stream_windows
    from amie_core.data.faces import align_image
    from amie_core.data.video import VideoWriter
    from amie_core.model.generator import roll_out

    clock = Clock()
    generator, meta = clock("load the checkpoint", load_generator, run)
    aligned, *_ = clock("find and align the face", align_image, talk.read_image(face))
    small = talk.scale(aligned, meta["image_size"]).copy()
    identity = torch.from_numpy(small).permute(2, 0, 1).float().div_(255)
    windows = clock.each("MFCC", stream_windows(sound, rate=meta["mfcc_rate"]))
    chunks = list(windows)
    frames = 0
    with VideoWriter(out, size, audio=sound, synthetic=True) as writer:
        for frame in clock.each("network", roll_out(generator, identity, iter(chunks))):
            large = clock("scale", talk.scale, frame, size)
            clock("encode picture and sound", writer.write, large)
            frames += 1
    return clock, frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--face", type=Path)
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it likes")
    chosen = parser.parse_args()

    begun = time.perf_counter()
    import torch
    from standins import write_hum

    import amie_core.checkpoint
    import amie_core.data.faces
    import amie_core.data.video
    import amie_core.talk  # noqa: F401

    imports = time.perf_counter() - begun
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = chosen.checkpoint or untrained(folder / "run", chosen.image_size, chosen.width)
        face = chosen.face or drawn_face(folder / "face.png")
        sound = write_hum(folder / "hum.wav", chosen.seconds)
        clock, frames = stages(face, sound, folder / "stages.mp4", run, chosen.size)
        once = {"import": imports}
        for stage in ("load the checkpoint", "find and align the face"):
            once[stage] = clock.spent.pop(stage)
        for stage, seconds in once.items():
            print(f"{stage:28}{seconds:9.2f} s once")
        for stage, seconds in clock.spent.items():
            rate = frames / max(seconds, 1e-9)
            busy = 1000 * clock.worked[stage] / frames
            print(f"{stage:28}{1000 * seconds / frames:9.2f} ms a frame {rate:9.1f} frames/s, "
                  f"{busy:.2f} ms of processor")  # fmt: skip
        rate = frames / sum(clock.spent.values())
        print(f"{'all of a frame':28}{1000 / rate:9.2f} ms a frame {rate:9.1f} frames/s, "
              f"{torch.get_num_threads()} threads")  # fmt: skip

        words = [sys.executable, "-m", "amie_core.cli", "talk", "--face", face, "--audio", sound]
        words += ["--out", folder / "whole.mp4", "--checkpoint", run, "--size", chosen.size]
        start = time.perf_counter()
        subprocess.run([str(word) for word in words], check=True, capture_output=True)
        whole = time.perf_counter() - start
        count = np.format_float_positional(frames / whole, 1)
        print(f"the whole of `amie talk`: {frames} frames in {whole:.1f} s, {count} frames/s")


if __name__ == "__main__":
    main()
