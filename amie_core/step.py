"""One training step of AMIE: roll out, then D, then T, then G with the updated T."""

import copy

import numpy as np
import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from amie_core import losses
from amie_core.config import Profile
from amie_core.data.windows import Batch
from amie_core.model import Critic, Discriminator, FineMask, Generator
from amie_core.model.attention import coarse_coverage, mask_of, rate_at
from amie_core.mutual_information.objectives import EmaDv, js
from amie_core.perceptual import Phi


class Amie(nn.Module):
    """All networks of a run, and the EMA copy of G that is evaluated and shipped."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = Generator(profile.model)
        self.fine_mask = FineMask()
        self.discriminator = Discriminator(profile.model)
        self.critic = Critic(profile.model)
        self.ema_dv = EmaDv()
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)

    def set_standardisation(self, mean: Float[Tensor, "13"], std: Float[Tensor, "13"]) -> None:
        """Give all audio inputs the corpus's mean and deviation of the cepstra."""
        for module in self.modules():
            if isinstance(getattr(module, "std", None), Tensor):
                module.mean.copy_(mean)
                module.std.copy_(std)


def roll(
    amie: Amie, batch: Batch, rate: float
) -> tuple[Float[Tensor, "b k 3 s s"], Float[Tensor, "b k 1 h h"], Float[Tensor, "b k 1 s s"]]:
    """Generate each window frame by frame under dynamic attention (sec. 3.3).

    Frame 0 wears the coarse mask, frame i the mask that `FineMask` predicts from the mask before
    it and the face just generated. f̂_{i−1} is detached, so is the mask's own past: gradients
    reach the predictor through the frame that wears its mask.
    Returns the frames, the predicted coverage's logits and the masks as worn.
    """
    b, k = batch.frames.shape[:2]
    size = batch.frames.shape[-1]
    windows = batch.windows.flatten(0, 1)
    audio = amie.generator.audio(windows).unflatten(0, (b, k))
    coarse = coarse_coverage(batch.lip_boxes, size)
    coverage, previous = coarse, batch.before
    face, boxes = batch.identity, batch.lip_boxes
    code = amie.generator.identity(face, boxes) if rate == 1.0 else None
    frames, logits, masks = [], [], []
    for i in range(k):
        mask = mask_of(coverage, rate)
        # At rate 1 the mask is all ones and the identity is encoded once, as at inference.
        worn = code or amie.generator.identity(face, boxes, mask)
        frame = amie.generator.decode(worn, audio[:, i], previous)
        previous = frame.detach().clamp(0, 1)
        masks.append(mask)
        coverage, logit = amie.fine_mask(coverage.detach(), previous, coarse)
        frames.append(frame)
        logits.append(logit)
    return torch.stack(frames, 1), torch.stack(logits, 1), torch.stack(masks, 1)


