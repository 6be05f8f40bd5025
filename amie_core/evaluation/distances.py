"""How far generated frames are from real ones as distributions: Fig. 3 in numbers.

Features are φ's (VGG16 relu2_2): mean and deviation of each channel over the picture. Three
spaces: the whole frame, the lip crop, and the pair (lip crop, MFCC window), where a generator
whose lips ignore the sound is far off although its frames alone look right.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import nn

from amie_core.data.audio import windows
from amie_core.data.store import PreparedClip
from amie_core.losses import crop_lips

SPACES = ("frame", "lips", "joint")
PROJECTIONS = 128
DRAWS = 40  # of the bootstrap over clips
MEASURED = 500  # rows, at most, whose distances give a kernel's width
KINDS = ("frechet", "sliced_wasserstein", "mmd", "coherence")  # the last of `joint` alone
DIRECTIONS = 4  # of lips and of sound, in which their tie is measured
# Frames that are measured: frame 0 is given to the model, neighbours are nearly the same picture.
GENERATED, REAL = slice(2, None, 4), slice(4, None, 4)
Features = dict[str, Float[np.ndarray, "_ _"]]


def frechet(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    """Fréchet distance of two Gaussians with the sets' means and covariances (Dowson 1982).

    |μx − μy|² + tr(Cx + Cy − 2 (Cx Cy)^½); the root's trace by the symmetric form.
    """
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    other = np.cov(y, rowvar=False)
    inner = np.linalg.eigvalsh(root @ other @ root).clip(0)
    apart = np.sum((x.mean(0) - y.mean(0)) ** 2)
    return float(apart + values.sum() + np.trace(other) - 2 * np.sqrt(inner).sum())


def sliced_wasserstein(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n d"], *, seed: int = 0
) -> float:
    """Mean Wasserstein-1 distance of the sets' projections on random unit directions."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal((x.shape[1], PROJECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.abs(np.sort(x @ directions, axis=0) - np.sort(y @ directions, axis=0)).mean())


