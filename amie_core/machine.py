"""The machine that a run runs on: devices, threads, its name in a result; progress bars.

torch is imported by the functions that need it, so that a command can refuse bad arguments first.
"""

import itertools
import os
import platform
import queue
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from amie_core.errors import UserError

Item = TypeVar("Item")
ONE_THREAD = 64  # px: for pictures up to this size a second thread waits more than it works


def fast_bf16(gpu: bool) -> bool:
    """Whether bfloat16 runs in hardware; emulated it would be slower than float32."""
    import torch

    if gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def avx512() -> bool:
    """Whether the processor has it, by what NumPy found."""
    import numpy as np

    told: Any = np.show_config(mode="dicts") or {}
    found = told.get("SIMD Extensions", {}).get("found", [])
    return any(name == "X86_V4" or name.startswith("AVX512") for name in found)


def describe() -> str:
    """The machine in a few words, as it stands in done.json."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU threads, {platform.machine()}"


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """GPU, or processor by its own name and cores, as it stands in a cell's deposit."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {cores()} core(s)"


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


@contextmanager
def one_device(locks: Path, shared: int | None = None) -> Iterator[str | None]:
    """Hold one of the `shared` places on a GPU, where there is one; yields the GPU's name.

    None: $AMIE_CELLS_A_GPU, or a place alone. Files in `locks` say which places are taken; waits
    until one is free. Must come before CUDA's first use: the choice is told by
    CUDA_VISIBLE_DEVICES, of which a scheduler's own value is respected. UserError: that variable
    is no number from 1 on.
    """
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(k) for k in range(torch.cuda.device_count())]
    if not torch.cuda.device_count():
        yield None
        return
    from filelock import FileLock, Timeout

    if shared is None:
        told = os.environ.get("AMIE_CELLS_A_GPU", "1")
        if not told.isdecimal() or int(told) < 1:
            raise UserError(f"AMIE_CELLS_A_GPU={told}: say how many cells share a GPU, 1 or more")
        shared = int(told)
    locks.mkdir(parents=True, exist_ok=True)
    places = [(name, place) for place in range(shared) for name in names]
    for name, place in itertools.cycle(places):
        lock = FileLock(locks / f"gpu-{name}{f'-{place}' if place else ''}.lock")
        try:
            lock.acquire(timeout=1 / len(places))
        except Timeout:
            continue
        try:
            os.environ["CUDA_VISIBLE_DEVICES"] = name
            yield name
        finally:
            lock.release()
        return


@contextmanager
def threads(image_size: int) -> Iterator[None]:
    """One thread of torch for small pictures: a second one costs more in waiting than it works.

    Where nothing has imported torch, nothing runs on its threads.
    """
    if sys.modules.get("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if image_size <= ONE_THREAD else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ahead(items: Iterator[Item], depth: int = 16) -> Iterator[Item]:
    """The same items, made by a thread while the caller works on those before; at most `depth` of
    them wait. What is raised in making them is raised here; when the caller stops, so does it.
    """
    waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(what: tuple[bool, Any]) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(what, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:  # raised where the items are used
            put((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            more, item = waiting.get()
            if not more:
                if item is not None:
                    raise item
                return
            yield item
    finally:
        stopped.set()
        thread.join()


def progress_bar(
    items: Iterable[Any] | None = None, what: str = "", *, shown: bool = True, **more: Any
) -> Any:
    """tqdm's bar over `items`, named `what`; `more`: tqdm's own (total, unit, initial).

    TQDM_DISABLE in the environment hides it, in a notebook too, where tqdm itself does not look.
    """
    from tqdm.auto import tqdm

    hidden = not shown or os.environ.get("TQDM_DISABLE", "") not in ("", "0")
    return tqdm(items, what, **more, disable=hidden)


def say(text: str) -> None:
    """A line for the user that no progress bar overwrites."""
    from tqdm.auto import tqdm

    tqdm.write(text)
