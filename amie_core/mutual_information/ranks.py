"""Normal scores: ranks made Gaussian. A bijection of a column, so it leaves its MI unchanged."""

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri


def normal_scores(
    column: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " levels"], Float[np.ndarray, " levels"], int]:
    """The values that occur, in order, the score of each, and how often the commonest one occurs.

    Equal values share their middle rank.
    """
    levels, counts = np.unique(column, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / len(column)
    return levels, ndtri(middle), int(counts.max())
