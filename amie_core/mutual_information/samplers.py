"""Which frame is paired with which window, to stand for the product of marginals.

Samplers give indices; a critic encodes each frame and each window once and pairs embeddings.
A random permutation would leave one true pair a batch on average, and a true pair among the
negatives caps T. Every draw comes from the numpy generator that is handed in.
"""

import numpy as np
from jaxtyping import Bool, Int


def derangement(n: int, generator: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A permutation of n items that leaves none in its place, uniform among those.

    Raises ValueError for n < 2, where there is none.
    """
    if n < 2:
        raise ValueError(f"a derangement needs at least 2 items, not {n}")
    still = np.arange(n)
    while True:  # a permutation passes with probability 1/e
        order = generator.permutation(n)
        if not (order == still).any():
            return order


def negatives_within_clip(
    n: int,
    min_gap: int = 5,
    *,
    generator: np.random.Generator,
    frames: Int[np.ndarray, " b"] | None = None,
    silent: Bool[np.ndarray, " n"] | None = None,
) -> Int[np.ndarray, " b"]:
    """For each frame j of a clip of n frames, a window k with |j - k| >= min_gap.

    `frames` are the j asked for (default: all). Nearer windows share audio with the frame: 20 hops
    of 10 ms are 5 frames. With `silent`, no pair has silence on both sides: to any critic such a
    pair looks matched. Where no window fits both rules the gap gives way, not the silence rule:
    the farthest window that is not silent too; if the whole clip is silent, the farthest window.
    k = j never happens. Raises ValueError for n < 2 or a frame outside the clip.
    """
    j = np.arange(n) if frames is None else frames
    if n < 2 or len(j) and (j.min() < 0 or j.max() >= n):
        raise ValueError(f"no negatives within a clip of {n} frames for frames {j}")
    distance = np.abs(j[:, None] - np.arange(n))
    audible = np.ones(distance.shape, bool)
    if silent is not None:
        audible = ~(silent[j][:, None] & silent)
    audible &= distance > 0
    fits = audible & (distance >= min_gap)
    draw = generator.random(distance.shape)
    k = np.where(fits, draw, -1.0).argmax(1)
    # Fallback, ties between two equally far windows broken by the draw.
    reach = distance + draw / 2 + np.where(audible, 2.0 * n, 0.0)
    return np.where(fits.any(1), k, reach.argmax(1))


def across_clips(
    clip_ids: Int[np.ndarray, " n"], generator: np.random.Generator
) -> Int[np.ndarray, " n"]:
    """For each item, an item of another clip.

    Such negatives let a critic win by matching voice and face, so the model does not use them by
    default. Raises ValueError when there is one clip only.
    """
    other = clip_ids[:, None] != clip_ids
    if not other.any(1).all():
        raise ValueError("negatives across clips need at least two clips")
    return np.where(other, generator.random(other.shape), -1.0).argmax(1)
