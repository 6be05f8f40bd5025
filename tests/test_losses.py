"""Closed forms of Eq. 9–13."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from amie_core import losses
from amie_core.config import LossConfig
from amie_core.errors import UserError
from amie_core.mutual_information.objectives import EmaDv
from amie_core.perceptual import Phi, read_vgg16, weights_file

BOXES = torch.tensor([[150, 230, 64, 192], [160, 240, 60, 188]])


def test_gan_losses_at_chance_and_at_known_logits() -> None:
    zero = torch.zeros(5)
    assert losses.gan_discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert losses.gan_generator(zero).item() == pytest.approx(math.log(2))
    real, made = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    d = torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(made)).log().mean()  # Eq. 9
    assert losses.gan_discriminator(real, made).item() == pytest.approx(-d.item(), rel=1e-5)
    g = -torch.sigmoid(made).log().mean()
    assert losses.gan_generator(made).item() == pytest.approx(g.item(), rel=1e-5)


def test_lip_loss_sees_the_lip_box_alone() -> None:
    real = torch.rand(2, 3, 64, 64)
    made = real.clone()
    made[:, :, :30] += 0.5  # above both boxes
    assert losses.lip(real, made, BOXES).item() == 0
    made = real.clone()
    made[0, :, 40:56, 16:48] += 0.25  # 16 of the 20 rows of the first box (rows 37 … 56)
    assert losses.lip(real, made, BOXES).item() == pytest.approx(0.25 * 16 / 20 / 2, rel=1e-5)


def test_crop_is_the_box_at_every_size() -> None:
    for size in (64, 128, 256):
        rows = torch.arange(size).float()[None, None, :, None].expand(2, 3, size, size)
        crop = losses.crop_lips(rows, BOXES)
        assert crop.shape == (2, 3, 80 * size // 256, 128 * size // 256)
        assert crop[0, 0, 0, 0] == 150 * size // 256
        assert crop[1, 0, 0, 0] == 160 * size // 256


def test_mutual_information_loss_closed_forms() -> None:
    zero = torch.zeros(4)
    assert losses.mutual_information(zero, zero, "js").item() == pytest.approx(2 * math.log(2))
    assert losses.mutual_information(zero, zero, "dv").item() == pytest.approx(0, abs=1e-7)
    joint, marginal = torch.tensor([1.0, 3.0]), torch.tensor([-2.0, 0.0])
    dv = 2 - math.log((math.exp(-2) + 1) / 2)
    assert losses.mutual_information(joint, marginal, "dv").item() == pytest.approx(-dv, rel=1e-5)
    same = losses.mutual_information(joint, marginal, "dv", EmaDv())
    assert same.item() == pytest.approx(-dv, rel=1e-5)  # the EMA corrects the gradient only
    js = torch.sigmoid(joint).log().mean() + torch.sigmoid(-marginal).log().mean()  # Eq. 7
    assert losses.mutual_information(joint, marginal, "js").item() == pytest.approx(
        -js.item(), rel=1e-5
    )


def test_total_is_the_weighted_sum() -> None:
    names = ("gan", "perceptual", "lip", "mi", "pixel")
    parts = {name: torch.tensor(float(i + 1)) for i, name in enumerate(names)}
    weights = LossConfig(gan=1.0, perceptual=2.0, lip=3.0, mi=4.0, pixel=5.0)
    assert losses.total(parts, weights).item() == 1 + 4 + 9 + 16 + 25


def test_a_weight_gives_the_stated_share() -> None:
    of, beside = torch.randn(4, 5) * 7, torch.randn(4, 5)
    weight = losses.share_weight(of, beside, 0.2)
    assert (weight * of).norm().item() == pytest.approx(0.2 * beside.norm().item(), rel=1e-5)
    assert losses.share_weight(torch.zeros(3), beside, 0.2).item() == 0


def test_fine_mask_loss_at_chance() -> None:
    logits, target = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    assert losses.fine_mask(logits, target).item() == pytest.approx(math.log(2))


needs_vgg = pytest.mark.skipif(weights_file() is None, reason="VGG16 weights are not installed")


@needs_vgg
def test_phi_has_the_shapes_of_vgg16_and_no_own_gradient() -> None:
    frames = torch.rand(1, 3, 32, 32, requires_grad=True)
    for layer, shape in {"relu1_2": (64, 32), "relu2_2": (128, 16), "relu3_3": (256, 8)}.items():
        phi = Phi(layer)
        features = phi(frames)
        assert features.shape == (1, shape[0], shape[1], shape[1])
        assert not any(p.requires_grad for p in phi.parameters())
    features.sum().backward()
    assert frames.grad is not None and frames.grad.abs().sum() > 0


@needs_vgg
def test_phi_is_an_edge_detector_not_noise() -> None:
    """Trained filters answer to a step edge far more than to what is flat at either side of it;
    filters drawn at random do not."""
    edge = torch.cat([torch.zeros(1, 3, 32, 16), torch.ones(1, 3, 32, 16)], dim=3)

    def sharper(phi: Phi) -> float:
        across = phi(edge).mean(dim=(0, 1))[4:-4].mean(0)
        return float(across[15:17].mean() / max(across[5:9].mean(), across[23:27].mean()))

    torch.manual_seed(0)
    phi = Phi("relu1_2")
    assert sharper(phi) > 4  # 6.6
    for layer in phi.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.reset_parameters()
    assert sharper(phi) < 2


class _Evil:
    def __reduce__(self):  # noqa: ANN204
        return (Path.touch, (Path("evil"),))


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "vgg16.ckpt"
    file.write_bytes(pickle.dumps({"VGG16_0": _Evil(), "x": np.zeros(2)}))
    with pytest.raises(UserError, match="cannot be read"):
        read_vgg16(file)
    assert not Path("evil").exists()
