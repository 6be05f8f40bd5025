"""Raw clips to prepared clips: in parallel, resumable, every clip accounted for in the manifest."""

import concurrent.futures
import contextlib
import itertools
import multiprocessing
import os
import shutil
import signal
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from amie_core import files
from amie_core.config import FACE_SIZE, FPS, MFCC_RATES, SAMPLE_RATE
from amie_core.data import (
    alignment,
    audio,
    corpora,
    face_track,
    faces,
    origins,
    sound,
    store,
)
from amie_core.data.raw_clip import Source
from amie_core.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

LOST = 5  # frames a damaged stream may lack, or this share of a long one (each repeats the last)
LOST_SHARE = 0.02
AHEAD = 8  # clips handed to each process before they are asked for


@dataclass(frozen=True)
class Summary:
    """What a preparation made: clips by status, frames and seconds of the usable ones."""

    ok: int
    repaired: int
    rejected: int
    frames: int
    seconds: float


class Rejected(Exception):
    """The clip cannot be used; the message is its reason in the manifest."""


def prepare_clip(source: Source, out: Path, mfcc_rate: int, backend: str) -> dict[str, Any]:
    """Prepare one clip and write its file; its row of the manifest, whatever became of it, and
    its `origin`."""
    row: dict[str, Any] = dict.fromkeys(store.COLUMNS, "")
    row.update(speaker=source.speaker, utterance=source.utterance, split=source.split)
    row.update(frames=0, seconds=0.0, width=0, height=0, fps_in=0.0, status="rejected")
    if source.path is not None:
        with contextlib.suppress(OSError):
            row["origin"] = origins.of(source.path)  # before it is read: it may change meanwhile
    try:
        _prepare(source, row, out, mfcc_rate, backend)
    except Rejected as reason:
        row["reason"] = str(reason)
    except Unwritable as error:
        raise error.args[0] from error
    except UserError as error:
        row["reason"] = f"unreadable: {error}"
    except MemoryError:
        row["reason"] = "too large for the memory of this machine"
    except Exception as error:  # one odd clip must not end the preparation of all others
        row["reason"] = f"unexpected {type(error).__name__}: {str(error)[:200]!r}"
    return row


class Unwritable(Exception):
    """Carries the UserError of a target that cannot be written: it ends the whole preparation."""


def _prepare(source: Source, row: dict, out: Path, mfcc_rate: int, backend: str) -> None:
    clip = source.read()
    row["fps_in"] = round(clip.fps, 3)
    if clip.audio is None:
        raise Rejected(clip.notes[0] if clip.notes else "no sound")
    repairs = list(clip.notes)
    if clip.landmarks is not None:
        row["landmarks"] = "exact"
        frames = list(clip.frames)
        height, width = next(f for f in frames if f is not None).shape[:2]
        found = face_track.FaceTrack(clip.landmarks, frames, (width, height))
    else:
        finder = faces.backend(backend)
        row["landmarks"] = finder.name
        found = face_track.track(clip.frames, finder)
    row["width"], row["height"] = found.size
    start, end = _usable(found, clip.audio, repairs)
    landmarks = face_track.fill(found.landmarks[start:end])
    matrix = alignment.similarity(landmarks)
    pictures = found.frames or source.read().frames
    warped = _warped(itertools.islice(pictures, start, end), matrix)
    jpeg, offsets = store.encode(warped)
    wave = _fit(clip.audio[start * sound.FRAME_SAMPLES :], end - start)
    silent = audio.is_silent(wave, end - start)
    if silent.all():
        raise Rejected("no sound: the track is silent")
    aligned = alignment.transform(landmarks, matrix)
    shift = start / FPS
    spoken = [(w, a - shift, b - shift) for w, a, b in corpora.words(source)]
    file = Path("clips") / (source.word or source.speaker) / f"{source.utterance}.npz"
    arrays = {
        "name": np.array([source.speaker, source.utterance, source.split]),
        "jpeg": jpeg,
        "offsets": offsets,
        "landmarks": aligned,
        "lip_box": np.array(alignment.lip_box(aligned)),
        "mfcc": audio.mfcc(wave, rate=mfcc_rate, frames=end - start),
        "silent": silent,
        "audio": np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16),
        "words": np.array([w for w, _, _ in spoken], dtype=str),
        "word_times": np.array([t for _, *t in spoken], np.float64).reshape(-1, 2),
    }
    try:
        store.write_clip(out / file, arrays)
    except UserError as error:
        raise Unwritable(error) from error
    reason = "; ".join([*clip.choices, *repairs])
    row.update(status="repaired" if repairs else "ok", reason=reason)
    row.update(frames=end - start, seconds=round((end - start) / FPS, 3), file=file.as_posix())


