"""A face and a voice to a talking face video (sec. 3.1), frame by frame in flat memory."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from tqdm.auto import tqdm

from amie_core.config import FACE_SIZE, FPS, workspace
from amie_core.errors import UserError

if TYPE_CHECKING:
    from amie_core.model.generator import Generator

SIZES = (32, 2048)  # px, of the video
GREY = 128  # what shows through a transparent image


@dataclass(frozen=True)
class Talked:
    """What was made: the file, its frames, its length in seconds, the model it came from."""

    path: Path
    frames: int
    seconds: float
    checkpoint: Path


def talk(
    face: str | Path,
    audio: str | Path,
    out: str | Path,
    checkpoint: str | Path | None = None,
    size: int = FACE_SIZE,
    *,
    face_index: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> Talked:
    """Write a video of the face in image `face` saying what is heard in `audio`.

    The face is found, aligned, and generated at the model's own size, each frame from the model's
    last one; then scaled to `size` px (even). 25 frames/s, H.264 + AAC, as long as the sound of
    `audio` (any audio or video file); the file's metadata say that it is synthetic. `checkpoint`:
    a run folder or a .safetensors file, the newest finished run where None. `face_index` counts
    faces from the left where there are several; `device`: "auto", "cpu" or "cuda". Raises
    UserError for unusable input; nothing is left of `out` then.
    """
    face, audio, out = Path(face), Path(audio), Path(out)
    _check(face, audio, out, size)
    source = Path(checkpoint) if checkpoint is not None else newest_run()

    import torch

    from amie_core.checkpoint import load_generator
    from amie_core.data.audio import stream_windows
    from amie_core.data.faces import align_image
    from amie_core.data.video import VideoWriter
    from amie_core.model.generator import roll_out

    generator, meta = load_generator(source, pick_device(device))
    image = read_image(face)
    try:
        aligned, *_ = align_image(image, face_index=face_index)
    except UserError as error:
        raise UserError(f"{face}: {error}") from None
    small = scale(aligned, meta["image_size"])  # by 256 px, as the training faces came
    identity = torch.from_numpy(small.copy()).permute(2, 0, 1).float().div_(255)
    frames = roll_out(generator, identity, stream_windows(audio, rate=meta["mfcc_rate"]))
    comment = f"profile {meta['profile']}, commit {meta['commit']}, step {meta['step']}"
    count = 0
    with (
        VideoWriter(out, size, audio=audio, comment=comment, synthetic=True) as writer,
        tqdm(desc="talk", total=_expected(audio), unit="frame", **quiet(progress)) as bar,
    ):
        for frame in frames:
            writer.write(scale(frame, size))
            count += 1
            bar.update()
        bar.total = count
    return Talked(out, count, count / FPS, source)


def _check(face: Path, audio: Path, out: Path, size: int) -> None:
    """Refuse what cannot work before anything slow is loaded."""
    for path, what in ((face, "image of a face"), (audio, "audio or video file")):
        if not path.is_file():
            raise UserError(f"{path}: no such file; give an {what}")
        if out.exists() and out.samefile(path):
            raise UserError(f"{out} would overwrite its own input: choose another --out")
    if out.suffix.lower() != ".mp4":
        raise UserError(f"{out}: videos are written as .mp4; choose a name that ends so")
    if out.is_dir():
        raise UserError(f"{out} is a folder: choose a file name")
    if size % 2 or not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"size {size} px: choose an even number from {SIZES[0]} to {SIZES[1]}")


def newest_run() -> Path:
    """The run finished last in the workspace (UserError when there is none)."""
    runs = workspace() / "runs"
    done = [path for path in runs.glob("*/done.json") if os.access(path, os.R_OK)]
    if not done:
        raise UserError(
            f"no finished run in {runs}: make one with `make reproduce` or `amie train`, or name "
            "a run folder with --checkpoint"
        )
    return max(done, key=lambda path: path.stat().st_mtime).parent


def pick_device(name: str) -> str:
    """The torch device of "auto", "cpu", "cuda", "cuda:1" … (UserError: not here)."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise UserError(f"unknown device {name!r}: choose auto, cpu or cuda") from None
    if kind not in ("cpu", "cuda") or (kind == "cuda" and not torch.cuda.is_available()):
        raise UserError(f"device {name!r} is not here: choose auto or cpu")
    return name


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Any still as upright 8-bit RGB: EXIF orientation applied, transparency over grey.

    Raises UserError when the file is no readable image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I") or image.mode == "F":  # 16 bits or more a pixel
                deep = np.asarray(image, np.float64)
                deep = deep * (255 / max(deep.max(), 255.0))
                image = Image.fromarray(deep.clip(0, 255).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, (GREY,) * 3), image)
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a readable image ({reason}): give a PNG or JPEG") from None


def scale(frame: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """A frame at `size` px: cubic where it grows, area means where it shrinks."""
    import cv2

    if frame.shape[:2] == (size, size):
        return frame
    how = cv2.INTER_AREA if size < frame.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(frame, (size, size), interpolation=how)


def generate(
    generator: "Generator",
    face: UInt8[np.ndarray, "s s 3"],
    windows: np.ndarray,
    lip_box: tuple[int, int, int, int] | None = None,
) -> UInt8[np.ndarray, "n s s 3"]:
    """All frames of a short clip at the model's size: aligned `face`, MFCC `windows` (n, 20, 13).

    Autoregressive: every frame sees the model's own last one, the first the face itself. lip_box:
    the face's (`faces.lip_box`), the template's where None.
    """
    import torch

    from amie_core.model.generator import roll_out

    identity = torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1).float().div_(255)
    made: Iterator[np.ndarray] = roll_out(generator, identity, [windows], lip_box)
    return np.stack(list(made))


def quiet(progress: bool) -> dict[str, bool]:
    """tqdm's setting without a bar; with one nothing is set, so that TQDM_DISABLE still counts."""
    return {} if progress else {"disable": True}


def _expected(audio: Path) -> int | None:
    """Frames to come, by the file's own word; None where it does not say."""
    import av

    try:
        with av.open(str(audio)) as container:
            stream = next(iter(container.streams.audio), None)
            if stream is not None and stream.duration:
                return round(float(stream.duration * stream.time_base) * FPS)
    except (OSError, ValueError):
        pass  # what cannot be read is reported by the one who reads it
    return None
