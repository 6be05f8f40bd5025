"""The paper's networks: generator, critic T, frame discriminator, dynamic attention.

Names are imported when they are asked for: `amie talk` needs the arrays of `lips` and `speaking`,
and would wait a second for torch.
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "attention": ("FineMask", "coarse_coverage", "mask_of", "rate_at"),
    "critic": ("Critic",),
    "discriminator": ("Discriminator",),
    "generator": ("Generator",),
    "talker": ("roll_out",),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
