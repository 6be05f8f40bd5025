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
from amie_core.model.critic import paired_accuracy
from amie_core.model.mouth import MouthGenerator, Mouths, generator_of
from amie_core.model.sync import SyncNetwork
from amie_core.mutual_information.objectives import CHANCE_JS, EmaDv, js
from amie_core.perceptual import Phi
from amie_core.training import interiors, motion, sync_expert
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch, Windows

AT_CHANCE = 0.55  # paired accuracy under which T knows nothing yet


class Amie(Networks):
    """G, the fine mask, D and T; a frozen sync expert where one is asked for."""

    generator: Generator
    averaged: Generator
    expert: SyncNetwork | None

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = generator_of(profile.model)
        self.fine_mask = FineMask()
        self.discriminator = Discriminator(profile.model)
        self.critic = Critic(profile.model, profile.loss.critic_region)
        self.ema_dv = EmaDv()
        self.expert = sync_expert.made(profile) if profile.loss.sync_share > 0 else None
        self.average()

    def fit(self, windows: Windows) -> None:
        """The cepstra's statistics; a MouthGenerator learns how mouths move, and keeps teeth; an
        expert learns all that it will know.
        """
        super().fit(windows)
        if self.expert is not None:
            sync_expert.fit(self.expert, windows)
        own, averaged = self.generator, self.averaged
        if isinstance(own, MouthGenerator) and isinstance(averaged, MouthGenerator):
            motion.fit(own.motion, windows, windows.seed, windows.progress)
            interiors.fill(own.interiors, windows, windows.progress)
            for part in ("motion", "interiors"):
                averaged.get_submodule(part).load_state_dict(own.get_submodule(part).state_dict())

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
    mouths: Mouths | None = None,
) -> tuple[
    Float[Tensor, "b k 3 s s"], Float[Tensor, "b k 1 h h"] | None, Float[Tensor, "b k 1 s s"]
]:
    """Generate k frames one after the other under dynamic attention (sec. 3.3).

    Frame 0 wears the coarse mask, frame i the mask that `fine_mask` predicts from the mask before
    it and the face just generated. f̂_{i−1} is detached, and so are the masks: the predictor learns
    what lips are, not what a frame would like to see. before: f̂_{i−1} of frame 0. mouths: of a
    MouthGenerator, where each frame's landmarks are known. Returns the frames, the predicted
    coverage's logits (None at rate 1, where no mask is worn) and the masks as worn.
    """
    b, k = windows.shape[:2]
    audio = generator.audio(windows.flatten(0, 1)).unflatten(0, (b, k))
    if mouths is not None:
        audio = audio + mouths.codes
    coarse = coarse_coverage(lip_boxes, identity.shape[-1])
    coverage, previous = coarse, before
    kernels = generator.decoder.kernels()
    # At rate 1 the mask is all ones and the identity is encoded once, as at inference.
    code = generator.identity(identity, lip_boxes, None, kernels) if rate == 1.0 else None
    frames, logits, masks = [], [], []
    for i in range(k):
        mask = mask_of(coverage, rate)
        worn = code or generator.identity(identity, lip_boxes, mask, kernels)
        if mouths is not None:
            worn = worn._replace(face=mouths.bases[:, i], region=mouths.inner[:, i])
        frame = generator.decode(worn, audio[:, i], previous)
        previous = frame.detach().clamp(0, 1)
        frames.append(frame)
        masks.append(mask)
        if code is None:
            coverage, logit = fine_mask(coverage, previous, coarse)
            coverage = coverage.detach()
            logits.append(logit)
    found = torch.stack(logits, 1) if logits else None
    return torch.stack(frames, 1), found, torch.stack(masks, 1)


