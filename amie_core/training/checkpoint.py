"""Runs on disk: safetensors written to one side and renamed, so never half there.

    python -m amie_core.training.checkpoint RUN

makes a run the model that ships: its generator in half precision in `weights/`; the SHA-256 that it
prints goes into the model card.
"""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from amie_core.config import ModelConfig, from_dict
from amie_core.errors import UserError
from amie_core.files import SHIPPED, from_json
from amie_core.model.attention import FineMask
from amie_core.model.mouth import generator_of
from amie_core.model.talker import Talker

GENERATOR = "generator.safetensors"  # EMA weights of G and the fine mask, settings in the header
STATE = "state.safetensors"  # everything that a resumed run needs


def write_tensors(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and their JSON header whole or not at all (UserError when it cannot)."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        save_file(plain, part, metadata={"amie": json.dumps(meta)})
        part.chmod(0o644)  # safetensors makes it private; a run may be read by others
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error}") from None


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON header of a file of ours (UserError when missing, damaged or foreign)."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; `amie train` makes one")
    try:
        with safe_open(path, framework="pt") as file:
            meta = from_json((file.metadata() or {})["amie"])
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: not a checkpoint of this project ({reason})") from None


def resolve(path: str | Path) -> Path:
    """The generator file of a run folder, or the file itself."""
    path = Path(path)
    return path / GENERATOR if path.is_dir() else path


def _load(module: nn.Module, tensors: dict[str, Tensor], prefix: str, path: Path) -> None:
    own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: weights do not fit their own settings ({first})") from None


def channels_last(module: nn.Module) -> None:
    """Lay the weights of 2-D convolutions out channels last, in place (3-D ones cannot be)."""
    for weights in module.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.to(memory_format=torch.channels_last)


def run_name(run: Path) -> str:
    """Name and key of a run folder (UserError when it is none)."""
    try:
        return f"{run.resolve().name}-{from_json((run / 'config.json').read_text())['key']}"
    except (OSError, ValueError, KeyError):
        raise UserError(f"{run}: not a run folder; `amie train` makes one") from None


def begin_from(networks: nn.Module, run: Path) -> None:
    """Give the networks of a new run the weights of another one, all of them, its EMA included.

    Output channels that the other run has not keep their own weights (they start at zero); so does
    a sync expert, which has learnt from this run's own clips. UserError: other sizes, or parts of a
    generator that this one has not.
    """
    tensors, _ = read_tensors(run / STATE)
    own = networks.state_dict()
    for name in tensors:
        if name.startswith("networks.generator.") and name.removeprefix("networks.") not in own:
            raise UserError(f"{run}: its generator has a part that this run's has not ({name})")
    for name, mine in own.items():
        if name.startswith("expert."):
            continue
        theirs = tensors.get(f"networks.{name}")
        if theirs is not None and theirs.shape[1:] == mine.shape[1:]:
            mine = mine[: len(theirs)] if mine.ndim else mine
        if theirs is None or theirs.shape != mine.shape:
            raise UserError(f"{run}: its networks have other sizes than this run's ({name})")
        mine.copy_(theirs)


def load_generator(
    path: str | Path, device: str | torch.device = "cpu"
) -> tuple[Talker, dict[str, Any]]:
    """The generator of any method with its EMA weights, in evaluation mode; and how it was made.

    `path`: a run folder or a .safetensors file; its header names the method ("amie" where it
    does not). Raises UserError when missing or damaged.
    """
    file = resolve(path)
    tensors, meta = read_tensors(file)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{file}: {name} holds what is no number: take another checkpoint")
    try:
        for name in ("profile", "commit", "step", "mfcc_rate", "image_size"):
            meta[name]
        method = meta.get("method", "amie")
        made: Any = generator_of
        if method != "amie":  # what trains AMIE takes longer to import than torch
            from amie_core.training.method import method_of

            made = method_of(method).generator
        generator = made(from_dict(ModelConfig, meta["model"]))
    except (KeyError, TypeError, UserError) as error:
        raise UserError(f"{file}: its header does not describe a generator ({error})") from None
    _load(generator, tensors, "generator.", file)
    generator = generator.to(device).eval().requires_grad_(False)
    channels_last(generator)
    return generator, meta


def load_fine_mask(path: str | Path, device: str | torch.device = "cpu") -> FineMask:
    """The run's fine mask predictor (UserError when missing or damaged)."""
    file = resolve(path)
    mask = FineMask()
    _load(mask, read_tensors(file)[0], "fine_mask.", file)
    return mask.to(device).eval().requires_grad_(False)


def shipped_digest(path: Path = SHIPPED) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ship(run: str | Path, out: Path = SHIPPED) -> str:
    """Write a run's averaged generator and fine mask in half precision; returns the SHA-256.

    Raises UserError when the run cannot be read or the file not be written.
    """
    tensors, meta = read_tensors(resolve(run))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, {name: tensor.half() for name, tensor in tensors.items()}, meta)
    return shipped_digest(out)


if __name__ == "__main__":
    print(ship(sys.argv[1]))
