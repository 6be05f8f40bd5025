"""What a kill, a full disk, a lost right and a damaged file leave behind: nothing half-made.

The fast ones take a few moments and inputs each. `-m slow` with AMIE_FAULTS=1 takes as many as
CONTRIBUTING.md tells the results of.
"""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jobs
import numpy as np
import pytest
from conftest import ROOT
from fuzz import READERS

from amie_core.data import store
from amie_core.training import checkpoint

TESTS = Path(__file__).parent


class Running:
    """A job of jobs.py in a process of its own, forked from one that has imported everything."""

    def __init__(self, said: Path, *words: str) -> None:
        self.said = said
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["jobs"])
        self.process = context.Process(target=jobs.run, args=(words[0], str(said), *words[1:]))
        self.process.start()

    def poll(self) -> int | None:
        return self.process.exitcode

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def wait(self) -> tuple[int, str]:
        """The exit code, and what was said."""
        self.process.join()
        code = self.process.exitcode
        self.process.close()
        return code, self.said.read_text().strip()


class Prepare:
    """Three drawn clips."""

    def __init__(self, out: Path, _: Path) -> None:
        self.out, self.begun = out, out / "manifest.csv"
        self.words = "prepare", str(out)

    def check(self) -> None:
        """What is listed is whole; nothing under a clip's own name is not."""
        for path in (self.out / "clips").rglob("*.npz"):
            store.load_clip(self.out, str(path.relative_to(self.out)), size=32)
        if self.begun.exists():
            rows = map(store.row_of, store.read_lines(self.begun).values())
            assert all((self.out / row["file"]).is_file() for row in rows)

    def content(self) -> dict[str, bytes]:
        found = {p.name: p.read_bytes() for p in (self.out / "clips").rglob("*.npz")}
        return found | {p.name: p.read_bytes() for p in (self.begun, self.out / "corpus.json")}


class Train:
    """Sixty steps of the smallest network, a checkpoint every fourth."""

    def __init__(self, out: Path, corpus: Path) -> None:
        self.out, self.begun = out, out / "config.json"
        self.words = "train", str(out), str(corpus)

    def check(self) -> None:
        state = self.out / "state.safetensors"
        if state.exists():
            assert checkpoint.read_tensors(state)[1]["step"] % 4 == 0
        if self.begun.exists():
            json.loads(self.begun.read_text())

    def content(self) -> dict[str, bytes]:
        tensors = checkpoint.read_tensors(self.out / "state.safetensors")[0]
        lines = (self.out / "metrics.jsonl").read_text().splitlines()
        kept = {name: value.numpy().tobytes() for name, value in sorted(tensors.items())}
        return kept | {"steps": str([json.loads(line)["step"] for line in lines]).encode()}


def many() -> bool:
    return bool(os.environ.get("AMIE_FAULTS"))


def blown(
    kind: type, blow: Callable[[Running, Path], None], moments: int, tmp_path: Path,
    corpus: Path, before: Callable[[Path], None] | None = None,
) -> Counter:  # fmt: skip
    """Blow at so many random moments of a job's work, going on after each; the exit codes.

    After each blow what is there is whole; a job that came to its end holds the same bytes as one
    that nobody disturbed.
    """
    rng = np.random.default_rng(moments)
    calm = kind(tmp_path / "calm", corpus)
    said = tmp_path / "said"
    first = time.monotonic()
    assert Running(said, *calm.words).wait()[0] == 0
    length = time.monotonic() - first
    expected, codes, blows, number = calm.content(), Counter(), 0, 0
    work = kind(tmp_path / "0", corpus)
    while blows < moments:
        said.unlink(missing_ok=True)
        process = Running(said, *work.words)
        # Both: a job that goes on has begun before, but its process is only starting.
        while not (said.exists() and work.begun.exists()) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(float(rng.uniform(0, length)))
        if process.poll() is None:
            blow(process, work.out)
            blows += 1
        code, text = process.wait()
        codes[code] += 1
        assert "Traceback" not in text, text
        if before is not None:
            before(work.out)
        work.check()
        if code == 0:
            assert work.content() == expected
            number += 1
            work = kind(tmp_path / str(number), corpus)
    assert Running(said, *work.words).wait()[0] == 0
    assert work.content() == expected
    assert not list(work.out.rglob("*.part"))
    return codes


