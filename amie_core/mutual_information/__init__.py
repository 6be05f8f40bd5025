"""Mutual information: objectives, read-outs, samplers, classical estimators. Knows no faces.

Names are imported when they are asked for: the losses need the objectives alone, and SciPy and the
estimator's critics take longer to import than those take to run.
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "classical": ("edgeworth", "gaussian", "ksg"),
    "estimation.estimate": ("Estimate", "estimate"),
    "objectives": ("CHANCE_JS", "EmaDv", "Ruderman", "dv", "infonce", "js", "nwj", "ruderman"),
    "readouts": ("READOUTS", "readout_for", "xi"),
    "samplers": ("across_clips", "derangement", "negatives_within_clip"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
