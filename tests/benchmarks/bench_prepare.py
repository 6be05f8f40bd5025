"""Frames a second a core, by stage, from raw clip to stored clip. Prints; asserts nothing.

python tests/benchmarks/bench_prepare.py GRID_FOLDER [--clips 12] [--rounds 3]

Both the time on the clock and the time this process had the core are given: on a shared machine
the second is what a free core would do.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from amie_core.data import alignment, audio, corpora, face_track, faces, landmarks, prepare, store
from amie_core.data.raw_clip import Source


class Stages:
    """Seconds by stage: [clock, processor]."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    def measure(self, name: str, work):
        clock, processor = time.perf_counter(), time.process_time()
        result = work()
        spent = self.spent.setdefault(name, [0.0, 0.0])
        spent[0] += time.perf_counter() - clock
        spent[1] += time.process_time() - processor
        return result


def one(source: Source, stages: Stages, finder: landmarks.LandmarkBackend, out: Path) -> int:
    """One clip, stage by stage as `prepare` does it; its frames."""
    clip = stages.measure("decode sound", source.read)
    frames, wave = stages.measure("decode picture", lambda: list(clip.frames)), clip.audio
    found = stages.measure("track landmarks", lambda: face_track.track(frames, finder))
    start, end = face_track.usable_span(~np.isnan(found.landmarks[:, 0, 0]), found.cuts)
    points = face_track.fill(found.landmarks[start:end])
    matrix = alignment.similarity(points)
    aligned = stages.measure(
        "warp to 256", lambda: [alignment.warp(frame, matrix) for frame in frames[start:end]]
    )
    jpeg, offsets = stages.measure("JPEG", lambda: store.encode(aligned))
    cepstra = stages.measure("MFCC", lambda: audio.mfcc(wave, frames=end - start))
    arrays = {"jpeg": jpeg, "offsets": offsets, "mfcc": cepstra, "landmarks": points}
    path = out / "stages" / f"{source.utterance}.npz"
    stages.measure("store", lambda: store.write_clip(path, arrays))
    row = stages.measure("WHOLE", lambda: prepare.prepare_clip(source, out, 16000, finder.name))
    if row["status"] == "rejected":
        raise SystemExit(f"{source.path}: {row['reason']}")
    return end - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("root", type=Path, help="folder of GRID clips")
    options.add_argument("--clips", type=int, default=12)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--backend", default="mesh")
    given = options.parse_args()
    prepare._start_worker(False)  # one thread, as in a preparing process
    finder = faces.backend(given.backend)
    sources = [s for s in corpora.corpus("grid", given.root) if s.path.stat().st_size < 1e6]
    sources = sources[:: max(1, len(sources) // given.clips)][: given.clips]
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        one(sources[0], Stages(), finder, Path(folder))  # warm
        for _ in range(given.rounds):
            stages = Stages()
            frames = sum(one(source, stages, finder, Path(folder)) for source in sources)
            rounds.append(stages.spent)
    print(f"{frames} frames of {len(sources)} clips, medians of {given.rounds} rounds, one core")
    print(f"{'stage':<16}{'ms/frame':>10}{'frames/s':>10}{'frames/s of processor':>24}")
    for name in rounds[0]:
        clock, processor = (statistics.median(r[name][i] for r in rounds) for i in (0, 1))
        print(
            f"{name:<16}{1000 * processor / frames:>10.2f}{frames / clock:>10.0f}"
            f"{frames / max(processor, 1e-9):>24.0f}"
        )


if __name__ == "__main__":
    main()