class Step:
    """The optimisers and what one step does. Every row of Table 3 does the same work a step."""

    def __init__(self, profile: Profile, amie: Amie, fabric: Fabric, seed: int) -> None:
        self.profile, self.amie, self.fabric, self.seed = profile, amie, fabric, seed
        t = profile.train
        made = [
            {"params": [*amie.generator.parameters()]},
            # A network of three layers, learnt from scratch: it can go faster than G.
            {"params": [*amie.fine_mask.parameters()], "faster": 4.0},
        ]
        # One fused kernel a step instead of a loop over parameters, on CPU and GPU alike.
        self.optimizers = {
            "g": torch.optim.Adam(made, t.lr, t.betas, fused=True),
            "d": torch.optim.Adam(amie.discriminator.parameters(), t.lr, t.betas, fused=True),
            "t": torch.optim.Adam(amie.critic.parameters(), t.lr_critic, t.betas, fused=True),
        }
        self.phi = None
        if profile.loss.perceptual > 0:
            phi = fabric.to_device(Phi(profile.loss.phi_layer))
            self.phi = phi.to(memory_format=torch.channels_last)
        if t.compile:
            g, critic = amie.generator, amie.critic
            for module in (g.identity_encoder, g.image_encoder, g.decoder, critic.image_encoder,
                           amie.discriminator, self.phi):  # fmt: skip
                if module is not None:
                    module.compile()

    def __call__(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Run one step; returns the values to log, detached."""
        t = self.profile.train
        random = np.random.default_rng([self.seed, step, 7])  # the same on every device
        rate = rate_at(step / max(t.steps, 1), self.profile.attention, random)
        judged = torch.as_tensor(
            np.sort(random.choice(t.unroll, min(t.judged, t.unroll), replace=False))
        )
        self._schedule(step)
        with self.fabric.autocast():
            frames, logits, _ = roll(self.amie, batch, rate)
        frames = frames.float()
        seen = _Judged(batch, frames, judged)
        log = {"rate": torch.tensor(rate)}
        log |= self._update_d(seen)
        log |= self._update_t(seen)
        log |= self._update_g(batch, frames, logits, seen)
        with torch.no_grad():
            decay = min(t.ema, (1 + step) / (10 + step))
            averaged = list(self.amie.averaged.parameters())
            torch._foreach_lerp_(averaged, list(self.amie.generator.parameters()), 1 - decay)
            for mine, its in zip(
                self.amie.averaged.buffers(), self.amie.generator.buffers(), strict=True
            ):
                mine.copy_(its)
        return {name: value.detach() for name, value in log.items()}

    def _schedule(self, step: int) -> None:
        """Linear warm-up, cosine decay: a function of the step alone, so nothing to resume."""
        t = self.profile.train
        warm = min(1.0, (step + 1) / max(t.warmup, 1))
        way = min(step / max(t.steps, 1), 1.0)
        factor = warm * (t.lr_end + (1 - t.lr_end) * 0.5 * (1 + float(np.cos(np.pi * way))))
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                plain = t.lr_critic if name == "t" else t.lr
                group["lr"] = factor * plain * group.get("faster", 1.0)

    def _apply(self, name: str, loss: Tensor) -> None:
        """Backward, mean of the gradients over devices, clip, update."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if self.fabric.world_size > 1:
            flat = torch.cat([p.grad.flatten() for p in parameters])
            flat = self.fabric.all_reduce(flat, reduce_op="mean")
            for p, mean in zip(
                parameters, flat.split([p.numel() for p in parameters]), strict=True
            ):
                p.grad.copy_(mean.view_as(p))
        nn.utils.clip_grad_norm_(parameters, self.profile.train.clip)
        optimizer.step()

    def _update_d(self, seen: "_Judged") -> dict[str, Tensor]:
        self.amie.discriminator.requires_grad_(True)
        with self.fabric.autocast():
            both = torch.cat([seen.real, seen.generated.detach()])
            logits = self.amie.discriminator(both, seen.windows.repeat(2, 1, 1))
        real, generated = logits.chunk(2)
        loss = losses.gan_discriminator(real, generated)
        self._apply("d", loss)
        accuracy = torch.cat([real > 0, generated < 0]).float().mean()
        return {"d": loss, "d_accuracy": accuracy}

    def _update_t(self, seen: "_Judged") -> dict[str, Tensor]:
        """T on real pairs (asymmetric, the paper's strategy) or on generated ones (MINE's)."""
        self.amie.critic.requires_grad_(True)
        asymmetric = self.profile.loss.critic_pairs == "real"
        frames = seen.real if asymmetric else seen.generated.detach()
        with self.fabric.autocast():
            joint, marginal = self.amie.critic(frames, seen.windows, seen.negatives)
        objective = self.profile.loss.objective
        loss = losses.mutual_information(joint, marginal, objective, self.amie.ema_dv)
        self._apply("t", loss)
        accuracy = (joint > marginal).float().mean() + 0.5 * (joint == marginal).float().mean()
        return {"mi_t": -loss, "mi_js": js(joint, marginal), "t_accuracy": accuracy}

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
            joint, marginal = self.amie.critic(seen.generated, seen.windows, seen.negatives)
        parts = {
            "gan": losses.gan_generator(judged),
            "lip": losses.lip(real, made, boxes),
            "mi": losses.mutual_information(joint, marginal, weights.objective),
            "pixel": torch.nn.functional.l1_loss(made, real),
        }
        if self.phi is not None:
            a, b = seen.real, seen.generated
            if weights.phi_region == "lips":
                a, b = losses.crop_lips(a, seen.lip_boxes), losses.crop_lips(b, seen.lip_boxes)
            with self.fabric.autocast():
                with torch.no_grad():
                    wanted = self.phi(a)
                got = self.phi(b)
            parts["perceptual"] = losses.perceptual(wanted, got)
        if self.profile.attention.enabled:
            parts["mask"] = losses.fine_mask(logits.flatten(0, 1), batch.lips.flatten(0, 1))
        loss = losses.total(parts, weights)
        self._apply("g", loss)
        return {"g": loss, "mi_generated": -parts["mi"], **parts}


class _Judged:
    """The frames of a step that φ, D and T see: real, generated, their audio, flattened."""

    def __init__(self, batch: Batch, frames: Tensor, chosen: Int[Tensor, " j"]) -> None:
        self.real = batch.frames[:, chosen].flatten(0, 1)
        self.generated = frames[:, chosen].flatten(0, 1)
        self.windows = batch.windows[:, chosen].flatten(0, 1)
        self.negatives = batch.negatives[:, chosen].flatten(0, 1)
        self.lip_boxes = batch.lip_boxes.repeat_interleave(len(chosen), 0)
