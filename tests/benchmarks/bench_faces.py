"""How well faces talk: every speaker of the given splits, by the whole way of `amie talk`.

    python tests/benchmarks/bench_faces.py PREPARED[:SPLIT,…] … [--checkpoint RUN|FILE]
        [--movement 1] [--clips 4] [--video] [--json OUT]

Each clip's first frame and its sound go through `talk` (sound levelled, lips closed, what the model
changes laid over the face at 256²); the frames are compared with the real ones of 256². With
--video it is told how far the lips open, as a video of the face tells it: by every fifth frame of
the speaker's next clip (of the same one where it is the only one). Prints a line a speaker, and
each split's mean over speakers. Not a test: nothing is asserted.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import soundfile
import torch

from amie_core import machine
from amie_core.config import FACE_SIZE, SAMPLE_RATE
from amie_core.data import store
from amie_core.data.alignment import lip_opening, scale
from amie_core.evaluation import metrics, sync_judge
from amie_core.evaluation.evaluate import at_most
from amie_core.evaluation.reference_rows import Measured, measure_lips
from amie_core.files import SHIPPED, commit, write_json
from amie_core.machine import progress_bar
from amie_core.talking.still import EVERY as LOOKED
from amie_core.talking.still import Still, opens_in
from amie_core.talking.talk import picture_frames
from amie_core.training.checkpoint import load_generator

OPEN = 6.0  # px at 256: lips farther apart than this show what is between them
FARTHEST = 3  # frames: how far off a recording's sound may lie
EVERY = 5  # SSIM and PSNR look at every fifth frame
JUDGE_SIZE = 64
COLUMNS = {
    "correlation": "lip opening, Pearson, over the clip",
    "speech": "the same over frames where something is said",
    "lag": "frames by which the opening comes after the real one, where it follows it best",
    "at_lag": "correlation of the opening at that lag",
    "late": "frames by which the sound of the real clips comes after their lips, by the judge",
    "in_time": "correlation of the opening with that put right",
    "variance": "of the lip opening, over the real one's",
    "opening": "mean lip opening, px at 256, less the real one's",
    "lmd": "landmark distance, over the copied frame's",
    "psnr": "dB at 256² over the copied frame's",
    "ssim": "at 256² over the copied frame's",
    "inner": "gradient energy inside the lips, over the real one's, open frames",
    "auc": "the judge's",
    "auc_real": "the judge's, of the real clip",
}


def inner_energy(frames: np.ndarray, measured: Measured) -> float | None:
    """Mean squared gradient of the grey picture inside the inner lips, over frames that show it."""
    found = []
    for frame, points in zip(frames, measured.points, strict=True):
        if lip_opening(points[None])[0] < OPEN:
            continue
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
        inside = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(inside, [points[60:68].round().astype(np.int32)], 1)
        inside = cv2.erode(inside, np.ones((3, 3), np.uint8))
        if inside.any():
            energy = cv2.Sobel(grey, -1, 1, 0) ** 2 + cv2.Sobel(grey, -1, 0, 1) ** 2
            found.append(energy[inside > 0].mean())
    return float(np.mean(found)) if found else None


def at_lags(
    opening: np.ndarray, wanted: np.ndarray, found: np.ndarray
) -> dict[int, float | None]:
    """How well the opening follows the wanted one so many frames later: the correlation."""
    n, at = len(opening), {}
    for lag in range(-FARTHEST, FARTHEST + 1):
        later = slice(max(lag, 0), n + min(lag, 0))
        earlier = slice(max(-lag, 0), n - max(lag, 0))
        both = found[later] & found[earlier]
        at[lag] = metrics.lip_correlation(opening[later][both], wanted[earlier][both])
    return at


def in_time(clips: list[dict[str, Any]]) -> None:
    """Puts the sound of a speaker's recordings right: by what the judge hears of all of them."""
    heard = [clip["late"] for clip in clips if clip["late"] is not None]
    late = round(float(np.median(heard))) if heard else None
    for clip in clips:
        at = clip.pop("at")
        clip["in_time"] = None if late is None else at.get(late)


def spoken(
    generator: Any,
    meta: dict[str, Any],
    clip: store.PreparedClip,
    movement: float,
    opens: float | None = None,
) -> np.ndarray:
    """The clip's first frame saying its sound, as `talk --size 256` makes it."""
    still = Still(clip.frames[0], clip.landmarks[0], np.eye(2, 3), opens=opens).as_shown()
    with TemporaryDirectory() as folder:
        sound = Path(folder) / "voice.wav"
        soundfile.write(sound, clip.audio, SAMPLE_RATE)
        made = picture_frames(
            generator, meta, still.at_rest(), sound, FACE_SIZE, movement=movement
        )[1]
        frames = np.stack(list(made))[: len(clip.frames)]
    return np.concatenate([frames, np.repeat(frames[-1:], len(clip.frames) - len(frames), 0)])