class AmieStep(MethodStep):
    """The optimisers and what one step does. Every row of Table 3 does the same work a step."""

    def __init__(self, profile: Profile, amie: Amie, fabric: Fabric, seed: int) -> None:
        super().__init__(profile, amie, fabric, seed)
        self.amie, t = amie, profile.train
        self.optimizers = {
            "g": self.adam(amie.generator.parameters()),
            "mask": self.adam(amie.fine_mask.parameters()),
            "d": self.adam(amie.discriminator.parameters()),
            "t": self.adam(amie.critic.parameters()),
        }
        self.rates = {"t": t.lr_critic, "mask": t.lr_mask}
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
        """D, then T, then G with the updated T; under attention the fine mask too."""
        t = self.profile.train
        # Drawn first, and whatever the attention: the same frames are judged in every row.
        judged = torch.as_tensor(
            np.sort(random.choice(t.unroll, min(t.judged, t.unroll), replace=False))
        )
        progress = step / max(t.steps, 1)
        rate = rate_at(progress, self.profile.attention, random)
        g = self.amie.generator
        with self.fabric.autocast():
            mouths = None
            if isinstance(g, MouthGenerator):
                mouths = g.mouths(batch.identity, batch.identity_landmarks, batch.landmarks)
            frames, logits, _ = roll(
                g, self.amie.fine_mask, batch.identity, batch.before, batch.windows,
                batch.lip_boxes, rate, mouths,
            )  # fmt: skip
        frames = frames.float()
        # The losses' gradients are taken at the frames, where terms can be weighed by them.
        shown = frames.detach().requires_grad_()
        log = {"rate": torch.tensor(rate)}
        log |= self._update_d(_Seen(batch, shown.detach(), judged))
        for _ in range(t.critic_updates):
            log |= self._update_t(_Seen(batch, shown.detach()))
        counts = progress >= self.profile.loss.mi_from
        log |= self._update_g(batch, frames, shown, judged, counts, mouths)
        if logits is not None:
            mask = losses.fine_mask(logits.flatten(0, 1), batch.lips.flatten(0, 1))
            self.apply("mask", mask)
            log["mask"] = mask
        return log

    def log_line(self, values: dict[str, float]) -> str:
        """The lips' error, T's own objective on its pairs beside chance."""
        chance = {"js": CHANCE_JS, "dv": 0.0}[self.profile.loss.objective]
        return (
            f"lip {values['lip']:.4f}, MI {values['mi_t']:.3f} (chance {chance:.3f}), "
            f"paired {values['t_accuracy']:.0%}"
        )

    def warnings(self, values: dict[str, float]) -> dict[str, str]:
        """T at chance, or D that has won."""
        found = super().warnings(values)
        # Not by Eq. 7: DV leaves T's scores a free offset, which moves Eq. 7 far below chance.
        if values["t_accuracy"] < AT_CHANCE:
            found["chance"] = "T has not left chance: it sees no tie between sound and lips yet"
        return found

    def _update_d(self, seen: "_Seen") -> dict[str, Tensor]:
        self.amie.discriminator.requires_grad_(True)
        with self.fabric.autocast():
            both = torch.cat([self._judged(seen, f) for f in (seen.real, seen.generated)])
            logits = self.amie.discriminator(both, seen.windows.repeat(2, 1, 1))
        real, generated = logits.chunk(2)
        loss = losses.gan_discriminator(real, generated)
        self.apply("d", loss)
        accuracy = torch.cat([real > 0, generated < 0]).float().mean()
        return {"d": loss, "d_accuracy": accuracy}

    def _update_t(self, seen: "_Seen") -> dict[str, Tensor]:
        """T on real pairs (asymmetric, the paper's strategy) or on generated ones (MINE's)."""
        self.amie.critic.requires_grad_(True)
        asymmetric = self.profile.loss.critic_pairs == "real"
        frames = self._region("critic", seen, seen.real if asymmetric else seen.generated)
        with self.fabric.autocast():
            joint, marginal = self.amie.critic(frames, seen.windows, seen.negatives)
        objective = self.profile.loss.objective
        loss = losses.mutual_information(joint, marginal, objective, self.amie.ema_dv)
        self.apply("t", loss)
        accuracy = paired_accuracy(joint, marginal)
        return {"mi_t": -loss, "mi_js": js(joint, marginal), "t_accuracy": accuracy}

    def _judged(self, seen: "_Seen", frames: Tensor) -> Tensor:
        """What D sees of frames, at the size of frames."""
        crops = self._region("gan", seen, frames)
        if crops is frames:
            return frames
        return torch.nn.functional.interpolate(crops, frames.shape[-2:], mode="bilinear")

    def _region(self, who: str, seen: "_Seen", frames: Tensor) -> Tensor:
        """What T, φ or D sees of frames: all of them, or their lip crops."""
        if getattr(self.profile.loss, f"{who}_region") == "face":
            return frames
        return losses.crop_lips(frames, seen.lip_boxes)

    def _update_g(
        self, batch: Batch, frames: Tensor, shown: Tensor, judged: Int[Tensor, " j"], counts: bool,
        mouths: Mouths | None,
    ) -> dict[str, Tensor]:
        """Eq. 13. D and T are frozen: gradients pass through them and stay out of them.

        frames: with G's graph behind them; shown: the same frames as a leaf, where the terms'
        gradients meet. counts: whether the MI term does yet.
        """
        weights = self.profile.loss
        self.amie.discriminator.requires_grad_(False)
        self.amie.critic.requires_grad_(False)
        seen, every = _Seen(batch, shown, judged), _Seen(batch, shown)
        with self.fabric.autocast():
            judgement = self.amie.discriminator(self._judged(seen, seen.generated), seen.windows)
        parts = {
            "gan": losses.gan_generator(judgement),
            "lip": losses.lip(every.real, every.generated, every.lip_boxes),
            "pixel": torch.nn.functional.l1_loss(every.generated, every.real),
        }
        if mouths is not None:
            parts["inner"] = losses.inner(every.real, every.generated, mouths.inner.flatten(0, 1))
        if self.phi is not None:
            a, b = (self._region("phi", seen, x) for x in (seen.real, seen.generated))
            with self.fabric.autocast():
                with torch.no_grad():
                    wanted = self.phi(a)
                got = self.phi(b)
            parts["perceptual"] = losses.perceptual(wanted, got)
        loss = losses.total(parts, weights)
        (gradient,) = torch.autograd.grad(loss, shown)

        every = _Seen(batch, shown)  # a graph of its own
        with self.fabric.autocast():
            lips = self._region("critic", every, every.generated)
            joint, marginal = self.amie.critic(lips, every.windows, every.negatives)
        mi = losses.mutual_information(joint, marginal, weights.objective)
        (of_mi,) = torch.autograd.grad(mi, shown)
        weight = torch.tensor(weights.mi, device=shown.device)
        if weights.mi > 0 and weights.mi_share > 0:
            weight = losses.share_weight(of_mi, gradient, weights.mi_share)
        if not counts:
            weight = torch.zeros_like(weight)
        share = weight * of_mi.norm() / gradient.norm().clamp(min=1e-30)
        whole = gradient + weight * of_mi
        more: dict[str, Tensor] = {}
        if self.amie.expert is not None:
            of_sync, more = self._of_expert(batch, shown, gradient)
            whole = whole + of_sync
        # Backward from here on is as from Eq. 13 itself: the chain rule at the frames.
        self.apply("g", (frames * whole).sum())
        return {
            "g": loss + weight * mi, "mi_generated": -mi, "lambda3": weight, "mi_share": share,
            "t_accuracy_generated": paired_accuracy(joint, marginal), **parts, **more,
        }  # fmt: skip

    def _of_expert(
        self, batch: Batch, shown: Tensor, gradient: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The expert's gradient at the frames, at its share of the others'; what it says of them
        and of real ones.
        """
        assert self.amie.expert is not None
        with torch.no_grad():
            real = sync_expert.heard(self.amie.expert, batch, batch.frames)
        made = sync_expert.heard(self.amie.expert, batch, shown)
        (of_sync,) = torch.autograd.grad(made.loss, shown)
        weight = losses.share_weight(of_sync, gradient, self.profile.loss.sync_share)
        return weight * of_sync, {
            "sync": made.loss, "sync_accuracy": made.accuracy,
            "sync_accuracy_real": real.accuracy, "lambda_sync": weight,
        }  # fmt: skip


class _Seen:
    """Frames of a step, real and generated, with their audio, flattened; some places or all."""

    def __init__(
        self, batch: Batch, frames: Tensor, chosen: Int[Tensor, " j"] | None = None
    ) -> None:
        def taken(every: Tensor) -> Tensor:
            return (every if chosen is None else every[:, chosen]).flatten(0, 1)

        self.real, self.generated = taken(batch.frames), taken(frames)
        self.windows, self.negatives = taken(batch.windows), taken(batch.negatives)
        count = frames.shape[1] if chosen is None else len(chosen)
        self.lip_boxes = batch.lip_boxes.repeat_interleave(count, 0)


METHOD = Method(generator_of, Amie, AmieStep)
