"""DAVS: H. Zhou, Y. Liu, Z. Liu, P. Luo, X. Wang, "Talking Face Generation by Adversarially
Disentangled Audio-Visual Representation", AAAI 2019.

Kept: a person space and a speech space. The person encoder sees the identity face and hands its
maps to the decoder; the speech encoders for video and for audio share one space, made by a shared
classifier and a contrastive loss; the decoder makes the frame from [person ⊕ speech], from either
modality. Adversarial classifiers look for the speech in the person code and for the person in the
speech codes, and the encoders learn to leave them with nothing better than the uniform guess.
L1 with the mouth weighted; a GAN on frames and their motion.

Simplified, and why:
- 500 word labels of LRW -> 32 classes of sound, by loudness and the shape of the spectrum in the
  middle of the window (`sound_class`): a window of 0.2 s has no word label, and LRW's are not in
  other corpora; so the classes are phonetic rather than lexical;
- person labels by a separate face-recognition corpus -> the speakers of the training split, at
  most 64 classes: no other corpus is shipped. LRW names no speakers: there nothing looks for the
  person, and speech codes are not kept free of who speaks;
- two discriminators, frame and sequence -> one that sees a frame and its change from the one
  before it; a third of the cost, and windows are four frames long;
- temporal L1 outside the mouth -> L1 over the whole frame, which holds it still as well;
- a frame of its own -> added to the identity face: every method begins from the same picture;
- video-driven frames are `train.judged` of each window, audio-driven ones all: what is evaluated;
- 256 px, VGG-M-like encoders, three training stages -> the shared compact encoders, one stage.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Tensor, nn

from amie_core import losses
from amie_core.config import ModelConfig, Profile
from amie_core.model.generator import AudioEncoder, FrameDecoder, ImageEncoder, Spread
from amie_core.peers.parts import PictureDiscriminator, WindowTalker, decode_frames
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch

SOUNDS, PERSONS = 32, 64
MARGIN = 1.0  # of the contrastive loss, on codes of length 1
GAN, CLASSIFY, CONTRAST, DISENTANGLE = 0.02, 0.05, 0.1, 0.05
QUARTILES = (-0.674, 0.0, 0.674)  # of a normal variable


def sound_class(
    windows: Float[Tensor, "n 20 13"], mean: Float[Tensor, "13"], std: Float[Tensor, "13"]
) -> Int[Tensor, " n"]:
    """Class 0 … 31 of what is heard in the middle 40 ms: quarters of c0 and c1, halves of c2."""
    middle = ((windows[:, 8:12].mean(1) - mean) / std)[:, :3].contiguous()
    quarter = torch.bucketize(middle, torch.tensor(QUARTILES, device=middle.device))
    return quarter[:, 0] * 8 + quarter[:, 1] * 2 + (middle[:, 2] > 0).long()


def person_class(speakers: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Class 0 … 63 of a speaker's number; -1 where nobody says who it is."""
    return torch.where(speakers < 0, -1, speakers % PERSONS)


def named_person(told: Float[Tensor, "n 64"], persons: Int[Tensor, " n"]) -> Float[Tensor, ""]:
    """Cross-entropy of what a classifier says of the persons that are known; 0 where none is."""
    known = (persons >= 0).sum().clamp(min=1)
    return F.cross_entropy(told.float(), persons, ignore_index=-1, reduction="sum") / known


def contrastive(
    a: Float[Tensor, "n e"], b: Float[Tensor, "n e"], other: Float[Tensor, "n e"]
) -> Float[Tensor, ""]:
    """Codes a and b of one moment together, a and that of another moment `MARGIN` apart."""
    a, b, other = (F.normalize(code.float(), dim=1) for code in (a, b, other))
    near = (a - b).square().sum(1)
    apart = F.relu(MARGIN - ((a - other).square().sum(1) + 1e-6).sqrt()).square()
    return 0.5 * (near + apart).mean()


