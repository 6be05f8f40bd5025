"""Named tasks, each a distribution of `known_truth` with its parameters and its nats.

Fourteen carry the names of the benchmark; thin, wavy and discrete ones stand beside them.
`estimate`'s defaults were chosen on other draws of additive, swissroll, the Students, saw, wave,
ring, checks, steps, mixture and normal-0.999; wave-2, bowl, digits, additive-0.4, normal-0.99 and
independent pairs had no part in it.
"""

from functools import partial

import numpy as np

from amie_core.experiments.estimators import known_truth as kt
from amie_core.experiments.estimators.known_truth import Task


def _pair(rho: float) -> np.ndarray:
    return kt.dense(1, rho)


_NORMAL = partial(kt.correlated, _pair(0.75), 1)
_SPARSE5 = partial(kt.correlated, kt.sparse(5), 5)
_G75 = kt.gaussian_nats(0.75)
_TWO = 2 * kt.gaussian_nats(0.8)  # of the sparse tasks


def _identity(v: np.ndarray) -> np.ndarray:
    return v


BENCHMARK: dict[str, Task] = {
    task.name: task
    for task in (
        Task("1v1-normal-0.75", _G75, _NORMAL),
        Task("1v1-additive-0.1", kt.band_nats(0.1), partial(kt.band, 0.1)),
        Task("1v1-bimodal-0.75", _G75, partial(kt.bent, _NORMAL, kt.two_humps, kt.two_humps)),
        Task("wiggly-1v1-normal-0.75", _G75, partial(kt.bent, _NORMAL, kt.wiggle_x, kt.wiggle_y)),
        Task("half_cube-1v1-normal-0.75", _G75,
             partial(kt.bent, _NORMAL, kt.half_cube, kt.half_cube)),
        Task("asinh-student-identity-1-1-1", kt.student_nats(1, 1, 1),
             partial(kt.bent, partial(kt.student, 1, 1, 1), np.arcsinh, np.arcsinh)),
        Task("swissroll_x-normal_cdf-1v1-normal-0.75", _G75,
             partial(kt.bent, _NORMAL, kt.swiss_roll, kt.ndtr)),
        Task("multinormal-dense-5-5-0.5", kt.covariance_nats(kt.dense(5), 5),
             partial(kt.correlated, kt.dense(5), 5)),
        Task("multinormal-sparse-5-5-2-2.0", _TWO, _SPARSE5),
        Task("half_cube-multinormal-sparse-5-5-2-2.0", _TWO,
             partial(kt.bent, _SPARSE5, kt.half_cube, kt.half_cube)),
        Task("spiral-multinormal-sparse-3-3-2-2.0", _TWO,
             partial(kt.bent, partial(kt.correlated, kt.sparse(3), 3), kt.spiral, kt.spiral)),
        Task("asinh-student-identity-5-5-2", kt.student_nats(5, 5, 2),
             partial(kt.bent, partial(kt.student, 5, 5, 2), np.arcsinh, np.arcsinh)),
        Task("student-identity-5-5-2", kt.student_nats(5, 5, 2), partial(kt.student, 5, 5, 2)),
        Task("multinormal-dense-25-25-0.5", kt.covariance_nats(kt.dense(25), 25),
             partial(kt.correlated, kt.dense(25), 25)),
    )
}  # fmt: skip

OTHERS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("1v1-normal-0.99", kt.gaussian_nats(0.99), partial(kt.correlated, _pair(0.99), 1)),
        Task("1v1-normal-0.999", kt.gaussian_nats(0.999), partial(kt.correlated, _pair(0.999), 1)),
        Task("1v1-additive-0.02", kt.band_nats(0.02), partial(kt.band, 0.02)),
        Task("1v1-additive-0.4", kt.band_nats(0.4), partial(kt.band, 0.4)),
        Task("2v2-additive-0.1", 2 * kt.band_nats(0.1), partial(kt.band, 0.1, dims=2)),
        Task("saw-3-0.1", -np.log(0.2), partial(kt.saw, 3, 0.1)),
        Task("saw-8-0.1", -np.log(0.2), partial(kt.saw, 8, 0.1)),
        Task("wave-2-0.3", kt.wave_nats(0.3), partial(kt.wave, 2, 0.3)),
        Task("wave-6-0.1", kt.wave_nats(0.1), partial(kt.wave, 6, 0.1)),
        Task("wave-10-0.2", kt.wave_nats(0.2), partial(kt.wave, 10, 0.2)),
        Task("bowl-0.1", kt.bowl_nats(0.1), partial(kt.bowl, 0.1)),
        Task("checks-8", np.log(2), partial(kt.checks, 8)),
        Task("ring-0.05", -np.log(0.1), partial(kt.ring, 0.05)),
        Task("steps-5", np.log(5) - 0.8 * np.log(2), partial(kt.steps, 5)),
        Task("digits-10-0.2", kt.digits_nats(10, 0.2), partial(kt.digits, 10, 0.2)),
        Task("mixture-0.75-0.3", kt.mixture_nats(0.75, 0.3), partial(kt.mixture, 0.75, 0.3)),
        Task("independent-1-1", 0.0, partial(kt.correlated, np.eye(2), 1)),
        Task("independent-5-5", 0.0, partial(kt.correlated, np.eye(10), 5)),
        Task("independent-steep", 0.0, partial(kt.bent, partial(kt.correlated, np.eye(2), 1),
                                               np.exp, _identity)),
    )
}  # fmt: skip

# Shown in notebook 02, from results that are kept: what takes minutes apiece is not run there.
KEPT: dict[str, Task] = {
    name: (BENCHMARK | OTHERS)[name]
    for name in (
        "multinormal-sparse-5-5-2-2.0", "independent-5-5", "steps-5", "digits-10-0.2",
        "mixture-0.75-0.3", "1v1-normal-0.999", "bowl-0.1", "checks-8", "ring-0.05", "wave-6-0.1",
        "saw-8-0.1", "1v1-additive-0.02", "2v2-additive-0.1",
    )
}  # fmt: skip
