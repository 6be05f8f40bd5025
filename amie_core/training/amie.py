"""One training step of AMIE: roll out, then D, then T, then G with the updated T."""

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor

from amie_core import losses
from amie_core.config import Profile
from amie_core.model import Critic, Discriminator, FineMask, Generator
from amie_core.model.attention import coarse_coverage, mask_of, rate_at
from amie_core.mutual_information.objectives import CHANCE_JS, EmaDv, js
from amie_core.perceptual import Phi
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch


class Amie(Networks):
    """G, the fine mask, D and T."""

    generator: Generator
    averaged: Generator

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = Generator(profile.model)
        self.fine_mask = FineMask()
        self.discriminator = Discriminator(profile.model)
        self.critic = Critic(profile.model, profile.loss.critic_region)
        self.ema_dv = EmaDv()
        self.average()

    def shipped(self) -> dict[str, Tensor]:
        """The averaged generator and the fine mask."""
        mask = {f"fine_mask.{name}": t for name, t in self.fine_mask.state_dict().items()}
        return super().shipped() | mask


def roll(
    generator: Generator,
    fine_mask: FineMask,
    identity: Float[Tensor, "b 3 s s"],
    before: Float[Tensor, "b 3 s s"],
    windows: Float[Tensor, "b k 20 13"],
    lip_boxes: Int[Tensor, "b 4"],
    rate: float,
) -> tuple[Float[Tensor, "b k 3 s s"], Float[Tensor, "b k 1 h h"], Float[Tensor, "b k 1 s s"]]:
    """Generate k frames one after the other under dynamic attention (sec. 3.3).

    Frame 0 wears the coarse mask, frame i the mask that `fine_mask` predicts from the mask before
    it and the face just generated. f̂_{i−1} is detached, so is the mask's own past: gradients
    reach the predictor through the frame that wears its mask. before: f̂_{i−1} of frame 0.
    Returns the frames, the predicted coverage's logits and the masks as worn.
    """
    b, k = windows.shape[:2]
    audio = generator.audio(windows.flatten(0, 1)).unflatten(0, (b, k))
    coarse = coarse_coverage(lip_boxes, identity.shape[-1])
    coverage, previous = coarse, before
    code = generator.identity(identity, lip_boxes) if rate == 1.0 else None
    frames, logits, masks = [], [], []
    for i in range(k):
        mask = mask_of(coverage, rate)
        # At rate 1 the mask is all ones and the identity is encoded once, as at inference.
        worn = code or generator.identity(identity, lip_boxes, mask)
        frame = generator.decode(worn, audio[:, i], previous)
        previous = frame.detach().clamp(0, 1)
        masks.append(mask)
        coverage, logit = fine_mask(coverage.detach(), previous, coarse)
        frames.append(frame)
        logits.append(logit)
    return torch.stack(frames, 1), torch.stack(logits, 1), torch.stack(masks, 1)


