"""Metrics of a generated clip against the real one; each name carries its variant.

Frames are 8-bit RGB at the model's own size, landmarks are in pixels of the 256² frame whatever
that size is. Frame 0 is the identity face that the model is given: callers leave it out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

MOUTH = slice(48, 68)  # outer and inner lip contours of the 68 points
ROUNDING = 1 / 12  # squared error that rounding to 8 bits makes by itself, in grey levels


def grey(frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w 1"]:
    """Luma of RGB pictures by Rec. 601, rounded to 8 bits, as OpenCV has it."""
    import cv2

    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])[..., None]


def psnr_rgb(frames: UInt8[np.ndarray, "n h w c"], real: UInt8[np.ndarray, "n h w c"]) -> float:
    """Mean over frames of the peak signal-to-noise ratio, dB (infinite for equal clips)."""
    error = np.array([np.mean((a.astype(np.float32) - b) ** 2, dtype=np.float64)
                      for a, b in zip(frames, real, strict=True)])  # fmt: skip
    if not error.any():
        return float("inf")
    return float(np.mean(10 * np.log10(255**2 / np.maximum(error, ROUNDING))))


def psnr_rgb_uint8_legacy(
    frames: UInt8[np.ndarray, "n h w c"], real: UInt8[np.ndarray, "n h w c"]
) -> float:
    """PSNR with 8-bit wrap-around, dB: a fault of released scripts, kept to read old tables by.

    Two images of independent noise score 27.9 dB.
    """
    wrapped = (frames - real) ** 2  # unsigned 8-bit arithmetic on purpose
    error = np.maximum(wrapped.mean(axis=(1, 2, 3), dtype=np.float64), ROUNDING)
    return float("inf") if not wrapped.any() else float(np.mean(10 * np.log10(255**2 / error)))


def ssim_gaussian_rgb(
    frames: UInt8[np.ndarray, "n h w c"], real: UInt8[np.ndarray, "n h w c"], chunk: int = 16
) -> float:
    """Mean structural similarity, 11×11 Gaussian window of σ 1.5, data range 255 (Wang 2004).

    As in the reference code, windows that reach over the edge do not count; torchmetrics' own
    mean takes them too, on mirrored pixels, which moves a 64 px picture by some 0.001.
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    def tensor(pictures: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float()

    total = 0.0
    for i in range(0, len(frames), chunk):
        pair = tensor(frames[i : i + chunk]), tensor(real[i : i + chunk])
        _, whole = structural_similarity_index_measure(
            *pair, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=255.0,
            reduction="none", return_full_image=True,
        )  # fmt: skip
        total += float(whole[..., 5:-5, 5:-5].mean(dim=(1, 2, 3), dtype=torch.float64).sum())
    return total / len(frames)


def ssim_uniform_rgb(
    frames: UInt8[np.ndarray, "n h w c"], real: UInt8[np.ndarray, "n h w c"]
) -> float:
    """Mean structural similarity as scikit-image has it by default: uniform 7×7 window.

    Covariances are sample ones (n − 1); windows that reach over the edge do not count.
    """
    from skimage.metrics import structural_similarity

    pairs = zip(frames, real, strict=True)
    return float(np.mean([structural_similarity(x, y, channel_axis=2) for x, y in pairs]))


def lmd(
    points: Float[np.ndarray, "n 68 2"], real: Float[np.ndarray, "n 68 2"], which: slice
) -> float:
    """Mean distance of some of the points after each set's centroid is removed, px at 256²."""
    sets = [p[:, which] - p[:, which].mean(axis=1, keepdims=True) for p in (points, real)]
    return float(np.linalg.norm(sets[0] - sets[1], axis=-1).mean())


def lip_correlation(
    opening: Float[np.ndarray, " n"], real: Float[np.ndarray, " n"]
) -> float | None:
    """Pearson correlation of two lip openings over a clip; None where one of them is constant."""
    if len(real) < 3 or np.ptp(opening) < 1e-6 or np.ptp(real) < 1e-6:
        return None
    return float(np.corrcoef(opening, real)[0, 1])


def lip_variance_ratio(
    opening: Float[np.ndarray, " n"], real: Float[np.ndarray, " n"]
) -> float | None:
    """Variance of the lip opening over a clip, generated/real; None where the real one is 0."""
    if len(real) < 3 or np.ptp(real) < 1e-6:
        return None
    return float(np.var(opening, dtype=np.float64) / np.var(real, dtype=np.float64))


Measure = Callable[[np.ndarray, np.ndarray], float | None]  # (generated, real) to a value


@dataclass(frozen=True)
class Definition:
    """A metric in words and in code.

    of: gets a clip's frames (n, h, w, 3), or the landmarks (n, 68, 2) of the frames where both the
    generated and the real one have any (of them, where something is said, for speech), and what
    they are compared with; None: no value. variant: a further reading of the same pictures or
    points: it stands in files, short tables leave it out.
    """

    words: str
    of: Measure
    on: Literal["frames", "landmarks", "speech"] = "frames"
    variant: bool = False


def _of_grey(measure: Measure) -> Measure:
    return lambda frames, real: measure(grey(frames), grey(real))


def _lmd(which: slice, times: float = 1.0) -> Measure:
    return lambda points, real: times * lmd(points, real, which)


def _of_opening(measure: Measure) -> Measure:
    def of(points: np.ndarray, real: np.ndarray) -> float | None:
        from amie_core.data.alignment import lip_opening

        return measure(lip_opening(points), lip_opening(real))

    return of


GREY = "of the grey picture (Rec. 601, rounded to 8 bits)"

# Every metric of a clip, by the name that results give it, in the order of tables.
DEFINITIONS: dict[str, Definition] = {
    "psnr_rgb": Definition(
        "dB, mean over frames of 10 lg(255²/MSE), MSE in floats over pixels and channels "
        "and not below 1/12 (rounding to 8 bits); null when every frame equals the real one",
        psnr_rgb,
    ),
    "psnr_grey": Definition(f"psnr_rgb {GREY}", _of_grey(psnr_rgb), variant=True),
    "psnr_rgb_uint8_legacy": Definition(
        "dB, as released scripts of compared methods have it: differences and squares wrap "
        "around in 8 bits, so they read dB too high; comparable to nothing else",
        psnr_rgb_uint8_legacy,
    ),
    "psnr_grey_uint8_legacy": Definition(
        f"psnr_rgb_uint8_legacy {GREY}", _of_grey(psnr_rgb_uint8_legacy), variant=True
    ),
    "ssim_gaussian_rgb": Definition(
        "mean over frames and channels, 11×11 Gaussian window, σ 1.5, windows inside the picture "
        "(Wang 2004)",
        ssim_gaussian_rgb,
    ),
    "ssim_gaussian_grey": Definition(
        f"ssim_gaussian_rgb {GREY}", _of_grey(ssim_gaussian_rgb), variant=True
    ),
    "ssim_uniform_rgb": Definition(
        "mean over frames and channels, uniform 7×7 window, sample covariance, windows inside the "
        "picture: the default of scikit-image",
        ssim_uniform_rgb,
        variant=True,
    ),
    "ssim_uniform_grey": Definition(
        f"ssim_uniform_rgb {GREY}", _of_grey(ssim_uniform_rgb), variant=True
    ),
    "lmd_mouth_mean_256": Definition(
        "px at 256², mean distance of the 20 mouth points (48-67), the centroid of each set "
        "removed; frames without landmarks are counted and left out",
        _lmd(MOUTH),
        "landmarks",
    ),
    "lmd_mouth_mean_128": Definition(
        "lmd_mouth_mean_256 in px at 128²: half of it", _lmd(MOUTH, 0.5), "landmarks", variant=True
    ),
    "lmd_mouth_sum_256_legacy": Definition(
        "the sum over the 20 points where lmd_mouth_mean_256 has their mean, as released scripts "
        "have it: 20 times as much",
        _lmd(MOUTH, 20.0),
        "landmarks",
        variant=True,
    ),
    "lmd_mouth_sum_128_legacy": Definition(
        "lmd_mouth_sum_256_legacy in px at 128²: half of it",
        _lmd(MOUTH, 10.0),
        "landmarks",
        variant=True,
    ),
    "lmd_all_mean_256": Definition(
        "px at 256², mean distance of all 68 points, centroids removed",
        _lmd(slice(None)),
        "landmarks",
        variant=True,
    ),
    "lip_correlation": Definition(
        "Pearson correlation over a clip of the lip opening with the real one; null where the "
        "lips of one of them never move",
        _of_opening(lip_correlation),
        "landmarks",
    ),
    "lip_correlation_speech": Definition(
        "lip_correlation over the frames where something is said alone: between speech and pause "
        "any loudness meter finds the opening",
        _of_opening(lip_correlation),
        "speech",
    ),
    "lip_variance_ratio": Definition(
        "variance of the lip opening over a clip, generated/real",
        _of_opening(lip_variance_ratio),
        "landmarks",
    ),
}


def _measured(on: str, *what: np.ndarray) -> dict[str, float | None]:
    """Values of the metrics that look at frames, or at landmarks; None for an infinite one."""
    values = {name: metric.of(*what) for name, metric in DEFINITIONS.items() if metric.on == on}
    return {n: v if v is not None and np.isfinite(v) else None for n, v in values.items()}


def pictures(
    frames: UInt8[np.ndarray, "n h w 3"], real: UInt8[np.ndarray, "n h w 3"]
) -> dict[str, float | None]:
    """The metrics of one clip that look at pixels."""
    return _measured("frames", frames, real)


def lips(
    points: Float[np.ndarray, "n 68 2"],
    found: Bool[np.ndarray, " n"],
    real: Float[np.ndarray, "n 68 2"],
    real_found: Bool[np.ndarray, " n"],
    silent: Bool[np.ndarray, " n"],
) -> dict[str, float | int | None]:
    """The metrics of one clip that look at landmarks, over the frames that have both sets.

    `unmeasured_frames` counts the others. silent: frames in which nothing is said. A metric has no
    value where no frame is left for it.
    """
    both = found & real_found
    values: dict[str, float | int | None] = {"unmeasured_frames": int((~both).sum())}
    for on, chosen in (("landmarks", both), ("speech", both & ~silent)):
        if chosen.any():
            values |= _measured(on, points[chosen], real[chosen])
        else:
            values |= {name: None for name, metric in DEFINITIONS.items() if metric.on == on}
    return values


def of_loudness(
    loudness: Float[np.ndarray, " n"],
    real: Float[np.ndarray, "n 68 2"],
    real_found: Bool[np.ndarray, " n"],
    silent: Bool[np.ndarray, " n"],
) -> dict[str, float | int | None]:
    """What the sound's loudness alone says of the real opening; no value of any other metric."""
    from amie_core.data.alignment import lip_opening

    opening, said = lip_opening(real), real_found & ~silent
    return dict.fromkeys(DEFINITIONS) | {
        "unmeasured_frames": int((~real_found).sum()),
        "lip_correlation": lip_correlation(loudness[real_found], opening[real_found]),
        "lip_correlation_speech": lip_correlation(loudness[said], opening[said]),
    }


def lmds(
    points: Float[np.ndarray, "n 68 2"], real: Float[np.ndarray, "n 68 2"]
) -> dict[str, float | None]:
    """Landmark distance in every variant."""
    values = _measured("landmarks", points, real)
    return {name: value for name, value in values.items() if name.startswith("lmd_")}


def bootstrap_interval(
    values: Sequence[float], *, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile interval of the mean over clips, drawn with replacement (Efron 1979).

    None for fewer than two clips, where nothing can be said about the spread.
    """
    if len(values) < 2:
        return None
    random = np.random.default_rng(seed)
    drawn = random.choice(np.asarray(values, np.float64), (draws, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def means(clips: Sequence[dict[str, Any]], seed: int = 0) -> dict[str, dict[str, Any]]:
    """Mean, 95 % interval and number of clips of each metric, over the clips that have a value."""
    table: dict[str, dict[str, Any]] = {}
    for name in DEFINITIONS:
        values = [float(clip[name]) for clip in clips if clip.get(name) is not None]
        interval = bootstrap_interval(values, seed=seed)
        table[name] = {
            "mean": float(np.mean(values)) if values else None,
            "interval": list(interval) if interval else None,
            "clips": len(values),
        }
    return table
