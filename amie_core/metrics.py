"""Metrics of a generated clip against the real one; each name carries its variant.

Frames are 8-bit RGB at the model's own size, landmarks are in pixels of the 256² frame whatever
that size is. Frame 0 is the identity face that the model is given: callers leave it out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

MOUTH = slice(48, 68)  # outer and inner lip contours of the 68 points
ROUNDING = 1 / 12  # squared error that rounding to 8 bits makes by itself, in grey levels

DEFINITIONS = {
    "psnr_rgb": "dB, mean over frames of 10 lg(255²/MSE), MSE in floats over pixels and channels "
    "and not below 1/12 (rounding to 8 bits); null when every frame equals the real one",
    "psnr_rgb_uint8_legacy": "dB, as released scripts of compared methods have it: differences "
    "and squares wrap around in 8 bits, so they read dB too high; comparable to nothing else",
    "ssim_gaussian_rgb": "mean over frames and channels, 11×11 Gaussian window, σ 1.5, windows "
    "inside the picture (Wang 2004)",
    "lmd_mouth_mean_256": "px at 256², mean distance of the 20 mouth points (48-67), the centroid "
    "of each set removed; frames without landmarks are counted and left out",
    "lip_correlation": "Pearson correlation over a clip of the lip opening with the real one; "
    "null where the lips of one of them never move",
    "lip_variance_ratio": "variance of the lip opening over a clip, generated/real",
}


def psnr_rgb(frames: UInt8[np.ndarray, "n h w 3"], real: UInt8[np.ndarray, "n h w 3"]) -> float:
    """Mean over frames of the peak signal-to-noise ratio, dB (infinite for equal clips)."""
    error = np.array([np.mean((a.astype(np.float32) - b) ** 2, dtype=np.float64)
                      for a, b in zip(frames, real, strict=True)])  # fmt: skip
    if not error.any():
        return float("inf")
    return float(np.mean(10 * np.log10(255**2 / np.maximum(error, ROUNDING))))


def psnr_rgb_uint8_legacy(
    frames: UInt8[np.ndarray, "n h w 3"], real: UInt8[np.ndarray, "n h w 3"]
) -> float:
    """PSNR with 8-bit wrap-around, dB: a fault of released scripts, kept to read old tables by.

    Two images of independent noise score 27.9 dB.
    """
    wrapped = (frames - real) ** 2  # unsigned 8-bit arithmetic on purpose
    error = np.maximum(wrapped.mean(axis=(1, 2, 3), dtype=np.float64), ROUNDING)
    return float("inf") if not wrapped.any() else float(np.mean(10 * np.log10(255**2 / error)))


def ssim_gaussian_rgb(
    frames: UInt8[np.ndarray, "n h w 3"], real: UInt8[np.ndarray, "n h w 3"], chunk: int = 16
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


def lmd_mouth_mean_256(
    points: Float[np.ndarray, "n 68 2"], real: Float[np.ndarray, "n 68 2"]
) -> float:
    """Mean distance of the mouth points after each set's centroid is removed, px at 256²."""
    mouths = [p[:, MOUTH] - p[:, MOUTH].mean(axis=1, keepdims=True) for p in (points, real)]
    return float(np.linalg.norm(mouths[0] - mouths[1], axis=-1).mean())


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


def pictures(
    frames: UInt8[np.ndarray, "n h w 3"], real: UInt8[np.ndarray, "n h w 3"]
) -> dict[str, float | None]:
    """The metrics of one clip that look at pixels; None for an infinite one."""
    values = {
        "psnr_rgb": psnr_rgb(frames, real),
        "psnr_rgb_uint8_legacy": psnr_rgb_uint8_legacy(frames, real),
        "ssim_gaussian_rgb": ssim_gaussian_rgb(frames, real),
    }
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def lips(
    points: Float[np.ndarray, "n 68 2"],
    found: Bool[np.ndarray, " n"],
    real: Float[np.ndarray, "n 68 2"],
    real_found: Bool[np.ndarray, " n"],
) -> dict[str, float | int | None]:
    """The metrics of one clip that look at landmarks, over the frames that have both sets.

    `unmeasured_frames` counts the others. All None where no frame has both.
    """
    from amie_core.data.faces import lip_opening

    both = found & real_found
    values: dict[str, float | int | None] = {"unmeasured_frames": int((~both).sum())}
    if not both.any():
        names = ("lmd_mouth_mean_256", "lip_correlation", "lip_variance_ratio")
        return values | dict.fromkeys(names)
    points, real = points[both], real[both]
    openings = lip_opening(points), lip_opening(real)
    return values | {
        "lmd_mouth_mean_256": lmd_mouth_mean_256(points, real),
        "lip_correlation": lip_correlation(*openings),
        "lip_variance_ratio": lip_variance_ratio(*openings),
    }


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


def summary(clips: Sequence[dict[str, Any]], seed: int = 0) -> dict[str, dict[str, Any]]:
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