class AmieStep(MethodStep):
    """The optimisers and what one step does. Every row of Table 3 does the same work a step."""

    def __init__(self, profile: Profile, amie: Amie, fabric: Fabric, seed: int) -> None:
        super().__init__(profile, amie, fabric, seed)
        self.amie, t = amie, profile.train
        made = [
            {"params": [*amie.generator.parameters()]},
            # A network of three layers, learnt from scratch: it can go faster than G.
            {"params": [*amie.fine_mask.parameters()], "faster": 4.0},
        ]
        self.optimizers = {
            "g": self.adam(made),
            "d": self.adam(amie.discriminator.parameters()),
            "t": self.adam(amie.critic.parameters()),
        }
        self.rates = {"t": t.lr_critic}
        self.phi = None
        if profile.loss.perceptual > 0:
            phi = fabric.to_device(Phi(profile.loss.phi_layer))
            # torch's stub of Module.to lacks this form
            self.phi = phi.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if t.compile:
            g, critic = amie.generator, amie.critic
            for module in (g.identity_encoder, g.image_encoder, g.decoder, critic.image_encoder,
                           amie.discriminator, self.phi):  # fmt: skip
                if module is not None:
                    module.compile()

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """D, then T, then G with the updated T."""
        t = self.profile.train
        rate = rate_at(step / max(t.steps, 1), self.profile.attention, random)
        judged = torch.as_tensor(
            np.sort(random.choice(t.unroll, min(t.judged, t.unroll), replace=False))
        )
        with self.fabric.autocast():
            frames, logits, _ = roll(
                self.amie.generator, self.amie.fine_mask, batch.identity, batch.before,
                batch.windows, batch.lip_boxes, rate,
            )  # fmt: skip
        frames = frames.float()
        seen = _Judged(batch, frames, judged)
        log = {"rate": torch.tensor(rate)}
        log |= self._update_d(seen)
        log |= self._update_t(seen)
        log |= self._update_g(batch, frames, logits, seen)
        return log

    def log_line(self, values: dict[str, float]) -> str:
        """The lips' error, the mutual information on T's pairs beside chance."""
        return (
            f"lip {values['lip']:.4f}, MI {values['mi_js']:.3f} (chance {CHANCE_JS:.3f}), "
            f"paired {values['t_accuracy']:.0%}"
        )

    def warnings(self, values: dict[str, float]) -> dict[str, str]:
        """T at chance, or D that has won."""
        found = super().warnings(values)
        if values["mi_js"] < CHANCE_JS + 0.01:
            found["chance"] = "T has not left chance: it sees no tie between sound and lips yet"
        return found

    def _update_d(self, seen: "_Judged") -> dict[str, Tensor]:
        self.amie.discriminator.requires_grad_(True)
        with self.fabric.autocast():
            both = torch.cat([seen.real, seen.generated.detach()])
            logits = self.amie.discriminator(both, seen.windows.repeat(2, 1, 1))
        real, generated = logits.chunk(2)
        loss = losses.gan_discriminator(real, generated)
        self.apply("d", loss)
        accuracy = torch.cat([real > 0, generated < 0]).float().mean()
        return {"d": loss, "d_accuracy": accuracy}

    def _update_t(self, seen: "_Judged") -> dict[str, Tensor]:
        """T on real pairs (asymmetric, the paper's strategy) or on generated ones (MINE's)."""
        self.amie.critic.requires_grad_(True)
        asymmetric = self.profile.loss.critic_pairs == "real"
        frames = self._region("critic", seen, seen.real if asymmetric else seen.generated.detach())
        with self.fabric.autocast():
            joint, marginal = self.amie.critic(frames, seen.windows, seen.negatives)
        objective = self.profile.loss.objective
        loss = losses.mutual_information(joint, marginal, objective, self.amie.ema_dv)
        self.apply("t", loss)
        accuracy = (joint > marginal).float().mean() + 0.5 * (joint == marginal).float().mean()
        return {"mi_t": -loss, "mi_js": js(joint, marginal), "t_accuracy": accuracy}

    def _region(self, who: str, seen: "_Judged", frames: Tensor) -> Tensor:
        """What T or φ sees of frames: all of them, or their lip crops."""
        if getattr(self.profile.loss, f"{who}_region") == "face":
            return frames
        return losses.crop_lips(frames, seen.lip_boxes)

    def _update_g(
        self, batch: Batch, frames: Tensor, logits: Tensor, seen: "_Judged"
    ) -> dict[str, Tensor]:
        """Eq. 13. D and T are frozen: gradients pass through them and stay out of them."""
        weights = self.profile.loss
        self.amie.discriminator.requires_grad_(False)
        self.amie.critic.requires_grad_(False)
        boxes = batch.lip_boxes.repeat_interleave(frames.shape[1], 0)
        real, made = batch.frames.flatten(0, 1), frames.flatten(0, 1)
        with self.fabric.autocast():
            judged = self.amie.discriminator(seen.generated, seen.windows)
            shown = self._region("critic", seen, seen.generated)
            joint, marginal = self.amie.critic(shown, seen.windows, seen.negatives)
        parts = {
            "gan": losses.gan_generator(judged),
            "lip": losses.lip(real, made, boxes),
            "mi": losses.mutual_information(joint, marginal, weights.objective),
            "pixel": torch.nn.functional.l1_loss(made, real),
        }
        if self.phi is not None:
            a, b = (self._region("phi", seen, x) for x in (seen.real, seen.generated))
            with self.fabric.autocast():
                with torch.no_grad():
                    wanted = self.phi(a)
                got = self.phi(b)
            parts["perceptual"] = losses.perceptual(wanted, got)
        if self.profile.attention.enabled:
            parts["mask"] = losses.fine_mask(logits.flatten(0, 1), batch.lips.flatten(0, 1))
        loss = losses.total(parts, weights)
        self.apply("g", loss)
        return {"g": loss, "mi_generated": -parts["mi"], **parts}


class _Judged:
    """The frames of a step that φ, D and T see: real, generated, their audio, flattened."""

    def __init__(self, batch: Batch, frames: Tensor, chosen: Int[Tensor, " j"]) -> None:
        self.real = batch.frames[:, chosen].flatten(0, 1)
        self.generated = frames[:, chosen].flatten(0, 1)
        self.windows = batch.windows[:, chosen].flatten(0, 1)
        self.negatives = batch.negatives[:, chosen].flatten(0, 1)
        self.lip_boxes = batch.lip_boxes.repeat_interleave(len(chosen), 0)


METHOD = Method(Generator, Amie, AmieStep)
