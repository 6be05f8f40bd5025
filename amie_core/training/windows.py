"""Random training windows from prepared clips, resident where they fit, drawn ahead of the step."""

import dataclasses
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from amie_core import machine
from amie_core.config import FACE_SIZE, WINDOW, Profile
from amie_core.data import store
from amie_core.data.alignment import filled, lip_opening
from amie_core.data.audio import HOPS, Hears
from amie_core.errors import UserError
from amie_core.model.lip_edges import RIM_LEARNT, by_picture
from amie_core.model.lips import LIPS
from amie_core.mutual_information.samplers import negatives_within_clip
from amie_core.training import augment

# Bytes of pictures that stay in memory: few beside what a step takes; of a GPU's, its own memory.
RESIDENT = {"cpu": 512 << 20, "cuda": 6 << 30}


@dataclass(frozen=True)
class Batch:
    """One step's windows: b clips × k frames in a row. Pictures in [0, 1]."""

    identity: Float[Tensor, "b 3 s s"]  # I_f: a frame drawn from the same clip
    before: Float[Tensor, "b 3 s s"]  # what the first frame of the window sees as f̂_{i−1}
    frames: Float[Tensor, "b k 3 s s"]
    windows: Float[Tensor, "b k 20 c"]  # a_i; 13 cepstra a hop, or its 160 samples
    negatives: Float[Tensor, "b k 20 c"]  # a_k of the marginal pairs {f_j, a_k}
    lips: Float[Tensor, "b k 1 h h"]  # drawn lip polygon at half size, target of the fine mask
    lip_boxes: Int[Tensor, "b 4"]
    landmarks: Float[Tensor, "b k 68 2"]  # px at 256²
    identity_landmarks: Float[Tensor, "b 68 2"]
    identity_windows: Float[Tensor, "b 20 c"]  # what is heard while I_f is seen
    # Who, as a number: the speaker's place in the split's sorted names; -1 where nobody says who.
    speakers: Int[Tensor, " b"]


@dataclass(frozen=True)
class _Clips:
    """Clips laid end to end, so that a batch is a handful of index operations on any device."""

    frames: Tensor  # (held, s, s, 3) uint8
    lips: Tensor  # (held, h, h) uint8, 0 … 255
    landmarks: Tensor  # (held, 68, 2)
    sound: Tensor  # (rows, 13) cepstra or (rows, 160) samples; in a clip row r is hop r − 8
    held: list[list[int]]  # numbers of the frames of each clip that are laid, rising
    first_frame: np.ndarray  # of each clip
    first_row: np.ndarray
    silent: list[np.ndarray]
    lip_boxes: np.ndarray  # (clips, 4)

    def places(self, at: np.ndarray, numbers: Int[np.ndarray, "b k"]) -> Int[np.ndarray, "b k"]:
        """Where frames of the clips `at` lie, by their numbers in their clip."""
        inside = [np.searchsorted(self.held[c], n) for c, n in zip(at, numbers, strict=True)]
        return self.first_frame[at, None] + np.stack(inside)


def identity_frames(
    start: Int[np.ndarray, " b"],
    lengths: Int[np.ndarray, " b"],
    window: int,
    gap: int,
    random: np.random.Generator,
) -> Int[np.ndarray, " b"]:
    """Frame numbers at least `gap` frames from windows that begin at `start`, drawn evenly.

    Nearer ones would show the mouth that is to be made. A clip that has none gives its farther end.
    """
    before = np.maximum(start - gap + 1, 0)  # frames 0 … start − gap
    first_after = start + window - 1 + gap
    after = np.maximum(lengths - first_after, 0)
    drawn = (random.random(len(start)) * (before + after)).astype(np.int64)
    drawn = np.where(drawn < before, drawn, first_after + drawn - before)
    farther = np.where(start >= lengths - window - start, 0, lengths - 1)
    return np.where(before + after > 0, drawn, farther)