def _usable(
    found: face_track.FaceTrack, wave: Float[np.ndarray, " samples"], repairs: list[str]
) -> tuple[int, int]:
    """[start, end) of the frames that are used; what had to be repaired is added to `repairs`."""
    n = len(found.landmarks)
    if not n:
        raise Rejected("no picture could be decoded")
    if len(found.lost) > max(LOST, LOST_SHARE * n):
        raise Rejected(f"damaged stream: {len(found.lost)} of {n} frames lost")
    seen = ~np.isnan(found.landmarks[:, 0, 0])
    if not seen.any():
        raise Rejected("no face")
    if found.on_its_head:
        raise Rejected("the face is upside down: turn the clip by 180°")
    if found.two:
        raise Rejected("two faces of like size")
    start, end = face_track.usable_span(seen, found.cuts)
    cuts = ", ".join(f"{k / FPS:.2f} s" for k in found.cuts)
    if end - start < max(min(face_track.SHORTEST, n), face_track.SHARE * n):
        without = f"no face in {n - int(seen.sum())} of {n} frames"
        raise Rejected(f"cut at {cuts}: no stretch is long enough" if cuts else without)
    if start or end < n:
        why = f"cut at {cuts}" if cuts else "no face at an end"
        repairs.append(f"{why}: only frames {start} to {end - 1} of {n} are kept")
    if found.lost:
        repairs.append(f"damaged stream: {len(found.lost)} lost frames repeat the one before")
    if missed := int((~seen[start:end]).sum()):
        repairs.append(f"landmarks of {missed} frames interpolated")
    heard = sound.frame_count(len(wave))
    if heard < end - face_track.FILL:
        repairs.append(f"sound ends {(end - heard) / FPS:.2f} s before the picture: cut off")
        end = heard
        if end - start < max(min(face_track.SHORTEST, n), face_track.SHARE * n):
            raise Rejected(f"sound of only {len(wave) / SAMPLE_RATE:.2f} s")
    return start, end


def _warped(frames: Iterator[np.ndarray | None], matrix: np.ndarray) -> Iterator[np.ndarray]:
    last: np.ndarray | None = None
    for frame in frames:
        if frame is not None:
            last = alignment.warp(frame, matrix, FACE_SIZE)
        assert last is not None  # the usable span begins with a frame that shows a face
        yield last


def _fit(wave: np.ndarray, frames: int) -> np.ndarray:
    """Exactly as long as the picture: GRID's sound is 22 ms shorter and is filled with silence."""
    samples = frames * sound.FRAME_SAMPLES
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))


