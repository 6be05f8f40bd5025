"""Eq. 9–13 of the paper, one function an equation."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Num
from torch import Tensor

from amie_core.config import FACE_SIZE, LIP_CROP, LossConfig
from amie_core.mutual_information.objectives import EmaDv, dv, js


def gan_discriminator(
    real: Float[Tensor, " b"], generated: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Eq. 9 as D minimises it: −E[log D(f, a)] − E[log(1 − D(f̂, a))], from logits."""
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def gan_generator(generated: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """Eq. 9 for G in its non-saturating form, −E[log D(f̂, a)] (Goodfellow et al. 2014, sec. 3)."""
    return F.softplus(-generated).mean()


def perceptual(
    real: Float[Tensor, "b c h w"], generated: Float[Tensor, "b c h w"]
) -> Float[Tensor, ""]:
    """Eq. 10: ‖φ(f) − φ(f̂)‖₂², a mean over features, so that λ1 does not depend on the size."""
    return F.mse_loss(generated.float(), real.float())


def crop_lips(frames: Num[Tensor, "b c s s"], boxes: Int[Tensor, "b 4"]) -> Num[Tensor, "b c h w"]:
    """corp(·) of Eq. 11: the lip box (top, bottom, left, right in 256ths) of each frame."""
    size = frames.shape[-1]
    rows, columns = (length * size // FACE_SIZE for length in LIP_CROP)
    top = boxes[:, 0] * size // FACE_SIZE
    left = boxes[:, 2] * size // FACE_SIZE
    batch = torch.arange(len(frames), device=frames.device)[:, None, None]
    r = (top[:, None] + torch.arange(rows, device=frames.device))[:, :, None]
    c = (left[:, None] + torch.arange(columns, device=frames.device))[:, None, :]
    return frames.permute(0, 2, 3, 1)[batch, r, c].permute(0, 3, 1, 2)


def lip(
    real: Float[Tensor, "b 3 s s"], generated: Float[Tensor, "b 3 s s"], boxes: Int[Tensor, "b 4"]
) -> Float[Tensor, ""]:
    """Eq. 11: ‖corp(f) − corp(f̂)‖₁, a mean over the crop's pixels."""
    return F.l1_loss(crop_lips(generated, boxes), crop_lips(real, boxes))


def inner(
    real: Float[Tensor, "b 3 s s"], generated: Float[Tensor, "b 3 s s"],
    where: Float[Tensor, "b 1 s s"],
) -> Float[Tensor, ""]:
    """‖f − f̂‖₁ inside the lips, a mean over the pixels there (not in the paper)."""
    error = (generated - real).abs().mean(1, keepdim=True)
    return (error * where).sum() / where.sum().clamp(min=1.0)


def mutual_information(
    joint: Float[Tensor, " n"],
    marginal: Float[Tensor, " m"],
    objective: str,
    ema: EmaDv | None = None,
) -> Float[Tensor, ""]:
    """Eq. 12 from T's scores: −I(F̂, A), by Jensen–Shannon (Eq. 7) or Donsker–Varadhan (Eq. 6).

    `ema` gives DV the gradient correction of MINE (Belghazi et al. 2018, sec. 3.2); it is meant
    for T's own update, G's step takes the plain value.
    """
    if objective == "js":
        return -js(joint, marginal)
    return -(dv(joint, marginal) if ema is None else ema(joint, marginal))


def sync(
    own: Float[Tensor, " b"], others: Float[Tensor, "b k"], sharpness: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """−log of the softmax with which mouths are told to say their own sound, from cosines.

    Of k other sounds of the same clip (multi-way matching: Chung, Chung and Kang 2019). Not in the
    paper; the expert that gives the cosines is frozen (Prajwal et al. 2020, sec. 3.1).
    """
    scores = sharpness * torch.cat([own[:, None], others], 1)
    return -torch.log_softmax(scores.float(), 1)[:, 0].mean()


def fine_mask(
    logits: Float[Tensor, "b 1 h h"], target: Float[Tensor, "b 1 h h"]
) -> Float[Tensor, ""]:
    """How far the predicted mask is from the drawn lips (not in the paper: sec. 3.3 gives none)."""
    return F.binary_cross_entropy_with_logits(logits, target)


def total(parts: dict[str, Tensor], weights: LossConfig) -> Float[Tensor, ""]:
    """Eq. 13: L_GAN + λ1 L_perc + λ2 L_lip + λ3 L_mi, and the L1 term that we added.

    `parts` has any of gan, perceptual, lip, mi, pixel, inner; a term of weight 0 drops out.
    """
    terms = [getattr(weights, name) * value for name, value in parts.items()]
    return torch.stack(terms).sum()


def share_weight(
    of: Float[Tensor, "..."], beside: Float[Tensor, "..."], share: float
) -> Float[Tensor, ""]:
    """The weight that gives gradient `of` the stated share of the norm of gradient `beside`.

    0 where `of` vanishes. After the adaptive weight of VQGAN (Esser et al. 2021, Eq. 7), taken at
    the generated frames instead of the last layer.
    """
    norm = of.norm()
    return torch.where(norm > 0, share * beside.norm() / norm.clamp(min=1e-30), 0.0)
