"""Metrics against closed forms and against scikit-image."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from amie_core.evaluation import metrics


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def pair(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Smooth pictures, and the same with noise."""
    ramp = np.linspace(20, 220, 64)
    real = (ramp[None, :, None, None] + ramp[None, None, :, None]) / 2
    real = np.repeat(np.repeat(real, 3, axis=0), 3, axis=3)
    noisy = real + random.normal(0, 8, real.shape)
    return noisy.clip(0, 255).astype(np.uint8), real.astype(np.uint8)


def test_psnr_of_a_known_error() -> None:
    real = np.full((2, 16, 16, 3), 100, np.uint8)
    off = real.copy()
    off[0] += 10
    off[1] -= 20
    expected = np.mean([10 * np.log10(255**2 / e) for e in (100, 400)])
    assert metrics.psnr_rgb(off, real) == pytest.approx(expected)
    assert metrics.psnr_rgb(off, real) == metrics.psnr_rgb(real, off)


def test_psnr_parity(pair: tuple[np.ndarray, np.ndarray]) -> None:
    expected = np.mean([peak_signal_noise_ratio(b, a) for a, b in zip(*pair, strict=True)])
    assert metrics.psnr_rgb(*pair) == pytest.approx(expected, abs=1e-4)


def test_equal_frames_stay_finite_unless_all_are_equal() -> None:
    real = np.full((2, 16, 16, 3), 100, np.uint8)
    off = real.copy()
    off[0] += 10
    expected = (10 * np.log10(255**2 / 100) + 10 * np.log10(255**2 * 12)) / 2
    assert metrics.psnr_rgb(off, real) == pytest.approx(expected)
    assert metrics.psnr_rgb(real, real) == float("inf")
    values = metrics.pictures(real, real)
    assert values["psnr_rgb"] is None and values["ssim_gaussian_rgb"] == pytest.approx(1)


def test_legacy_psnr_is_27_9_for_noise(random: np.random.Generator) -> None:
    a, b = random.integers(0, 256, (2, 4, 64, 64, 3), dtype=np.uint8)
    assert metrics.psnr_rgb_uint8_legacy(a, b) == pytest.approx(27.9, abs=0.05)
    assert metrics.psnr_rgb(a, b) < 8