def prepare(
    corpus: str,
    root: str | Path | None,
    out: str | Path,
    jobs: int | None = None,
    mfcc_rate: int = SAMPLE_RATE,
    backend: str = "auto",
    identities: int = 12,
    utterances: int = 8,
    seed: int = 0,
    shard: tuple[int, int] | None = None,
    listed: tuple[list[Source], dict[str, Any]] | None = None,
) -> Summary:
    """Prepare a corpus into `out` (see store); a second call does what is still to be done.

    jobs: processes, by default one a core; mfcc_rate: 16000, or 5000 as the paper says; backend:
    see faces.backend; identities, utterances, seed: of the drawn corpus. shard: (i, n) does the
    i-th of n parts alone, beside others at work in the same folder; the call without it gathers
    what they have done, and does the rest. listed: clips of a corpus that is none of
    `corpora.CORPORA`, whose landmarks are known, and the settings that made them. UserError:
    unusable root, a target that cannot be written or was prepared with other settings.
    """
    from amie_core.machine import progress_bar

    if mfcc_rate not in MFCC_RATES:
        rates = " or ".join(map(str, MFCC_RATES))
        raise UserError(f"--mfcc-rate {mfcc_rate}: {rates} Hz")
    out = Path(out)
    drawn: dict[str, Any] = {"identities": identities, "utterances": utterances, "seed": seed}
    sources, own = listed or (corpora.corpus(corpus, root, **drawn), {})
    if corpus == "synthetic":
        from amie_core.data.synthetic.corpus import drawing

        own = drawn | {"drawing": drawing()}
    finder = "exact" if own else faces.backend(backend).name
    settings = {
        "version": store.VERSION,
        "corpus": corpus,
        "mfcc_rate": mfcc_rate,
        "face_size": FACE_SIZE,
        "jpeg_quality": store.JPEG_QUALITY,
        "backend": finder,
        **own,
    }
    work = out if shard is None else shard_folder(out, shard)
    if shard is not None:
        sources = [source for source in sources if _in_shard(source, shard)]
    with files.only_one(work, "prepare"), contextlib.ExitStack() as others:
        _check_target(out, work, settings)
        parts = _shards(out) if shard is None else []
        for part in parts:
            others.enter_context(files.only_one(part, "prepare"))
        manifest = work / "manifest.csv"
        rows, known = _resume(out, work, parts, sources, root)
        todo = [s for s in sources if (s.speaker, s.utterance) not in rows]
        jobs = max(1, min(jobs or os.cpu_count() or 1, len(todo)))
        tasks = ((source, out, mfcc_rate, finder) for source in todo)
        try:
            with manifest.open("a", encoding="utf-8", newline="") as file, (
                work / "sources.csv").open("ab") as sources_file:  # fmt: skip
                bar = progress_bar(
                    _run(tasks, jobs), f"prepare {corpus}",
                    total=len(sources), initial=len(sources) - len(todo), unit="clip",
                )  # fmt: skip
                for row in bar:
                    key = row["speaker"], row["utterance"]
                    if origin := row.pop("origin", None):
                        known[key] = origin
                        sources_file.write(origins.line(key, origin))
                        sources_file.flush()
                    rows[key] = store.line(row)
                    file.write(rows[key])  # a line a clip as it is done: a kill loses no more
                    file.flush()
        except OSError as error:
            raise UserError(f"cannot write {manifest}: {(error.strerror or '').lower()}") from error
        files.write_whole(manifest, store.table(rows))
        files.write_whole(work / "sources.csv", origins.table(known))
        for part in parts:  # all that they hold stands in the manifest now
            shutil.rmtree(part)
    return summary(work)


def shard_folder(out: Path, shard: tuple[int, int]) -> Path:
    """Where a shard keeps its own manifest (UserError: there is no such shard)."""
    i, n = shard
    if not 1 <= i <= n:
        raise UserError(f"shard {i}/{n}: the first of {n} is 1/{n}, the last {n}/{n}")
    return out / "shards" / f"{i}-of-{n}"


def _shards(out: Path) -> list[Path]:
    return sorted(path for path in (out / "shards").glob("*-of-*") if path.is_dir())


def _in_shard(source: Source, shard: tuple[int, int]) -> bool:
    """By the clip's names, so that a clip keeps its shard whatever is added to the corpus."""
    return zlib.crc32(f"{source.speaker}/{source.utterance}".encode()) % shard[1] == shard[0] - 1


def _check_target(out: Path, work: Path, settings: dict[str, Any]) -> None:
    """Take the folder for these settings (UserError: it holds what others made).

    A call that made nothing does not keep it. work: of this call's manifest, which it has alone.
    """
    before = store.settings(out) if (out / "corpus.json").is_file() else {}
    keys = sorted(settings.keys() | before.keys())
    other = next((key for key in keys if settings.get(key) != before.get(key)), None)
    if other is None:
        return
    if before and _begun(out, work):
        raise UserError(
            f"{out} was prepared with {other} {before.get(other)}, not {settings.get(other)}: "
            "choose another --out or remove it"
        )
    files.write_json(out / "corpus.json", settings)


def _begun(out: Path, work: Path) -> bool:
    """Whether anything was prepared in a folder, or may be at this moment by other shards."""
    manifest = out / "manifest.csv"
    return any(part != work for part in _shards(out)) or (
        manifest.is_file() and bool(store.read_lines(manifest))
    )