def measured(clip: store.PreparedClip, made: np.ndarray, judge: Any) -> dict[str, Any]:
    """The columns of one clip; `at`: the correlation at every lag."""
    real, own = measure_lips(clip.frames), measure_lips(made)
    n = len(made)
    still = np.repeat(clip.frames[:1], n, axis=0)
    first = Measured(*(np.repeat(part[:1], n, axis=0) for part in real))
    both = own.found & real.found
    both[0] = False
    said = both & ~clip.silent
    opening, wanted = lip_opening(own.points), lip_opening(real.points)
    lmd = metrics.lmd(own.points[both], real.points[both], metrics.MOUTH)
    of_copy = metrics.lmd(first.points[both], real.points[both], metrics.MOUTH)
    some = slice(1, None, EVERY)
    energy, real_energy = inner_energy(made, own), inner_energy(clip.frames, real)
    at = at_lags(opening, wanted, both)
    lag = max(at, key=lambda lag: (at[lag] or -1.0, -abs(lag)))
    row: dict[str, Any] = {
        "at": at,
        "lag": lag,
        "at_lag": at[lag],
        "late": None,
        "correlation": metrics.lip_correlation(opening[both], wanted[both]),
        "speech": metrics.lip_correlation(opening[said], wanted[said]),
        "variance": metrics.lip_variance_ratio(opening[both], wanted[both]),
        "opening": float(opening[both].mean() - wanted[both].mean()),
        "lmd": lmd / of_copy,
        "psnr": metrics.psnr_rgb(made[some], clip.frames[some])
        - metrics.psnr_rgb(still[some], clip.frames[some]),
        "ssim": metrics.ssim_gaussian_rgb(made[some], clip.frames[some])
        - metrics.ssim_gaussian_rgb(still[some], clip.frames[some]),
        "inner": energy / real_energy if energy and real_energy else None,
    }
    if judge is not None:
        for name, frames in (("auc", made), ("auc_real", clip.frames)):
            small = np.stack([scale(frame, JUDGE_SIZE) for frame in frames])
            judgement = sync_judge.judged(judge, small, clip, FARTHEST)
            row[name] = judgement.auc
        row["late"] = judgement.offset  # of the real clip, the last of both
    return row


def who(rows: Any) -> Any:
    """The speaker of each row of a manifest, its folder where none is named."""
    return rows["speaker"].where(rows["speaker"] != "", rows["utterance"].str.split("/").str[0])


def by_speaker(
    generator: Any, meta: dict[str, Any], folder: Path, split: str, judge: Any, *, clips: int = 4,
    movement: float = 1.0, video: bool = False,
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """The columns of at most `clips` clips of every speaker of a split."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    rows = store.clips(folder, split)
    named = rows.groupby(who(rows))
    of = {str(name): at_most(part, clips)["file"].tolist() for name, part in named}
    todo = [(speaker, file) for speaker, files in of.items() for file in files]
    for speaker, file in progress_bar(todo, split, unit="clip"):
        clip, opens = store.load_clip(folder, file), None
        if video:
            following = of[speaker][(of[speaker].index(file) + 1) % len(of[speaker])]
            other = store.load_clip(folder, following, only=[])
            # the frames that talking.still.watch looks at
            opens = opens_in(other.landmarks[::LOOKED], ~other.silent[::LOOKED])
        with torch.inference_mode():
            made = spoken(generator, meta, clip, movement, opens)
        found[speaker].append(measured(clip, made, judge))
    for of_speaker in found.values():
        in_time(of_speaker)
    return dict(found)


def folders(words: list[str]) -> Iterator[tuple[Path, str]]:
    """Prepared folders and their splits; all splits where none is named."""
    for word in words:
        folder, _, splits = word.partition(":")
        named = splits.split(",") if splits else sorted(set(store.clips(folder)["split"]))
        yield from ((Path(folder), split) for split in named)


def mean(
    rows: list[dict[str, float | None]], columns: Iterable[str] = COLUMNS
) -> dict[str, float | None]:
    """Of each column, over the rows that have it."""
    known = {name: [row[name] for row in rows if row.get(name) is not None] for name in columns}
    return {name: float(np.mean(v)) if v else None for name, v in known.items()}


def line(name: str, clips: int, row: dict[str, float | None]) -> str:
    cells = [f"{row[column]:>11.2f}" if row[column] is not None else f"{'-':>11}"
             for column in COLUMNS]  # fmt: skip
    return f"{name:28}{clips:>5}" + "".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="+", help="prepared folder, and splits of it")
    parser.add_argument("--checkpoint", type=Path, default=SHIPPED)
    parser.add_argument("--movement", type=float, default=1.0)
    parser.add_argument("--clips", type=int, default=4, help="of a speaker at most")
    parser.add_argument("--video", action="store_true", help="tell it how far the lips open")
    parser.add_argument("--judge", type=Path, help="prepared corpus that the judge learns from")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    generator, meta = load_generator(chosen.checkpoint)
    judge = sync_judge.judge_of(chosen.judge, JUDGE_SIZE) if chosen.judge else None
    told: dict[str, Any] = {
        "columns": COLUMNS, "movement": chosen.movement, "video": chosen.video,
        "model": {name: meta.get(name) for name in ("profile", "commit", "seed", "step")},
        "commit": commit(), "machine": machine.processor(), "splits": {},
    }  # fmt: skip
    for column, words in COLUMNS.items():
        print(f"{column}: {words}")
    print(f"{'':28}{'clips':>5}" + "".join(f"{column:>11}" for column in COLUMNS))
    for folder, split in folders(chosen.data):
        found = by_speaker(generator, meta, folder, split, judge, clips=chosen.clips,
                           movement=chosen.movement, video=chosen.video)  # fmt: skip
        speakers = {name: mean(clips) for name, clips in found.items()}
        for name, row in speakers.items():
            print(line(f"{split} {name}", len(found[name]), row), flush=True)
        count = sum(map(len, found.values()))
        print(line(f"{split}, mean", count, mean(list(speakers.values()))), flush=True)
        told["splits"][f"{folder.name} {split}"] = {
            "data_digest": store.digest(folder), "speakers": speakers, "clips": found
        }
    if chosen.json:
        write_json(chosen.json, told)


if __name__ == "__main__":
    sys.exit(main())
