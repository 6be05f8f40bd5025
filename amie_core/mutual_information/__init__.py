"""Mutual information: objectives, read-outs, samplers, classical estimators. Knows no faces."""

from amie_core.mutual_information.classical import edgeworth, gaussian, ksg
from amie_core.mutual_information.estimation.estimate import Estimate, estimate
from amie_core.mutual_information.objectives import CHANCE_JS, EmaDv, dv, infonce, js, nwj
from amie_core.mutual_information.readouts import READOUTS, readout_for, xi
from amie_core.mutual_information.samplers import across_clips, derangement, negatives_within_clip

__all__ = [
    "CHANCE_JS",
    "READOUTS",
    "EmaDv",
    "Estimate",
    "across_clips",
    "derangement",
    "dv",
    "edgeworth",
    "estimate",
    "gaussian",
    "infonce",
    "js",
    "ksg",
    "negatives_within_clip",
    "nwj",
    "readout_for",
    "xi",
]
