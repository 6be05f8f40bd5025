"""Files: written whole or not at all, JSON, the code's commit, where work and figures lie."""

import contextlib
import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amie_core.errors import UserError, reason

HERE = Path(__file__).resolve().parent
SHIPPED = HERE / "weights" / "talk.safetensors"  # the model that comes with the repository
NETWORKS = SHIPPED.with_name("graphs.safetensors")  # what it does, for ONNX Runtime
TEETH = SHIPPED.with_name("teeth.safetensors")  # see model.lent_teeth
SPEECH = SHIPPED.with_name("speech_embedding.safetensors")  # see model.speech_embedding


def workspace() -> Path:
    """Where prepared data, runs and executed notebooks live: $AMIE_WORKSPACE or work/."""
    return Path(os.environ.get("AMIE_WORKSPACE") or HERE.parent / "work")


def figures_dir() -> Path:
    """Where figures and tables are written: $AMIE_FIGURES or figures/."""
    return Path(os.environ.get("AMIE_FIGURES") or HERE.parent / "figures")


def results_dir(table: str) -> Path:
    """Where figures and tables of a profile's name go: figures/, a rehearsal's (lrw-20) to work/.

    So nothing that a rehearsal makes ever stands where results are read.
    """
    from amie_core.config import rehearsed

    profile, _, _ = table.partition("-on-")
    return workspace() / "rehearsals" / profile if rehearsed(profile) else figures_dir()


def writable(path: Path, option: str) -> Path:
    """The path, its folder made; UserError before hours of work, not after."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {path.parent}: {error.strerror}") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: choose another {option}")
    return path


def pointed_to(path: Path) -> Path:
    """What a link points to; any other path as it is."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all. UserError: disk full, no right.

    What a link points to is written, not the link; a device or a pipe is written into.
    """
    path = pointed_to(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            path.write_bytes(data)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        why = "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror).lower()
        raise UserError(f"cannot write {path}: {why}: choose another --out") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def from_json(text: str | bytes) -> Any:
    """What JSON says. ValueError: it is none, or nested deeper than can be read."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all (UserError when the folder cannot be written)."""
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """Make `target` alone: a process that would make the same waits, and then finds it made."""
    from filelock import FileLock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        yield


@contextlib.contextmanager
def only_one(folder: Path, command: str) -> Iterator[None]:
    """Be the only `amie COMMAND` that works in a folder, which is made where it is absent.

    UserError: another one works there, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / f".{command}.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"{folder}: another amie {command} is at work there: wait for it, or choose another "
            "--out"
        ) from None
    except OSError as error:
        raise UserError(f"cannot write {folder}: {reason(error)}") from error
    try:
        yield
    finally:
        lock.release()


def commit() -> str:
    """The repository's commit, with "+" when the package is changed; "unknown" outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=10", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return f"{head}{'+' if changed else ''}" if head else "unknown"