def confusion(logits: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
    """Cross-entropy from the uniform guess, less its least value: 0 where nothing is told."""
    return -logits.float().log_softmax(1).mean() - float(np.log(logits.shape[1]))


class Davs(WindowTalker):
    """Frame from person and speech code."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        widths = config.widths()
        self.person_encoder = ImageEncoder(widths)
        self.audio_encoder = AudioEncoder(config.audio_width, config.embedding)
        self.spread = Spread(config.embedding, config)
        self.decoder = FrameDecoder(widths, 2 * widths[-1])

    def decode(
        self,
        face: Float[Tensor, "b 3 s s"],
        person: tuple[Tensor, ...],
        speech: Float[Tensor, "b k e"],
    ) -> Float[Tensor, "b k 3 s s"]:
        """Frames from [person ⊕ speech], the speech heard or seen; not clamped."""
        codes = self.spread(F.leaky_relu(speech, 0.2))
        return face[:, None] + decode_frames(self.decoder, person, codes)

    def forward(
        self, face: Float[Tensor, "b 3 s s"], windows: Float[Tensor, "b k 20 13"]
    ) -> Float[Tensor, "b k 3 s s"]:
        """Audio-driven frames."""
        speech = self.audio_encoder(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])
        return self.decode(face, self.person_encoder(face), speech)


class DavsNetworks(Networks):
    """The generator, the video's speech encoder, classifiers, their adversaries, D."""

    generator: Davs
    averaged: Davs

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        config = profile.model
        self.generator = Davs(config)
        self.video_encoder = PictureDiscriminator(config, config.embedding)
        self.speech_of = nn.Linear(config.embedding, SOUNDS)  # shared by both modalities
        flat = config.widths()[-1] * config.coarsest**2
        self.person_code = nn.Linear(flat, config.embedding)
        self.person_of = nn.Linear(config.embedding, PERSONS)
        self.speech_in_person = _classifier(config.embedding, SOUNDS)  # the adversaries
        self.person_in_speech = _classifier(config.embedding, PERSONS)
        self.discriminator = PictureDiscriminator(config, 1, channels=6)
        self.average()


def _classifier(inputs: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, inputs), nn.LeakyReLU(0.2), nn.Linear(inputs, classes))