def _resume(
    out: Path, work: Path, parts: list[Path], sources: list[Source], root: str | Path | None
) -> tuple[dict[origins.Key, str], dict[origins.Key, origins.Origin]]:
    """Lines and origins of the clips that are done; leftovers of a kill are removed.

    work: the folder of the manifest, `out` itself or a shard's; parts: shards to gather.
    Today's splits hold. A clip whose file has changed is to be done again; clips of another root,
    and of files that are gone, stay. UserError: a clip's names belong to another root's file.
    """
    if work == out:  # nobody else is at work here
        for left in (out / "clips").rglob(".*.part"):
            left.unlink(missing_ok=True)
    done: dict[origins.Key, str] = {}
    known: dict[origins.Key, origins.Origin] = {}
    for folder in {out: None, work: None} | dict.fromkeys(parts):
        manifest = folder / "manifest.csv"
        done |= store.read_lines(manifest) if manifest.is_file() else {}
        known |= origins.read(folder)
    rows, taken = {}, []
    for source in sources:
        key = source.speaker, source.utterance
        line = done.pop(key, None)
        if line is None:
            continue
        row = store.row_of(line)
        if row["status"] != "rejected" and not zipfile.is_zipfile(out / row["file"]):  # or cut off
            continue
        origin = known.get(key)
        if source.path is not None:
            path = os.path.abspath(source.path)
            if origin is None:  # prepared before origins were kept: taken for what it is
                origin = origins.of(source.path)
            if not origins.unchanged(origin, source.path):
                if path != origin.path and os.path.exists(origin.path):
                    taken.append(f"{key[0]}/{key[1]} ({origin.path})")
                continue
            known[key] = origin._replace(path=path)
        rows[key] = line if row["split"] == source.split else store.line(
            {**row, "split": source.split})  # fmt: skip
    if taken:
        raise UserError(
            f"{out} has other clips under {len(taken)} of the names in {root}, the first "
            f"{taken[0]}: choose another --out"
        )
    if work == out:
        for key, line in done.items():  # what is not listed today
            if (origin := known.get(key)) and not _left_out(origin, root):
                rows[key] = line
    files.write_whole(work / "manifest.csv", store.table(rows))
    known = {key: origin for key, origin in known.items() if key in rows}
    files.write_whole(work / "sources.csv", origins.table(known))
    return rows, known


def _left_out(origin: origins.Origin, root: str | Path | None) -> bool:
    """Whether a file still lies in this root, so that today's splits do not want it."""
    inside = root is not None and Path(origin.path).is_relative_to(os.path.abspath(root))
    return inside and os.path.exists(origin.path)


def _run(tasks: Iterable[tuple], jobs: int) -> Iterator[dict]:
    """Rows as they are done. Ctrl-C lets the clips at hand end and drops the rest."""
    if jobs == 1:
        _start_worker(False)
        yield from (prepare_clip(*task) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")  # forks of a process with threads may hang
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, _start_worker, (True,))
    tasks = iter(tasks)
    waiting = {pool.submit(prepare_clip, *task) for task in itertools.islice(tasks, AHEAD * jobs)}
    try:
        while waiting:
            first = concurrent.futures.FIRST_COMPLETED
            ended, waiting = concurrent.futures.wait(waiting, return_when=first)
            for done in ended:
                yield done.result()
            more = itertools.islice(tasks, len(ended))
            waiting |= {pool.submit(prepare_clip, *task) for task in more}
    except concurrent.futures.process.BrokenProcessPool as error:
        raise UserError(
            "a preparing process died (out of memory?): run again with --jobs 1; it resumes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(own_process: bool) -> None:
    """One thread a process; a worker leaves ctrl-C to its parent and ends with it."""
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if own_process and parent is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: "BaseProcess") -> None:
    parent.join()
    os._exit(1)


def summary(folder: str | Path) -> Summary:
    """Counts over a prepared folder's manifest."""
    table = store.read_manifest(folder)
    usable = table[table.status != "rejected"]
    counts = table.status.value_counts()
    ok, repaired, rejected = (
        int(counts.get(status, 0)) for status in ("ok", "repaired", "rejected")
    )
    seconds = round(float(usable.seconds.sum()), 2)
    return Summary(ok, repaired, rejected, int(usable.frames.sum()), seconds)
