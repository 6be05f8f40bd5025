"""Mutual information: objectives, read-outs, samplers, classical estimators. Knows no faces."""

from amie_core.mutual_information.objectives import CHANCE_JS, EmaDv, dv, infonce, js, nwj
from amie_core.mutual_information.readouts import READOUTS, readout_for, xi
from amie_core.mutual_information.samplers import across_clips, derangement, negatives_within_clip

__all__ = [
    "CHANCE_JS",
    "READOUTS",
    "EmaDv",
    "across_clips",
    "derangement",
    "dv",
    "infonce",
    "js",
    "negatives_within_clip",
    "nwj",
    "readout_for",
    "xi",
]
