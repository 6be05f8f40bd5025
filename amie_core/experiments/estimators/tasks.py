"""The named tasks: fourteen of the benchmark, and thin, wavy and discrete ones beside them.

`estimate`'s defaults were chosen on other draws of additive, swissroll, the Students, saw, wave,
ring, checks, steps, mixture and normal-0.999; wave-2, bowl, digits, additive-0.4, normal-0.99 and
independent pairs had no part in it.
"""

from functools import partial

import numpy as np

from amie_core.experiments.estimators import known_truth as t
from amie_core.experiments.estimators.known_truth import Task


def _pair(rho: float) -> np.ndarray:
    return t.dense(1, rho)


_NORMAL = partial(t.correlated, _pair(0.75), 1)
_SPARSE5 = partial(t.correlated, t.sparse(5), 5)
_G75 = t.gaussian_nats(0.75)
_TWO = 2 * t.gaussian_nats(0.8)  # of the sparse tasks


def _identity(v: np.ndarray) -> np.ndarray:
    return v


BENCHMARK: dict[str, Task] = {
    task.name: task
    for task in (
        Task("1v1-normal-0.75", _G75, _NORMAL),
        Task("1v1-additive-0.1", t.band_nats(0.1), partial(t.band, 0.1)),
        Task("1v1-bimodal-0.75", _G75, partial(t.bent, _NORMAL, t.two_humps, t.two_humps)),
        Task("wiggly-1v1-normal-0.75", _G75, partial(t.bent, _NORMAL, t.wiggle_x, t.wiggle_y)),
        Task("half_cube-1v1-normal-0.75", _G75,
             partial(t.bent, _NORMAL, t.half_cube, t.half_cube)),
        Task("asinh-student-identity-1-1-1", t.student_nats(1, 1, 1),
             partial(t.bent, partial(t.student, 1, 1, 1), np.arcsinh, np.arcsinh)),
        Task("swissroll_x-normal_cdf-1v1-normal-0.75", _G75,
             partial(t.bent, _NORMAL, t.swiss_roll, t.ndtr)),
        Task("multinormal-dense-5-5-0.5", t.covariance_nats(t.dense(5), 5),
             partial(t.correlated, t.dense(5), 5)),
        Task("multinormal-sparse-5-5-2-2.0", _TWO, _SPARSE5),
        Task("half_cube-multinormal-sparse-5-5-2-2.0", _TWO,
             partial(t.bent, _SPARSE5, t.half_cube, t.half_cube)),
        Task("spiral-multinormal-sparse-3-3-2-2.0", _TWO,
             partial(t.bent, partial(t.correlated, t.sparse(3), 3), t.spiral, t.spiral)),
        Task("asinh-student-identity-5-5-2", t.student_nats(5, 5, 2),
             partial(t.bent, partial(t.student, 5, 5, 2), np.arcsinh, np.arcsinh)),
        Task("student-identity-5-5-2", t.student_nats(5, 5, 2), partial(t.student, 5, 5, 2)),
        Task("multinormal-dense-25-25-0.5", t.covariance_nats(t.dense(25), 25),
             partial(t.correlated, t.dense(25), 25)),
    )
}  # fmt: skip

OTHERS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("1v1-normal-0.99", t.gaussian_nats(0.99), partial(t.correlated, _pair(0.99), 1)),
        Task("1v1-normal-0.999", t.gaussian_nats(0.999), partial(t.correlated, _pair(0.999), 1)),
        Task("1v1-additive-0.02", t.band_nats(0.02), partial(t.band, 0.02)),
        Task("1v1-additive-0.4", t.band_nats(0.4), partial(t.band, 0.4)),
        Task("2v2-additive-0.1", 2 * t.band_nats(0.1), partial(t.band, 0.1, dims=2)),
        Task("saw-3-0.1", -np.log(0.2), partial(t.saw, 3, 0.1)),
        Task("saw-8-0.1", -np.log(0.2), partial(t.saw, 8, 0.1)),
        Task("wave-2-0.3", t.wave_nats(0.3), partial(t.wave, 2, 0.3)),
        Task("wave-6-0.1", t.wave_nats(0.1), partial(t.wave, 6, 0.1)),
        Task("wave-10-0.2", t.wave_nats(0.2), partial(t.wave, 10, 0.2)),
        Task("bowl-0.1", t.bowl_nats(0.1), partial(t.bowl, 0.1)),
        Task("checks-8", np.log(2), partial(t.checks, 8)),
        Task("ring-0.05", -np.log(0.1), partial(t.ring, 0.05)),
        Task("steps-5", np.log(5) - 0.8 * np.log(2), partial(t.steps, 5)),
        Task("digits-10-0.2", t.digits_nats(10, 0.2), partial(t.digits, 10, 0.2)),
        Task("mixture-0.75-0.3", t.mixture_nats(0.75, 0.3), partial(t.mixture, 0.75, 0.3)),
        Task("independent-1-1", 0.0, partial(t.correlated, np.eye(2), 1)),
        Task("independent-5-5", 0.0, partial(t.correlated, np.eye(10), 5)),
        Task("independent-steep", 0.0, partial(t.bent, partial(t.correlated, np.eye(2), 1),
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
