"""The picture beside a table is of the clip that the rule names."""

import pytest

from amie_core.errors import UserError
from amie_core.sheet import median_clip


def result(*correlations: float | None) -> dict:
    clips = [{"utterance": f"u{i}", "lip_correlation": c} for i, c in enumerate(correlations)]
    return {"rows": {"model": {"clips": clips}}}


def test_the_median_is_chosen_not_the_best() -> None:
    assert median_clip(result(0.9, 0.1, 0.5))["utterance"] == "u2"
    assert median_clip(result(0.9, None, 0.1))["utterance"] == "u2"  # the lower of two middles


def test_a_split_without_correlations_is_refused() -> None:
    with pytest.raises(UserError, match="no clip"):
        median_clip(result(None))
