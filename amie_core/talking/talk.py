"""A face and a voice to a talking face video (sec. 3.1), frame by frame in flat memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amie_core.config import FACE_SIZE, FPS, MOVEMENT, SPEECH_LEVEL
from amie_core.data.alignment import scale
from amie_core.errors import UserError
from amie_core.files import SHIPPED
from amie_core.machine import ahead, pick_device, progress_bar, say, threads
from amie_core.talking.still import Still, open_still

if TYPE_CHECKING:
    import torch

    from amie_core.data.sound import Voice
    from amie_core.model.speaking import MouthNetworks
    from amie_core.model.talker import Talker

SIZES = (32, 2048)  # px, of the video
LARGEST = 3.0  # movement that is not refused
# Frames whose sound is heard at once: 250 took 150 MB more, and no less time. A method that makes
# some frames at once (peers.parts) is cut between them.
PART = 48


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
    size: int | None = None,
    *,
    crop: bool = False,
    keep_smile: bool = False,
    lend_teeth: bool = True,
    movement: float = MOVEMENT,
    face_index: int | None = None,
    alive: bool = False,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Talked:
    """Write a video of the face in image `face` saying what is heard in `audio`.

    `face` may be a video: its frame with the mouth most closed is taken, its teeth from the frame
    that shows most of them, and how far it opens its lips. The face is found and aligned, open lips
    are closed (unless `keep_smile`), by the model that ships while something is said. It moves the
    mouth's landmarks, `movement` times as far as it hears, and paints between the lips; others
    generate the face at their own size, and what they change is laid over the picture. The picture
    keeps its own resolution (canvas.whole); with `size` it is the aligned face at size² px, and
    `crop` gives a model's bare picture (256 px where no size is named). 25 frames/s, H.264 + AAC,
    as long as the sound of `audio` (any audio or video file); the file's metadata say that it is
    synthetic.
    `checkpoint`: a run folder or a .safetensors file, the model that ships where None.
    `lend_teeth`: a sharp picture that shows few teeth or none is lent a portrait's
    (model.lent_teeth) by a model that moves landmarks.
    `face_index` counts faces from the left, the largest where None; `alive` lets the eyes blink and
    the head drift (by `seed`); `device`: "auto", "cpu" or "cuda". Raises UserError for unusable
    input; nothing is left of `out` then.
    """
    face, audio, out = Path(face), Path(audio), Path(out)
    _check(face, audio, out, FACE_SIZE if size is None else size)
    if not 0 < movement <= LARGEST:
        raise UserError(f"movement {movement:g}: choose a number up to {LARGEST:g}, 1 is the model")
    source = SHIPPED if checkpoint is None else Path(checkpoint)

    from amie_core.data.sound import survey
    from amie_core.data.video_writer import VideoWriter

    voice = survey(audio)
    if voice.level is None:
        raise UserError(f"{audio} is silent: there is nothing to say; give a recording of a voice")
    for note in voice.notes:
        say(f"{audio}: {note}")
    generator, meta = load_speaker(checkpoint, device)
    still = open_still(face, face_index, keep_smile)
    shape, pictures = picture_frames(
        generator, meta, still, audio, size, crop, movement, voice=voice, lend_teeth=lend_teeth
    )
    if alive:
        pictures = _alive(pictures, still, size or (FACE_SIZE if crop else None), seed)
    comment = f"profile {meta['profile']}, commit {meta['commit']}, step {meta['step']}"
    count, expected = 0, round(voice.seconds * FPS)
    with (
        threads(meta["model"]["image_size"]),
        VideoWriter(
            out, shape, audio=audio, voice=voice, comment=comment, synthetic=True
        ) as writer,
        progress_bar(what="talk", shown=progress, total=expected, unit="frame") as bar,
    ):
        for picture in pictures:
            writer.write(picture)
            count += 1
            bar.update()
        bar.total = count
    return Talked(out, count, count / FPS, source)


def load_speaker(
    checkpoint: str | Path | None, device: str
) -> tuple["Talker | MouthNetworks", dict[str, Any]]:
    """What speaks, and how it was made; the model that ships runs without torch on a processor."""
    if checkpoint is None and device in ("auto", "cpu"):
        from amie_core.talking.networks import ShippedNetworks

        networks = ShippedNetworks()
        return networks, networks.meta
    from amie_core.training.checkpoint import load_generator

    return load_generator(SHIPPED if checkpoint is None else Path(checkpoint), pick_device(device))


def picture_frames(
    generator: "Talker | MouthNetworks",
    meta: dict[str, Any],
    still: Still,
    audio: Path,
    size: int | None = None,
    crop: bool = False,
    movement: float = MOVEMENT,
    voice: "Voice | None" = None,
    lend_teeth: bool = True,
) -> tuple[tuple[int, int], Iterator[np.ndarray]]:
    """Width and height of the video of `talk`, and its frames as they are made.

    The speech is heard at the level of the clips that the model learnt from, however loud the
    recording is. voice: of sound.survey, where it is known.
    """
    from amie_core.data.audio import stream_windows
    from amie_core.model.speaking import MouthNetworks
    from amie_core.talking import canvas

    edge = size or (FACE_SIZE if crop else None)
    shown = _shown(still, edge)
    sound = stream_windows(
        audio, meta["mfcc_rate"], PART, voice=voice, level=SPEECH_LEVEL, hears=generator.hears
    )
    if isinstance(generator, MouthNetworks):
        given = None if still.before is None else _shown(still.before, edge)[0]
        return _mouth_frames(generator, still, shown, given, sound, movement, lend_teeth)

    import torch

    from amie_core.model.talker import roll_changes

    seen = still.aligned(meta["image_size"])
    identity = torch.from_numpy(seen.copy()).permute(2, 0, 1).float().div_(255)
    changes = roll_changes(generator, identity, sound, still.lip_box)
    if crop:
        edge = size or FACE_SIZE
        bare = ((array(frame) * 255).round().astype(np.uint8) for frame, _ in changes)
        return (edge, edge), (scale(frame, edge) for frame in bare)
    laid = canvas.Canvas(*shown, seen, still.lip_box)
    height, width = laid.picture.shape[:2]

    def larger(values: "torch.Tensor") -> np.ndarray:
        return movement * array(values)

    return (width, height), (
        laid.frame(larger(made.colours), None if made.flow is None else larger(made.flow))
        for _, made in ahead(changes)
    )


def _alive(
    pictures: Iterator[np.ndarray], still: Still, size: int | None, seed: int
) -> Iterator[np.ndarray]:
    """The same, of a face that blinks and drifts."""
    from amie_core.talking.alive import Alive

    picture, place = _shown(still, size)
    living = Alive(picture.shape[:2], place, still.points, seed)
    return (living.frame(one, number) for number, one in enumerate(pictures))


def _shown(still: Still, size: int | None) -> tuple[np.ndarray, np.ndarray]:
    """What the video shows, and the way from its px to the aligned face's 256-px units."""
    from amie_core.talking import canvas

    if size is None:
        return canvas.whole(still.picture, still.matrix)
    return canvas.face_alone(still.picture, still.matrix, size)