class Windows:
    """Windows of a prepared corpus's `train` split; `batch(step)` depends on seed and step alone.

    `also`: a second prepared corpus, from which the share `train.mix` of the windows is drawn;
    hears: of the sound the windows hold samples where it is "wave", else cepstra (`Talker.hears`:
    what is heard beside those is learnt from before the steps).

    The corpus is decoded once and stays in memory while it takes at most `resident_bytes` (None:
    what RESIDENT says of the device); beyond that the frames of a window, and no others of its
    clip, are decoded by threads as they are drawn. Raises UserError when the split has no clip that
    is long enough.
    """

    def __init__(
        self,
        data: Path,
        profile: Profile,
        seed: int,
        *,
        also: Path | None = None,
        hears: Hears = "cepstra",
        split: str = "train",
        rank: int = 0,
        device: torch.device | str = "cpu",
        resident_bytes: int | None = None,
        progress: bool = True,
    ) -> None:
        self.profile, self.seed, self.rank, self.progress = profile, seed, rank, progress
        self.hears = hears
        self.device = torch.device(device)
        self.size = profile.model.image_size
        need = max(profile.train.unroll + 1, profile.train.min_gap + 1)
        folders = [(data, 1.0)] if also is None else [
            (data, 1 - profile.train.mix), (also, profile.train.mix)
        ]  # fmt: skip
        parts, weights = [], []
        for folder, part in folders:
            rows = store.clips(folder, split)
            worn = store.settings(folder).get("corpus") == "portraits"
            rows = rows[rows["frames"] >= need].assign(folder=str(folder), worn=worn)
            if rows.empty:
                raise UserError(f"{folder}: no clip of split {split!r} has {need} frames or more")
            share = rows.groupby("speaker")["speaker"].transform("size").to_numpy(float)
            weight = share ** (profile.train.speaker_power - 1)
            weights.append(part * weight / weight.sum())
            parts.append(rows)
        self.rows = rows = pd.concat(parts, ignore_index=True)
        self.weights = np.concatenate(weights)
        # Numbers of the clips whose mouths are their own: portraits wear those of others.
        self.filmed = np.flatnonzero(~rows["worn"].to_numpy(bool))
        if not len(self.filmed):
            raise UserError(f"{data}: portraits alone: they go beside filmed clips (--also)")
        names = rows["folder"] + " " + rows["speaker"]  # in order of folder, then of name
        self.speakers = np.unique(names, return_inverse=True)[1]
        self.speakers[(rows["speaker"] == "").to_numpy()] = -1
        self.frames_in_all = int(rows["frames"].sum())
        self.pool = ThreadPoolExecutor(max(4, machine.cores() // 2))
        self.edges: dict[tuple[int, int], np.ndarray] = {}  # by clip and frame, where they are seen
        picture = self.size**2 * 3 + (self.size // 2) ** 2
        if resident_bytes is None:
            resident_bytes = RESIDENT["cuda" if self.device.type == "cuda" else "cpu"]
        self.resident = self.frames_in_all * picture <= resident_bytes
        self.all = self._lay(range(len(rows)), progress=progress) if self.resident else None

    def load(self, index: int, only: Sequence[int] | None = None) -> store.PreparedClip:
        """A clip of the split as networks see it; only: numbers of the frames that are decoded.

        With `train.lip_edges` the landmarks of those, and of no others, lie where they show them.
        """
        row, settings = self.rows.iloc[index], self.profile
        side = settings.model.canvas
        seen = self.size if side == FACE_SIZE else FACE_SIZE
        clip = store.load_clip(row["folder"], row, size=seen, only=only)
        if settings.train.lip_edges and not row["worn"]:  # what portraits wear is cut by landmarks
            clip = self._on_edges(index, clip, only)
        if side != FACE_SIZE:
            clip = store.around_mouth(clip, side, self.size)
        return store.levelled(clip, settings.mfcc_rate) if settings.level else clip

    def _on_edges(
        self, index: int, clip: store.PreparedClip, only: Sequence[int] | None
    ) -> store.PreparedClip:
        """The clip (frames of 256 px) with its decoded frames' landmarks on the lips' edges."""
        points = clip.landmarks.copy()
        numbers = range(len(points)) if only is None else only
        for frame, k in zip(clip.frames, numbers, strict=True):
            if (index, k) not in self.edges:  # found in 10 ms, looked for once
                self.edges[index, k] = by_picture(frame, points[k], RIM_LEARNT)
            points[k] = self.edges[index, k]
        return dataclasses.replace(clip, landmarks=points)

    def _lay(
        self, indices: Iterable[int], only: list[list[int]] | None = None, progress: bool = False
    ) -> _Clips:
        """Read clips by threads (JPEG decoding frees the GIL) and lay them end to end.

        only: numbers, rising, of the frames that are wanted of each; all of them where it is None.
        """
        indices = list(indices)
        wanted: Iterable = [None] * len(indices) if only is None else only
        loading = self.pool.map(self.load, indices, wanted)
        clips = list(machine.progress_bar(
            loading, "load", shown=progress, total=len(indices), unit="clip"
        ))  # fmt: skip
        held = only or [list(range(len(c.frames))) for c in clips]
        sound = [self._sound(c) for c in clips]
        points = [c.landmarks[numbers] for c, numbers in zip(clips, held, strict=True)]

        def joined(arrays: list[np.ndarray]) -> Tensor:
            whole = torch.from_numpy(np.concatenate(arrays))
            if self.device.type == "cuda":  # from pinned memory it is copied beside the step
                whole = whole.pin_memory()
            return whole.to(self.device, non_blocking=True)

        return _Clips(
            frames=joined([c.frames for c in clips]),
            lips=joined([filled(p[:, LIPS], self.size // 2) for p in points]),
            landmarks=joined(points),
            sound=joined(sound),
            held=held,
            first_frame=np.cumsum([0, *map(len, held[:-1])]),
            first_row=np.cumsum([0, *map(len, sound[:-1])]),
            silent=[c.silent for c in clips],
            lip_boxes=np.array([c.lip_box for c in clips], np.int64),
        )

    def standardisation(self) -> tuple[Float[Tensor, "*c"], Float[Tensor, "*c"]]:
        """Mean and deviation of the cepstra (13), or of all samples, over at most 512 clips."""
        rows = torch.cat([torch.from_numpy(self._sound(clip)) for _, clip in self.some()])
        columns = (0, 1) if self.hears == "wave" else 0
        return rows.mean(columns), rows.std(columns) + 1e-3

    def _sound(self, clip: store.PreparedClip) -> Float[np.ndarray, "hops c"]:
        """What is heard of a clip: its cepstra or its samples."""
        if self.hears != "wave":
            return clip.mfcc
        return store.rows(clip, "wave", self.profile.mfcc_rate, level=self.profile.level)

    def shapes(self) -> Float[Tensor, "n 68 2"]:
        """Landmarks of training frames, px at 256², of at most 512 clips."""
        return torch.cat([torch.from_numpy(clip.landmarks) for _, clip in self.some()])

    def some(self) -> Iterator[tuple[int, store.PreparedClip]]:
        """At most 512 filmed clips, without their frames, and each one's speaker's number."""
        count = len(self.filmed)
        for i in self.filmed[np.linspace(0, count - 1, min(512, count)).astype(int)].tolist():
            yield int(self.speakers[i]), self.load(i, [])

    def batch(self, step: int) -> Batch:
        """The windows of one step, the same whenever it is asked for."""
        settings = self.profile.train
        b, k = settings.batch, settings.unroll
        random = np.random.default_rng([self.seed, step, self.rank])
        drawn = random.choice(len(self.rows), b, p=self.weights)
        lengths = self.rows["frames"].to_numpy()[drawn]
        first, last = settings.teacher
        teacher = first + (last - first) * step / max(settings.steps, 1)

        start = random.integers(1, lengths - k + 1)
        own = start[:, None] + np.arange(k)  # (b, k) frame numbers in their clip
        tried = np.stack([
            identity_frames(start, lengths, k, settings.identity_gap, random)
            for _ in range(settings.identity_tries)
        ], axis=1)  # fmt: skip
        # A window starts either as inference does (from I_f) or from the real frame before it.
        real = random.random(b) < teacher
        clips, at = self.all, drawn
        if clips is None:
            wanted = np.concatenate([tried, start[:, None] - 1, own], axis=1)
            only = [np.unique(numbers).tolist() for numbers in wanted]
            clips, at = self._lay(drawn.tolist(), only), np.arange(b)
        identity = self._most_closed(clips, at, tried)
        before = np.where(real, start - 1, identity)
        pictures = np.concatenate([identity[:, None], before[:, None], own], axis=1)
        far = np.stack([
            negatives_within_clip(int(n), settings.min_gap, frames=o, silent=clips.silent[c],
                                  generator=random)
            for n, c, o in zip(lengths, at, own, strict=True)
        ])  # fmt: skip

        places = clips.places(at, pictures)
        scaled = clips.frames[self._index(places)]
        scaled = scaled.permute(0, 1, 4, 2, 3).float().div_(255)
        lips = clips.lips[self._index(places[:, 2:])]
        boxes = torch.from_numpy(clips.lip_boxes[at])
        points = clips.landmarks[self._index(np.delete(places, 1, axis=1))]
        views = augment.Views(scaled, lips.float().div_(255), boxes, points)
        if settings.augment:
            views = augment.mirror(augment.colours(views, random), random)
        if settings.lighting:
            views = augment.lighting(views, random)
        if settings.geometry:
            views = augment.geometry(views, random)
        scaled, lips, boxes, points = views
        return Batch(
            identity=scaled[:, 0],
            before=scaled[:, 1],
            frames=scaled[:, 2:],
            windows=self._hops(clips, at, own),
            negatives=self._hops(clips, at, far),
            lips=lips[:, :, None],
            lip_boxes=boxes.to(self.device),
            landmarks=points[:, 1:],
            identity_landmarks=points[:, 0],
            identity_windows=self._hops(clips, at, identity[:, None])[:, 0],
            speakers=self._index(self.speakers[drawn]),
        )

    def _most_closed(
        self, clips: _Clips, at: np.ndarray, tried: Int[np.ndarray, "b c"]
    ) -> Int[np.ndarray, " b"]:
        """Of the frames tried for each clip, the one whose lips are nearest to each other."""
        if tried.shape[1] == 1:
            return tried[:, 0]
        points = clips.landmarks[self._index(clips.places(at, tried))].cpu().numpy()
        opening = lip_opening(points.reshape(-1, *points.shape[2:])).reshape(tried.shape)
        return np.take_along_axis(tried, opening.argmin(1)[:, None], 1)[:, 0]

    def _index(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers).to(self.device)

    def _hops(self, clips: _Clips, at: np.ndarray, frames: np.ndarray) -> Tensor:
        """Windows (b, k, 20, c) of frames (b, k): rows 4v … 4v+20 of the padded sound."""
        rows = clips.first_row[at, None] + HOPS * frames
        return clips.sound[self._index(rows[..., None] + np.arange(WINDOW[0]))]


Made = tuple[Batch, "torch.cuda.Event | None"]  # a batch, and when its stream has made it


class Prefetch:
    """Batches of steps first … last−1, made by a thread while the step before them runs.

    `waited` is how long, in seconds, the caller stood still for them.
    """

    def __init__(self, windows: Windows, first: int, last: int, depth: int = 3) -> None:
        self.waited = 0.0
        self._queue: queue.Queue[Made | Exception | None] = queue.Queue(depth)
        self._stop = threading.Event()
        arguments = (windows, first, last)
        self._thread = threading.Thread(target=self._fill, args=arguments, daemon=True)
        self._thread.start()

    def _fill(self, windows: Windows, first: int, last: int) -> None:
        try:
            # A stream of its own: uploads and augmentation run beside the step's kernels.
            cuda = windows.device.type == "cuda"
            own = torch.cuda.Stream(windows.device) if cuda else None
            if own is not None:  # a resident corpus was laid on the usual one
                own.wait_stream(torch.cuda.default_stream(windows.device))
            for step in range(first, last):
                with torch.cuda.stream(own):
                    batch = windows.batch(step)
                if not self._put((batch, own.record_event() if own is not None else None)):
                    return
            self._put(None)
        except Exception as error:  # handed to the training thread, which raises it
            self._put(error)

    def _put(self, item: "Made | Exception | None") -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Batch]:
        while True:
            start = time.perf_counter()
            item = self._queue.get()
            self.waited += time.perf_counter() - start
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            batch, made = item
            if made is not None:
                now = torch.cuda.current_stream()
                now.wait_event(made)
                for field in dataclasses.fields(batch):  # not reused before the step has read it
                    getattr(batch, field.name).record_stream(now)
            yield batch

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join()
