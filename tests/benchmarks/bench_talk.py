"""Where the time of `amie talk` goes: start-up, face, sound, network, composing, encoding.

    python tests/benchmarks/bench_talk.py [--checkpoint RUN|FILE] [--image-size 0] [--width 16]
        [--size 256] [--seconds 10] [--threads N] [--face IMAGE]

Without a checkpoint the network is the one that ships, or with an image size an untrained one of
that size and width: as fast as a trained one. `--size 0` is the whole picture. Without an image a
face is drawn. Prints milliseconds a frame and frames/s by stage,
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


ONCE = ("load the checkpoint", "find and align the face", "bring the mouth to rest",
        "lay out the picture")  # fmt: skip


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

    from amie_core.data.synthetic.corpus import draw_clip

    Image.fromarray(next(iter(draw_clip(1, 1).frames))).save(path)
    return path


def stages(
    face: Path, sound: Path, out: Path, run: Path | None, size: int | None
) -> tuple[Clock, int]:
    """What `talk.talk` does, one stage after the other, and the frames it made."""
    from amie_core.data.alignment import warp
    from amie_core.data.audio import stream_windows
    from amie_core.data.video_writer import VideoWriter
    from amie_core.machine import threads
    from amie_core.model.painter import Painter
    from amie_core.model.speaking import MouthNetworks, painted
    from amie_core.talking import canvas
    from amie_core.talking.still import open_still
    from amie_core.talking.talk import array, load_speaker

    clock = Clock()
    generator, meta = clock("load the checkpoint", load_speaker, run, "cpu")
    still = clock("find and align the face", open_still, face, None, True)
    still = clock("bring the mouth to rest", still.at_rest)
    seen = still.aligned(meta["image_size"])
    place = (still.picture, still.matrix)
    shown = canvas.whole(*place) if size is None else canvas.face_alone(*place, size)
    hears = getattr(generator, "hears", "cepstra")
    windows = stream_windows(sound, rate=meta["mfcc_rate"], hears=hears)
    chunks = list(clock.each("MFCC", windows))
    if isinstance(generator, MouthNetworks):
        canvas_of = generator.canvas, generator.image_size
        face = warp(still.picture, still.matrix)
        laid = clock("lay out the picture", Painter, *shown, still.points, *canvas_of)
        changes = painted(generator, face, still.points, chunks)
    else:
        import torch

        from amie_core.model.talker import roll_changes

        identity = torch.from_numpy(seen.copy()).permute(2, 0, 1).float().div_(255)
        laid = clock("lay out the picture", canvas.Canvas, *shown, seen, still.lip_box)
        changes = (made for _, made in roll_changes(
            generator, identity, iter(chunks), still.lip_box))  # fmt: skip
    frames = 0
    shape = laid.picture.shape[1::-1]
    with (
        threads(meta["model"]["image_size"]),
        VideoWriter(out, shape, audio=sound, synthetic=True) as writer,
    ):
        for made in clock.each("network", changes):
            what = [made]
            if isinstance(laid, canvas.Canvas):
                what = [array(made.colours), None if made.flow is None else array(made.flow)]
            picture = clock("compose", laid.frame, *what)
            clock("encode picture and sound", writer.write, picture)
            frames += 1
    return clock, frames


FIRST = """
import sys
from amie_core import cli
from amie_core.data.video_writer import VideoWriter
write = VideoWriter.write
def said(self, frame):
    print("FIRST", flush=True)
    VideoWriter.write = write
    write(self, frame)
VideoWriter.write = said
sys.exit(cli.main(sys.argv[1:]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--face", type=Path)
    parser.add_argument("--image-size", type=int, default=0)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as many as it likes")
    chosen = parser.parse_args()

    begun = time.perf_counter()
    from standins import write_hum

    import amie_core.data.faces
    import amie_core.data.video
    import amie_core.talking.talk  # noqa: F401

    imports = time.perf_counter() - begun
    if chosen.threads:
        import torch

        torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = chosen.checkpoint
        if chosen.image_size:
            run = untrained(folder / "run", chosen.image_size, chosen.width)
        face = chosen.face or drawn_face(folder / "face.png")
        sound = write_hum(folder / "hum.wav", chosen.seconds)
        clock, frames = stages(face, sound, folder / "stages.mp4", run, chosen.size or None)
        once = {"import": imports}
        for stage in [name for name in clock.spent if name in ONCE]:
            once[stage] = clock.spent.pop(stage)
        for stage, seconds in once.items():
            print(f"{stage:28}{seconds:9.2f} s once")
        for stage, seconds in clock.spent.items():
            rate = frames / max(seconds, 1e-9)
            busy = 1000 * clock.worked[stage] / frames
            print(f"{stage:28}{1000 * seconds / frames:9.2f} ms a frame {rate:9.1f} frames/s, "
                  f"{busy:.2f} ms of processor")  # fmt: skip
        rate = frames / sum(clock.spent.values())
        print(f"{'all of a frame':28}{1000 / rate:9.2f} ms a frame {rate:9.1f} frames/s")

        words = ["talk", "--face", face, "--audio", sound, "--out", folder / "whole.mp4"]
        words += [*(["--checkpoint", run] if run else [])]
        words += [*(["--size", chosen.size] if chosen.size else [])]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "amie_core.cli", *map(str, words)],
            check=True, capture_output=True,
        )  # fmt: skip
        whole = time.perf_counter() - start
        first = first_frame([str(word) for word in words])
        print(f"the first frame is there after {first:.2f} s")
        after = frames / max(whole - first, 1e-9)
        print(f"the whole of `amie talk`: {frames} frames in {whole:.1f} s, {frames / whole:.1f} "
              f"frames/s; after the first frame {after:.1f} frames/s")  # fmt: skip


def first_frame(words: list[str]) -> float:
    """Seconds from the start of a process to its first written frame."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", FIRST, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.startswith("FIRST"):
                return time.perf_counter() - start
    raise RuntimeError("no frame was written")


if __name__ == "__main__":
    main()
