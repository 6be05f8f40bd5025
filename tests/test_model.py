"""Shapes, the attention schedule, roll-out, and what a wrong paper would break."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from amie_core.config import AttentionConfig, ModelConfig
from amie_core.errors import UserError
from amie_core.model import (
    Critic,
    Discriminator,
    FineMask,
    Generator,
    coarse_coverage,
    mask_of,
    rate_at,
    roll_out,
)
from amie_core.model.generator import FrameDecoder, GroupNorm, doubled

SMALL = ModelConfig(image_size=32, width=8, max_width=16, audio_width=8, embedding=16)
BOXES = torch.tensor([[150, 230, 64, 192], [160, 240, 60, 188]])


@pytest.mark.parametrize("size", [64, 96, 128, 256])
def test_every_image_size_from_one_config(size: int) -> None:
    config = ModelConfig(image_size=size, width=8, max_width=16, audio_width=8, embedding=16)
    face, window = torch.rand(2, 3, size, size), torch.randn(2, 20, 13)
    generator = Generator(config)
    frame = generator(generator.identity(face), window, face)
    assert frame.shape == (2, 3, size, size)
    joint, marginal = Critic(config)(frame, window, window)
    assert joint.shape == marginal.shape == (2,)
    assert Discriminator(config)(frame, window).shape == (2,)


def test_a_size_that_cannot_be_halved_is_refused_in_words() -> None:
    sizes = {8: 4, 64: 4, 80: 5, 96: 6, 112: 7}
    assert {size: ModelConfig(image_size=size).coarsest for size in sizes} == sizes
    for size in (0, 4, 50, 90):
        with pytest.raises(UserError, match=f"model.image_size={size}: .* 64 or 96"):
            ModelConfig(image_size=size)


def test_an_untrained_residual_generator_returns_the_identity() -> None:
    generator = Generator(SMALL)
    face = torch.rand(1, 3, 32, 32)
    frame = generator(generator.identity(face), torch.randn(1, 20, 13), face)
    assert torch.allclose(frame, face)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_doubling_folds_into_the_kernel(size: int) -> None:
    """Nearest doubling and a 3×3 convolution are one transposed convolution; gradients too."""
    torch.manual_seed(size)
    picture = torch.randn(2, 6, size, size, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(5, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    plain = F.conv2d(F.interpolate(picture, scale_factor=2.0), kernel, None, 1, 1)
    folded = F.conv_transpose2d(picture, doubled(kernel), None, 2, 1)
    torch.testing.assert_close(folded, plain)
    upstream = torch.randn_like(plain)
    gradients = [torch.autograd.grad(out, (picture, kernel), upstream) for out in (folded, plain)]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("size", [32, 48, 56])
def test_the_decoder_is_a_convolution_of_both_maps_side_by_side(size: int) -> None:
    """What is convolved apart, once a face, equals the plain U-Net level by level."""
    torch.manual_seed(0)
    widths = (8, 16, 16, 24)
    decoder = FrameDecoder(widths, 24 + 10)
    torch.nn.init.normal_(decoder.out.weight, std=0.1)
    maps = tuple(torch.randn(2, w, size // 2**k, size // 2**k) for k, w in enumerate(widths))
    code = torch.randn(2, 10, size // 8, size // 8)
    x = decoder.start(torch.cat([maps[-1], code], 1))
    for level, skip in zip(decoder.levels, maps[-2::-1], strict=True):
        x = level(torch.cat([F.interpolate(x, scale_factor=2.0), skip], 1))
    x = decoder.out(x)
    found = decoder(code, decoder.skips(maps))
    assert found.shape == (2, 3, size, size)
    torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-5)


def test_t_is_computed_in_float32_under_autocast() -> None:
    critic = Critic(SMALL)
    pairs = torch.rand(3, 3, 32, 32), torch.rand(3, 20, 13), torch.rand(3, 20, 13)
    seen: list[torch.dtype] = []
    critic.classifier.register_forward_hook(
        lambda _, given, out: seen.extend([given[0].dtype, out.dtype])
    )
    with torch.autocast("cpu", torch.bfloat16):
        joint, _ = critic(*pairs)
    assert joint.dtype == torch.float32 and set(seen) == {torch.float32}


def test_group_norm_is_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []
    real = F.group_norm
    monkeypatch.setattr(F, "group_norm", lambda x, *rest: (seen.append(x.dtype), real(x, *rest))[1])
    with torch.autocast("cpu", torch.bfloat16):
        found = GroupNorm(2, 16)(torch.randn(2, 16, 4, 4).bfloat16())
    assert found.dtype == torch.bfloat16 and seen == [torch.float32]


def test_generator_listens_to_all_three_inputs() -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL)
    torch.nn.init.normal_(generator.decoder.out.weight, std=0.1)
    inputs = [torch.rand(1, 3, 32, 32), torch.randn(1, 20, 13), torch.rand(1, 3, 32, 32)]
    for tensor in inputs:
        tensor.requires_grad_(True)
    face, window, previous = inputs
    generator(generator.identity(face), window, previous).sum().backward()
    assert all(t.grad is not None and t.grad.abs().sum() > 0 for t in inputs)


def test_critic_shares_the_architecture_not_the_weights() -> None:
    generator, critic = Generator(SMALL), Critic(SMALL)
    for mine, theirs in (
        (critic.image_encoder, generator.identity_encoder),
        (critic.audio_encoder, generator.audio_encoder),
    ):
        ours, others = dict(mine.named_parameters()), dict(theirs.named_parameters())
        assert {n: p.shape for n, p in ours.items()} == {n: p.shape for n, p in others.items()}
        assert all(ours[n].data_ptr() != others[n].data_ptr() for n in ours)


def test_critic_scores_do_not_depend_on_the_other_pairs() -> None:
    torch.manual_seed(0)
    critic = Critic(SMALL, "lips")
    pairs = torch.rand(4, 3, 10, 16), torch.rand(4, 20, 13), torch.rand(4, 20, 13)
    joint, marginal = critic(*pairs)
    alone = [critic(*(part[i : i + 1] for part in pairs)) for i in range(4)]
    torch.testing.assert_close(joint, torch.cat([one[0] for one in alone]))
    torch.testing.assert_close(marginal, torch.cat([one[1] for one in alone]))


def test_rate_schedule_is_the_papers() -> None:
    config = AttentionConfig()
    random = np.random.default_rng(0)
    at = np.arange(0, 1, 0.01)
    rates = np.array([[rate_at(p, config, random) for _ in range(50)] for p in at])
    assert np.all((rates[:10] >= 0.7) & (rates[:10] <= 0.9))  # starts high
    before_final = rates[56:60]
    assert np.all((before_final >= 0.1) & (before_final <= 0.36))  # ends low …
    assert np.all(np.diff(rates[:60].mean(1)) < 0.06)  # … without a jump up
    assert np.all(rates[60:] == 1.0)  # fixed to 1 in the last epochs
    off = AttentionConfig(enabled=False)
    assert rate_at(0.0, off, random) == 1.0


def test_masks() -> None:
    coverage = coarse_coverage(BOXES, 64)
    assert coverage.shape == (2, 1, 64, 64)
    assert coverage[0].sum() == 20 * 32  # the box, at a quarter of 256
    mask = mask_of(coverage, 0.3)
    assert mask.min() == pytest.approx(0.3) and mask.max() == 1
    assert torch.equal(mask_of(coverage, 1.0), torch.ones_like(mask))


def test_fine_mask_stays_inside_the_coarse_area() -> None:
    coarse = coarse_coverage(BOXES, 32)
    coverage, logits = FineMask()(coarse, torch.rand(2, 3, 32, 32), coarse)
    assert coverage.shape == (2, 1, 32, 32) and logits.shape == (2, 1, 16, 16)
    assert torch.all(coverage[coarse == 0] == 0)
    assert torch.all((coverage >= 0) & (coverage <= 1))


def test_roll_out_feeds_back_its_own_frames() -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL).eval()
    torch.nn.init.normal_(generator.decoder.out.weight, std=0.05)
    face = torch.rand(3, 32, 32)
    windows = np.random.default_rng(0).standard_normal((5, 20, 13)).astype(np.float32)
    whole = np.stack(list(roll_out(generator, face, [windows])))
    chunks = np.stack(list(roll_out(generator, face, [windows[:2], windows[2:]])))
    assert whole.shape == (5, 32, 32, 3) and whole.dtype == np.uint8
    assert np.array_equal(whole, chunks)  # chunking changes nothing
    with torch.no_grad():
        code = generator.identity(face[None])
        previous = face[None]
        for i in range(5):
            previous = generator(code, torch.from_numpy(windows[i : i + 1]), previous).clamp(0, 1)
    last = previous[0].mul(255).round().permute(1, 2, 0).numpy()
    assert np.abs(whole[-1] - last).max() <= 1
    other = np.stack(list(roll_out(generator, face, [windows[::-1].copy()])))
    assert not np.array_equal(other[-1], whole[-1])


def test_roll_out_is_lazy() -> None:
    """Frames come before all sound was read: memory does not grow with the clip."""
    read = []

    def chunks():  # noqa: ANN202
        for i in range(100):
            read.append(i)
            yield np.zeros((2, 20, 13), np.float32)

    frames = roll_out(Generator(SMALL), torch.rand(3, 32, 32), chunks())
    next(frames)
    assert len(read) == 1