def mmd(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], bandwidth: float) -> float:
    """Squared maximum mean discrepancy, unbiased, Gaussian kernel (Gretton et al. 2012, Eq. 3)."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        apart = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
        return np.exp(-apart.clip(0) / (2 * bandwidth**2))

    n, m = len(x), len(y)
    within = (kernel(x, x).sum() - n) / (n * (n - 1)) + (kernel(y, y).sum() - m) / (m * (m - 1))
    return float(within - 2 * kernel(x, y).mean())


@torch.inference_mode()
def features(
    phi: nn.Module,
    clip: PreparedClip,
    frames: UInt8[np.ndarray, "n s s 3"],
    which: slice = GENERATED,
) -> Features:
    """Features of some frames of a clip (real, or generated for it), space by space.

    phi: pictures (b, 3, h, w) in [0, 1] to maps (b, c, h', w').
    """
    heard = windows(clip.mfcc, len(frames))[which]
    frames = frames[which]
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float().div_(255)
    pictures = pictures.to(next(phi.parameters(), pictures).device)
    boxes = torch.tensor([clip.lip_box], device=pictures.device).expand(len(pictures), 4)
    found: Features = {}
    for name, images in (("frame", pictures), ("lips", crop_lips(pictures, boxes))):
        maps = phi(images.contiguous(memory_format=torch.channels_last)).flatten(2)
        found[name] = torch.cat([maps.mean(2), maps.std(2)], 1).cpu().double().numpy()
    heard = heard.reshape(-1, 5, 4, 13).mean(2).reshape(-1, 65)  # 40 ms steps are enough
    found["joint"] = np.concatenate([found["lips"], heard.astype(np.float64)], axis=1)
    return found


def coherence_distance(
    generated: Sequence[Features], real: Sequence[Features], by: "Standardisation"
) -> float:
    """How far the tie between sound and lips is from the real one: 0 real, 1 none at all.

    Lips and sound less each clip's own mean, so that neither face nor voice counts, on the first
    DIRECTIONS principal directions of the real ones, whitened; ‖C − C_real‖ / ‖C_real‖ of their
    cross-covariances C (Frobenius). MMD on `joint` weighs this tie with one share in hundreds.
    """

    def parts(clips: Sequence[Features]) -> tuple[np.ndarray, np.ndarray]:
        size = clips[0]["lips"].shape[1]
        every = np.concatenate([
            (clip["joint"] - clip["joint"].mean(0)) / by.deviation["joint"] for clip in clips
        ])  # fmt: skip
        return every[:, :size], every[:, size:]

    crossed = []
    whitening = []
    for side in parts(real):
        values, axes = np.linalg.eigh(side.T @ side / len(side))
        kept = slice(-min(DIRECTIONS, len(values)), None)
        whitening.append(axes[:, kept] / np.sqrt(values[kept].clip(1e-9)))
    for clips in (generated, real):
        lips, sound = (s @ w for s, w in zip(parts(clips), whitening, strict=True))
        crossed.append(lips.T @ sound / len(lips))
    return float(np.linalg.norm(crossed[0] - crossed[1]) / np.linalg.norm(crossed[1]))


class Standardisation(NamedTuple):
    """What features are measured by: mean and deviation of the real ones, kernel widths."""

    mean: dict[str, np.ndarray]
    deviation: dict[str, np.ndarray]
    bandwidth: dict[str, float]


def standardisation(real: Sequence[Features]) -> Standardisation:
    """Standardisation and median-heuristic kernel widths, from the real clips alone."""
    from scipy.spatial.distance import pdist

    mean, deviation, bandwidth = {}, {}, {}
    for space in SPACES:
        every = np.concatenate([clip[space] for clip in real])
        mean[space], deviation[space] = every.mean(0), every.std(0) + 1e-6
        some = ((every - mean[space]) / deviation[space])[:: -(-len(every) // MEASURED)]
        bandwidth[space] = float(np.median(pdist(some)))
    return Standardisation(mean, deviation, bandwidth)


def distances(
    generated: Sequence[Features],
    real: Sequence[Features],
    by: Standardisation,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, dict[str, dict[str, float | list[float] | None]]]:
    """Each distance in each space: its value and a 95 % interval over clips.

    Clip k of both sets is the same clip, at other frames of it (GENERATED, REAL), so that real
    against real gives a floor that is measured the same way. The bootstrap draws clips with
    replacement, in pairs. A clip drawn twice inflates a distance, so its quantiles sit too high:
    the interval is the value ± 1.96 deviations of the draws (Davison and Hinkley 1997, sec. 5.2);
    None for fewer than three clips, or fewer than two draws.
    """
    random = np.random.default_rng(seed)
    drawn = [random.integers(len(real), size=len(real)).tolist() for _ in range(draws)]
    result: dict[str, dict[str, dict[str, float | list[float] | None]]] = {}
    for space in SPACES:
        sets = [
            [(clip[space] - by.mean[space]) / by.deviation[space] for clip in clips]
            for clips in (generated, real)
        ]
        shortest = min(len(clip) for clips in sets for clip in clips)
        sets = [[clip[:shortest] for clip in clips] for clips in sets]

        @cache  # of a few clips the same are drawn again and again
        def measured(*chosen: int, sets: list = sets, space: str = space) -> list[float]:
            x, y = (np.concatenate([clips[k] for k in chosen]) for clips in sets)
            found = [frechet(x, y), sliced_wasserstein(x, y), mmd(x, y, by.bandwidth[space])]
            if space == "joint":
                made, wanted = ([of[k] for k in chosen] for of in (generated, real))
                found.append(coherence_distance(made, wanted, by))
            return found

        values = measured(*range(len(real)))
        known = len(real) > 2 and draws > 1
        spread = np.array([measured(*chosen) for chosen in drawn]) if known else None
        result[space] = {}
        for k, name in enumerate(KINDS[: len(values)]):
            interval = None
            if spread is not None:
                half = 1.96 * float(spread[:, k].std(ddof=1))
                interval = [values[k] - half, values[k] + half]
            result[space][name] = {"value": values[k], "interval": interval}
    return result


def shuffled(clips: Sequence[Features], seed: int = 0) -> list[Features]:
    """The real clips with their sounds moved by a third of a clip or more: a ceiling for `joint`.

    Frames and lips alone do not change by it: their shuffled row equals the floor, by nature.
    """
    random = np.random.default_rng(seed)
    moved = []
    for clip in clips:
        n, lips = len(clip["lips"]), clip["lips"].shape[1]
        sound = np.roll(clip["joint"][:, lips:], random.integers(n // 3, 2 * n // 3 + 1), axis=0)
        moved.append(clip | {"joint": np.concatenate([clip["lips"], sound], axis=1)})
    return moved
