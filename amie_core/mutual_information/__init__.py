"""Mutual information: objectives, read-outs, samplers, classical estimators. Knows no faces.

Names are imported when they are asked for: the losses need the objectives alone, and SciPy and the
estimator's critics take longer to import than those take to run.
"""

from typing import Any

from amie_core import lazy

_PLACES = {
    "classical": ("edgeworth", "gaussian", "ksg"),
    "estimation.estimate": ("Estimate", "estimate"),
    "objectives": ("CHANCE_JS", "EmaDv", "Ruderman", "dv", "infonce", "js", "nwj", "ruderman"),
    "readouts": ("READOUTS", "readout_for", "xi"),
    "samplers": ("across_clips", "derangement", "negatives_within_clip"),
}
__all__ = lazy.names(_PLACES)


def __getattr__(name: str) -> Any:
    return lazy.asked(__name__, _PLACES, name)