KINDS = pytest.mark.parametrize("kind", [Prepare, Train])


def killed(process: Running, _: Path) -> None:
    process.send(signal.SIGKILL)


def interrupted(process: Running, _: Path) -> None:
    process.send(signal.SIGINT)


@pytest.mark.slow
@KINDS
def test_killed_at_random_moments(kind: type, tmp_path: Path, tiny_corpus: Path) -> None:
    codes = blown(kind, killed, 100 if many() else 5, tmp_path, tiny_corpus)
    print(f"{kind.__name__} killed: {dict(codes)}")
    assert set(codes) <= {0, -signal.SIGKILL}


@pytest.mark.slow
@KINDS
def test_interrupted_at_random_moments(kind: type, tmp_path: Path, tiny_corpus: Path) -> None:
    codes = blown(kind, interrupted, 20 if many() else 5, tmp_path, tiny_corpus)
    print(f"{kind.__name__} interrupted: {dict(codes)}")
    assert set(codes) <= {0, 130}


@pytest.mark.slow
@KINDS
def test_the_right_to_write_is_lost(kind: type, tmp_path: Path, tiny_corpus: Path) -> None:
    """The folders become read-only at a random moment, and writable again for the next call."""
    if os.getuid() == 0:
        pytest.skip("the superuser may write everywhere: run it as another user")

    def mode(out: Path, bits: int) -> None:
        for path in [out, *(p for p in out.rglob("*") if p.is_dir())]:
            path.chmod(bits)

    codes = blown(kind, lambda _, out: mode(out, 0o555), 20 if many() else 3, tmp_path, tiny_corpus,
                  before=lambda out: mode(out, 0o755))  # fmt: skip
    print(f"{kind.__name__} read-only: {dict(codes)}")
    assert set(codes) <= {0, 2}


@pytest.mark.slow
@KINDS
def test_the_disk_is_full(kind: type, tmp_path: Path, tiny_corpus: Path) -> None:
    """A small disk of another size each time: it ends with 2, one line, nothing half-written."""
    calm = kind(tmp_path / "calm", tiny_corpus)
    told = tmp_path / "said"
    assert Running(told, *calm.words).wait()[0] == 0
    whole = sum(p.stat().st_size for p in calm.out.rglob("*") if p.is_file())
    expected, codes = calm.content(), Counter()
    disk = tmp_path / "disk"
    disk.mkdir()
    for share in np.linspace(0.05, 1.2, 20 if many() else 4):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={int(share * whole)}", "none", str(disk)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("no right to mount a small disk")
        try:
            work = kind(disk / "out", tiny_corpus)
            code, said = Running(told, *work.words).wait()
            codes[code] += 1
            assert "Traceback" not in said and (code == 0 or "\n" not in said), said
            assert code in (0, 2), said
            work.check()
            bigger = ["mount", "-o", f"remount,size={4 * whole + (1 << 20)}", str(disk)]
            subprocess.run(bigger, check=True)
            assert Running(told, *work.words).wait()[0] == 0
            assert work.content() == expected
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    print(f"{kind.__name__} disk full: {dict(codes)}")
    assert codes[2]


def fuzzed(reader: str, count: int, seed: int = 0) -> Counter:
    """What so many damaged files led a reader to, in a process of its own."""
    words = [sys.executable, str(TESTS / "fuzz.py"), reader, str(seed), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60 + 10 * count, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[-1]["said"] == "end" and told[-1]["number"] == count
    assert told[-1]["bytes"] < 2 << 30
    slowest = max(one["seconds"] for one in told)
    wrong = [one for one in told if one["said"] not in ("read", "refused", "end")]
    assert not wrong, wrong[:3]
    if many():
        assert slowest < 10  # s
    found = Counter(one["said"] for one in told[:-1])
    print(f"{reader}: {dict(found)}, slowest {slowest:.1f} s, {told[-1]['bytes'] >> 20} MB")
    return found


@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused_in_a_line(reader: str) -> None:
    found = fuzzed(reader, 20)
    assert sum(found.values()) == 20


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_many_damaged_files(reader: str) -> None:
    fuzzed(reader, 2000 if many() else 200, seed=1)
