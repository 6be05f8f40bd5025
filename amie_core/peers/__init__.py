"""The four methods that the paper compares with, re-implemented compactly, one file each.

No trained weights of them can be had, so they are trained here: on the same windows, steps, seeds
and identity face as AMIE, by the same loop, evaluated by the same code. Each file opens with a
ledger of what was simplified and why.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from amie_core.errors import UserError

if TYPE_CHECKING:
    from amie_core.training.method import Method

# By the names of the paper's tables.
NAMES = {
    "speech2vid": "Chung et al. [2017]",
    "glance": "Chen et al. [2018]",
    "davs": "Zhou et al. [2019]",
    "atvgnet": "Chen et al. [2019]",
    "amie": "AMIE (Ours)",
}
METHODS = tuple(NAMES)
PEERS = tuple(name for name in NAMES if name != "amie")


def method_of(name: str) -> "Method":
    """The method of that name (UserError when there is none); imported only when asked for."""
    if name not in NAMES:
        raise UserError(f"unknown method {name!r}: choose one of {', '.join(METHODS)}")
    module = "amie_core.training.amie" if name == "amie" else f"amie_core.peers.{name}"
    return import_module(module).METHOD