def test_ssim_is_the_gaussian_one(pair: tuple[np.ndarray, np.ndarray]) -> None:
    def theirs(**variant: object) -> float:
        return float(np.mean([
            structural_similarity(a, b, channel_axis=2, data_range=255, **variant)
            for a, b in zip(*pair, strict=True)
        ]))  # fmt: skip

    gaussian = theirs(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    ours = metrics.ssim_gaussian_rgb(*pair)
    assert ours == pytest.approx(gaussian, abs=1e-4)
    uniform = metrics.ssim_uniform_rgb(*pair)
    assert uniform == pytest.approx(theirs(), abs=1e-9)
    assert abs(ours - uniform) > 1e-3  # another window, another number
    assert metrics.ssim_gaussian_rgb(*pair, chunk=2) == pytest.approx(ours, abs=1e-6)


def test_grey_variants_are_those_of_the_grey_picture(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    """Golden: scikit-image on OpenCV's grey, scikit-image's own grey within its rounding."""
    from skimage.color import rgb2gray

    greys = [metrics.grey(p) for p in pair]
    coloured = np.stack([pair[0][0], pair[0][0][..., ::-1]])
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(metrics.grey(coloured)[..., 0] - coloured @ weights).max() <= 0.51
    assert np.abs(rgb2gray(coloured) * 255 - coloured @ weights).max() > 1  # that is Rec. 709
    values = metrics.pictures(*pair)
    expected = [
        structural_similarity(a[..., 0], b[..., 0], data_range=255)
        for a, b in zip(*greys, strict=True)
    ]
    assert values["ssim_uniform_grey"] == pytest.approx(np.mean(expected), abs=1e-9)
    peak = [peak_signal_noise_ratio(b, a) for a, b in zip(*greys, strict=True)]
    assert values["psnr_grey"] == pytest.approx(np.mean(peak), abs=1e-4)
    assert values["psnr_grey"] > values["psnr_rgb"] + 3  # noise of three channels averages out


def test_torchmetrics_agrees_with_psnr(pair: tuple[np.ndarray, np.ndarray]) -> None:
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio as theirs

    a, b = (torch.from_numpy(p).permute(0, 3, 1, 2).float() for p in pair)
    expected = theirs(a, b, data_range=255.0, reduction="elementwise_mean", dim=(1, 2, 3))
    assert metrics.psnr_rgb(*pair) == pytest.approx(float(expected), abs=1e-4)


def face(random: np.random.Generator, n: int = 5) -> np.ndarray:
    return random.uniform(50, 200, (n, 68, 2)).astype(np.float32)


def lmd_mouth(points: np.ndarray, real: np.ndarray) -> float:
    return metrics.lmds(points, real)["lmd_mouth_mean_256"]


def test_lmd_removes_the_centroid_and_takes_the_mean(random: np.random.Generator) -> None:
    real = face(random)
    assert lmd_mouth(real + np.float32(7), real) == pytest.approx(0, abs=1e-4)
    wide = real.copy()
    wide[:, 48:58, 0] += 3  # half of the mouth points 3 px right: the centroid moves by 1.5
    assert lmd_mouth(wide, real) == pytest.approx(1.5, abs=1e-3)
    jaw = real.copy()
    jaw[:, :48] += 40
    assert lmd_mouth(jaw, real) == 0


def test_lmd_variants(random: np.random.Generator) -> None:
    real = face(random)
    off = real + random.normal(0, 3, real.shape).astype(np.float32)
    values = metrics.lmds(off, real)
    mouth = values["lmd_mouth_mean_256"]
    assert values["lmd_mouth_sum_256_legacy"] == pytest.approx(20 * mouth)
    assert values["lmd_mouth_sum_128_legacy"] == pytest.approx(10 * mouth)
    small = metrics.lmds(off / 2, real / 2)  # the same faces at 128 px
    assert values["lmd_mouth_mean_128"] == pytest.approx(small["lmd_mouth_mean_256"], rel=1e-5)
    jaw = real.copy()
    jaw[:, :48, 0] += 10  # the mouth in its place, the rest moved
    assert lmd_mouth(jaw, real) == 0
    expected = (48 * 10 * 20 / 68 + 20 * 10 * 48 / 68) / 68
    assert metrics.lmds(jaw, real)["lmd_all_mean_256"] == pytest.approx(expected, rel=1e-4)


def test_lip_correlation_and_variance_ratio() -> None:
    real = np.sin(np.arange(50.0))
    assert metrics.lip_correlation(3 - 0.5 * real, real) == pytest.approx(-1)
    assert metrics.lip_variance_ratio(3 - 0.5 * real, real) == pytest.approx(0.25)
    still = np.full(50, 4.0)
    assert metrics.lip_correlation(still, real) is None
    assert metrics.lip_variance_ratio(still, real) == 0
    assert metrics.lip_variance_ratio(real, still) is None


def test_frames_without_landmarks_are_counted_and_left_out(random: np.random.Generator) -> None:
    real = face(random, 20)
    points = real.copy()
    points[[3, 7]] = 0
    found = np.ones(20, bool)
    found[[3, 7]] = False
    values = metrics.lips(points, found, real, np.ones(20, bool), np.zeros(20, bool))
    assert values["unmeasured_frames"] == 2
    assert values["lmd_mouth_mean_256"] == pytest.approx(0)
    assert values["lip_correlation"] == pytest.approx(1)
    nothing = metrics.lips(points, np.zeros(20, bool), real, found, np.zeros(20, bool))
    assert nothing["unmeasured_frames"] == 20 and nothing["lmd_mouth_mean_256"] is None


def opened(opening: np.ndarray) -> np.ndarray:
    """Landmarks whose lips are open as far as asked."""
    points = np.zeros((len(opening), 68, 2), np.float32)
    points[:, 36:48, 0] = np.arange(12) * 8
    points[:, [65, 66, 67], 1] = opening[:, None]
    return points


def test_speech_correlation_leaves_out_the_pauses(random: np.random.Generator) -> None:
    """Open in speech and shut in pauses is all that a loudness meter knows."""
    silent = np.arange(60) < 30
    real = np.where(silent, 0.0, 10 + random.normal(0, 1, 60))
    meter = np.where(silent, 0.0, 10 + random.normal(0, 1, 60))
    every = np.ones(60, bool)
    values = metrics.lips(opened(meter), every, opened(real), every, silent)
    assert values["lip_correlation"] > 0.9
    assert abs(values["lip_correlation_speech"]) < 0.5
    row = metrics.of_loudness(meter, opened(real), every, silent)
    assert row["lip_correlation"] == pytest.approx(values["lip_correlation"], abs=1e-4)
    assert row["psnr_rgb"] is None and set(metrics.DEFINITIONS) <= set(row)
    said_nothing = metrics.lips(opened(meter), every, opened(real), every, every)
    assert said_nothing["lip_correlation_speech"] is None


def test_bootstrap_interval(random: np.random.Generator) -> None:
    values = list(random.normal(5, 2, 400))
    low, high = metrics.bootstrap_interval(values)  # type: ignore[misc]
    assert (low, high) == metrics.bootstrap_interval(values)  # seeded
    half = 1.96 * np.std(values) / 20
    assert low == pytest.approx(np.mean(values) - half, abs=0.05)
    assert high == pytest.approx(np.mean(values) + half, abs=0.05)
    assert metrics.bootstrap_interval([3.0]) is None


def test_summary_skips_clips_without_a_value() -> None:
    clips = [{"psnr_rgb": 20.0, "lip_correlation": None}, {"psnr_rgb": 30.0}]
    table = metrics.means(clips)
    assert table["psnr_rgb"]["mean"] == 25 and table["psnr_rgb"]["clips"] == 2
    assert table["lip_correlation"] == {"mean": None, "interval": None, "clips": 0}
    assert set(table) == set(metrics.DEFINITIONS)
