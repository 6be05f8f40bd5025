"""What a run runs on: devices, precision, and their name in a result."""

import os
import platform
from pathlib import Path

import torch
from lightning_fabric import Fabric

from amie_core.config import Profile
from amie_core.errors import UserError


def fabric(settings: Profile, devices: int) -> Fabric:
    """Fabric on the GPUs where there are any, else the CPU; launched (UserError: too few GPUs)."""
    gpu = torch.cuda.is_available()
    if gpu and devices > torch.cuda.device_count():
        raise UserError(f"--devices {devices}: this machine has {torch.cuda.device_count()} GPUs")
    precision = settings.train.precision
    if precision == "auto":
        precision = "bf16-mixed" if fast_bf16(gpu) else "32-true"
    made = Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=precision,
    )
    made.launch()
    if gpu:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    return made


def fast_bf16(gpu: bool) -> bool:
    """Whether bfloat16 runs in hardware; emulated it would be slower than float32."""
    if gpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def describe() -> str:
    """The machine in a few words, as it stands in done.json."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU threads, {platform.machine()}"


def processor() -> str:
    """GPU, or processor by its own name and cores, as it stands in a cell's deposit."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{names[0] if names else platform.machine()}, {cores} core(s)"