def _mouth_frames(
    networks: "MouthNetworks",
    still: Still,
    shown: tuple[np.ndarray, np.ndarray],
    given: np.ndarray | None,
    windows: Iterator[np.ndarray],
    movement: float,
    lend_teeth: bool,
) -> tuple[tuple[int, int], Iterator[np.ndarray]]:
    """`picture_frames` of a generator that moves the mouth by its landmarks.

    given: what the video shows before the lips were closed.
    """
    from amie_core.data.alignment import warp
    from amie_core.model import speaking
    from amie_core.model.contrast import contrast
    from amie_core.model.lent_teeth import a_sliver, coloured_as, darker_below, lent
    from amie_core.model.painter import Painter

    face, before = warp(still.picture, still.matrix), still.before or still
    points, own, teeth = still.points, before.points, still.teeth
    sharper = contrast(face if before is still else warp(before.picture, before.matrix), own)
    # A smile that is kept (--keep-smile) shows its own teeth, however few they are.
    sharp = float(sharper)
    few = teeth is None or (before is not still and a_sliver(teeth, sharp))
    if lend_teeth and few and (others := lent(face, points, sharp)):
        teeth = others if teeth is None else coloured_as(others, teeth)
    if teeth is not None:
        teeth = darker_below(teeth, sharp)
    painter = Painter(
        *shown, points, networks.canvas, networks.image_size, teeth,
        (shown[0] if given is None else given, own),
    )  # fmt: skip
    made = speaking.painted(networks, face, points, windows, movement, still.opens, own, sharper)
    height, width = painter.picture.shape[:2]
    return (width, height), (painter.frame(one) for one in ahead(made))


def array(values: "torch.Tensor") -> np.ndarray:
    """(1, c, s, s) as (s, s, c)."""
    return np.ascontiguousarray(values[0].permute(1, 2, 0).cpu().numpy())


def _check(face: Path, audio: Path, out: Path, size: int) -> None:
    """Refuse what cannot work before anything slow is loaded."""
    for path, what in ((face, "image of a face"), (audio, "audio or video file")):
        if not path.is_file():
            other = "a pipe or a device, no file" if path.exists() else "no such file"
            why = "is a folder" if path.is_dir() else other
            raise UserError(f"{path}: {why}; give an {what}")
        if out.exists() and out.samefile(path):
            raise UserError(f"{out} would overwrite its own input: choose another --out")
    if out.suffix.lower() != ".mp4":
        raise UserError(f"{out}: videos are written as .mp4; choose a name that ends so")
    if out.is_dir():
        raise UserError(f"{out} is a folder: choose a file name")
    if size % 2 or not SIZES[0] <= size <= SIZES[1]:
        raise UserError(f"size {size} px: choose an even number from {SIZES[0]} to {SIZES[1]}")
