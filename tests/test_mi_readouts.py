"""Read-outs: what each makes of the exact critic, and which critic it refuses."""

import numpy as np
import pytest
import torch

from amie_core.errors import UserError
from amie_core.experiments.estimators.known_truth import gaussian_nats
from amie_core.experiments.estimators.panels import exact_critic_batches, exact_scores
from amie_core.mutual_information import READOUTS, readout_for, xi
from amie_core.mutual_information.readouts import dv_pooled, smile


@pytest.mark.parametrize(("jsd", "nats"), [(0.1, 0.302), (0.3, 1.021), (0.5, 2.102), (0.0, 0.0)])
def test_xi(jsd: float, nats: float) -> None:
    assert xi(jsd) == pytest.approx(nats, abs=1e-3)
    assert xi(-jsd) == -xi(jsd)
    assert xi(np.log(2)) == np.inf


def test_readouts_of_the_exact_critic() -> None:
    scores = exact_scores(0.75, 400_000, 1, np.random.default_rng(0))
    truth = gaussian_nats(0.75)
    for name, expected in {"xi": 0.327, "nwj": truth, "dv": truth, "smile": truth}.items():
        assert READOUTS[name].read(*scores) == pytest.approx(expected, abs=0.01), name
    assert not READOUTS["smile"].bound
    assert all(READOUTS[name].bound for name in ("xi", "nwj", "dv", "infonce"))


def test_pooled_dv_does_not_depend_on_the_batch() -> None:
    joint, marginal = exact_scores(0.9, 50_000, 2, np.random.default_rng(0))
    whole = dv_pooled(joint, marginal)
    for size in (32, 1000, 50_000):
        again = dv_pooled(torch.cat(joint.split(size)), torch.cat(marginal.split(size)))
        assert again == pytest.approx(whole, abs=1e-4)


def test_bias_of_batches() -> None:
    """Panel 2: DV averaged over small batches is biased up, pooled it is not; NWJ never is."""
    found = exact_critic_batches(seeds=range(2), batches=(16, 64, 512))
    truth = found["truth"]
    assert np.mean(found["values"]["dv"]["16"]) > truth + 1.0
    assert np.mean(found["dv_pooled"]) < np.mean(found["values"]["dv"]["16"]) - 1.0
    assert found["scatter"]["smile"]["64"] < found["scatter"]["nwj"]["512"]


def test_smile_clips_the_partition_alone() -> None:
    high = torch.full((10,), 20.0)
    assert smile(high, high) == pytest.approx(15.0)


@pytest.mark.parametrize(
    ("objective", "readout", "reason"),
    [("dv", "nwj", "constant"), ("ruderman", "nwj", "shift"), ("dv", "xi", "constant"),
     ("infonce", "dv", "function of x"),
     ("js", "infonce", "score matrix"), ("js", "median", "unknown read-out"),
     ("hinge", None, "unknown objective")],
)  # fmt: skip
def test_refuses_what_does_not_fit(objective: str, readout: str | None, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        readout_for(objective, readout)