class DavsStep(MethodStep):
    """D, then the adversaries, then encoders, decoder and classifiers."""

    networks: DavsNetworks

    def __init__(self, profile: Profile, networks: DavsNetworks, fabric: Fabric, seed: int) -> None:
        super().__init__(profile, networks, fabric, seed)
        n = networks
        self.adversaries = nn.ModuleList([n.speech_in_person, n.person_in_speech])
        learnt = [n.generator, n.video_encoder, n.speech_of, n.person_code, n.person_of]
        self.optimizers = {
            "g": self.adam(p for module in learnt for p in module.parameters()),
            "c": self.adam(self.adversaries.parameters()),
            "d": self.adam(n.discriminator.parameters()),
        }

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """One step of all three players."""
        n, t = self.networks, self.profile.train
        g, k = n.generator, t.unroll
        judged = torch.as_tensor(np.sort(random.choice(k, min(t.judged, k), replace=False)))
        chosen = batch.frames[:, judged]
        pair = chosen.shape[:2]
        with self.fabric.autocast():
            maps = g.person_encoder(batch.identity)
            everything = torch.cat([batch.windows, batch.negatives[:, judged]], 1)
            sound = g.audio_encoder(everything.flatten(0, 1)).unflatten(0, everything.shape[:2])
            heard, other = sound[:, :k], sound[:, k:].flatten(0, 1)
            seen = n.video_encoder(chosen.flatten(0, 1))
            frames = g.decode(batch.identity, maps, heard)
            from_video = g.decode(batch.identity, maps, seen.unflatten(0, pair))
            who = n.person_code(maps[-1].flatten(1))
        audio = heard[:, judged].flatten(0, 1)
        speech = torch.cat([audio, seen])
        mean, std = g.audio_encoder.mean, g.audio_encoder.std
        sounds = sound_class(batch.windows[:, judged].flatten(0, 1), mean, std).repeat(2)
        own_sound = sound_class(batch.identity_windows, mean, std)
        person = person_class(batch.speakers)
        persons = person[:, None].expand(pair).flatten().repeat(2)
        log = self._update_d(batch, frames, judged)
        log |= self._update_adversaries(who.detach(), own_sound, speech.detach(), persons)

        real, made = batch.frames.flatten(0, 1), frames.flatten(0, 1)
        boxes = batch.lip_boxes.repeat_interleave(k, 0)
        boxes_seen = batch.lip_boxes.repeat_interleave(pair[1], 0)
        self._freeze(True)
        with self.fabric.autocast():
            fooled = n.discriminator(_motion(frames, batch.before, judged)).squeeze(1)
            in_person, in_speech = n.speech_in_person(who), n.person_in_speech(speech)
            spoken, named = n.speech_of(speech), n.person_of(who)
        self._freeze(False)
        lip = losses.lip(real, made, boxes)
        pixel = F.l1_loss(made, real)
        seen_lip = losses.lip(chosen.flatten(0, 1), from_video.flatten(0, 1), boxes_seen)
        parts = {
            "classes": F.cross_entropy(spoken.float(), sounds)
            + named_person(named, person),
            "contrast": contrastive(seen, audio, other),
            "confusion": confusion(in_person) + confusion(in_speech) * (persons >= 0).any(),
            "gan": losses.gan_generator(fooled),
        }
        weights = (CLASSIFY, CONTRAST, DISENTANGLE, GAN)
        w = self.profile.loss
        loss = w.lip * (lip + 0.5 * seen_lip) + w.pixel * (
            pixel + 0.5 * F.l1_loss(from_video, chosen)
        )
        loss = loss + sum(x * part for x, part in zip(weights, parts.values(), strict=True))
        self.apply("g", loss)
        return log | parts | {"g": loss, "lip": lip, "lip_from_video": seen_lip, "pixel": pixel}

    def _freeze(self, frozen: bool) -> None:
        """The opponents get no gradient from the generator's step."""
        self.adversaries.requires_grad_(not frozen)
        self.networks.discriminator.requires_grad_(not frozen)

    def _update_d(
        self, batch: Batch, frames: Tensor, judged: Int[Tensor, " j"]
    ) -> dict[str, Tensor]:
        both = [_motion(f, batch.before, judged) for f in (batch.frames, frames.detach())]
        with self.fabric.autocast():
            logits = self.networks.discriminator(torch.cat(both)).squeeze(1)
        real, made = logits.chunk(2)
        loss = losses.gan_discriminator(real, made)
        self.apply("d", loss)
        return {"d": loss, "d_accuracy": torch.cat([real > 0, made < 0]).float().mean()}

    def _update_adversaries(
        self, who: Tensor, own_sound: Tensor, speech: Tensor, persons: Tensor
    ) -> dict[str, Tensor]:
        with self.fabric.autocast():
            in_person = self.networks.speech_in_person(who)
            in_speech = self.networks.person_in_speech(speech)
        told = named_person(in_speech, persons)
        loss = F.cross_entropy(in_person.float(), own_sound) + told
        self.apply("c", loss)
        accuracy = (in_speech.argmax(1) == persons).float().mean()
        return {"adversaries": loss, "person_in_speech": accuracy}


def _motion(
    frames: Float[Tensor, "b k 3 s s"],
    before: Float[Tensor, "b 3 s s"],
    judged: Int[Tensor, " j"],
) -> Float[Tensor, "n 6 s s"]:
    """The judged frames, each with its change from the frame before (half size of colours)."""
    change = (frames - torch.cat([before[:, None], frames[:, :-1]], 1)) + 0.5
    return torch.cat([frames, change], 2)[:, judged].flatten(0, 1)


METHOD = Method(Davs, DavsNetworks, DavsStep)
