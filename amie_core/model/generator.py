"""Talking face generator (sec. 3.1): identity, audio and image encoders, frame decoder."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from amie_core.config import ModelConfig
from amie_core.model import composition
from amie_core.model.composition import Change
from amie_core.model.talker import LipBox, Talker


class Skips(NamedTuple):
    """What the decoder needs of a face's maps, the same for every frame made of that face."""

    joined: tuple[Tensor, ...]  # each level's share of the face's map, the coarsest first
    kernels: tuple[Tensor, ...]  # each level's kernel for what comes from below


class IdentityCode(NamedTuple):
    """What G keeps of a face: its encoder's skips, and what the decoder's output is laid over."""

    skips: Skips
    face: Float[Tensor, "b 3 s s"]
    region: Float[Tensor, "b 1 s s"] | None  # where it may be changed; None: everywhere


class GroupNorm(nn.GroupNorm):
    """GroupNorm in float32 whatever comes in: on a CPU two to five times faster than in bf16."""

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Normalised over each group's channels and places, in the type that came in."""
        return super().forward(input.float()).to(input.dtype)


class Convolution(nn.Sequential):
    """3×3 convolution, GroupNorm over 8-channel groups, LeakyReLU: the block all encoders share."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            GroupNorm(max(1, outputs // 8), outputs),
            nn.LeakyReLU(0.2, inplace=True),
        )

    @property
    def kernel(self) -> Float[Tensor, "o i 3 3"]:
        """Of the convolution."""
        return self[0].get_parameter("weight")

    def finish(self, convolved: Float[Tensor, "b o h w"]) -> Float[Tensor, "b o h w"]:
        """What comes after the convolution."""
        return self[2](self[1](convolved))


class ImageEncoder(nn.Module):
    """Stride-2 convolutions from the full frame down to 4×4 px (of 96 px, 6×6).

    The identity encoder keeps the maps of all levels as skips; the image encoder of the previous
    frame, and T's, use the last one alone.
    """

    def __init__(self, widths: tuple[int, ...], channels: int = 3) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [Convolution(channels, widths[0])]
            + [Convolution(a, b, stride=2) for a, b in zip(widths, widths[1:], strict=False)]
        )

    def forward(self, frame: Float[Tensor, "b c s s"]) -> tuple[Tensor, ...]:
        """Maps (b, width, size, size) from full resolution down to the coarsest."""
        maps = []
        x = frame * 2 - 1
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return tuple(maps)


class Spread(nn.Linear):
    """A code spread over the decoder's coarsest level."""

    def __init__(self, code: int, config: ModelConfig) -> None:
        super().__init__(code, config.widths()[-1] * config.coarsest**2)
        self.side = config.coarsest

    def forward(self, input: Float[Tensor, "*b e"]) -> Float[Tensor, "*b c q q"]:
        """The map of each code."""
        return super().forward(input).unflatten(-1, (-1, self.side, self.side))


class AudioEncoder(nn.Module):
    """Five convolution blocks over a 20×13 MFCC window and one linear layer to a code.

    `mean` and `std` (13 cepstra) standardise the window; training sets them from its own corpus.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(13))
        self.register_buffer("std", torch.ones(13))
        self.blocks = nn.Sequential(
            Convolution(1, width),
            Convolution(width, width * 2),
            Convolution(width * 2, width * 2, stride=2),  # 10×7
            Convolution(width * 2, width * 4),
            Convolution(width * 4, width * 4, stride=2),  # 5×4
        )
        self.head = nn.Linear(width * 4 * 5 * 4, embedding)

    def forward(self, window: Float[Tensor, "b 20 13"]) -> Float[Tensor, "b e"]:
        """Code of each window."""
        x = ((window - self.mean) / self.std).unsqueeze(1)
        return self.head(self.blocks(x).flatten(1))



def doubled(kernel: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "i o 4 4"]:
    """The transposed kernel of stride 2 that doubles a picture (nearest) and then convolves it.

    Of the nine products at a pixel of the doubled picture several see the same pixel of the small
    one; added up beforehand, they are four.
    """
    for axis in (2, 3):
        first, middle, last = kernel.unbind(axis)
        kernel = torch.stack([last, middle + last, first + middle, first], axis)
    return kernel.transpose(0, 1)


class FrameDecoder(nn.Module):
    """From the coarsest map up to the frame; each level joins the identity's map of its size.

    A level is a 3×3 convolution over the doubled picture from below and the identity's map side by
    side. It is linear, so the two are convolved apart: the map's share once for all frames of a
    face (`skips`), the doubled picture's as one transposed convolution.
    """

    def __init__(self, widths: tuple[int, ...], code: int, channels: int = 3) -> None:
        super().__init__()
        self.start = Convolution(code, widths[-1])  # the identity's last map first, then the rest
        self.levels = nn.ModuleList(
            Convolution(below + here, here)
            for below, here in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.out = nn.Conv2d(widths[0], channels, 3, 1, 1)
        nn.init.zeros_(self.out.weight)  # a residual decoder starts as the identity face
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def _levels(self) -> Iterator[Convolution]:
        return (cast(Convolution, level) for level in self.levels)  # a ModuleList forgets the class

    def kernels(self) -> tuple[Tensor, ...]:
        """Each level's kernel for the picture from below; doubling is folded in from the second on:
        the first level's picture is too small to gain by it."""
        found: list[Tensor] = []
        for level in self._levels():
            kernel = level.kernel
            kernel = kernel[:, : kernel.shape[1] - kernel.shape[0]]
            if found:
                kernel = doubled(kernel)
            found.append(kernel.contiguous(memory_format=torch.channels_last))
        return tuple(found)

    def skips(self, maps: tuple[Tensor, ...], kernels: tuple[Tensor, ...] | None = None) -> Skips:
        """What frames take of a face's maps (b, width, size, size), full resolution first.

        kernels: of `kernels`, where the caller has them; they do not depend on the face.
        """
        last = maps[-1]
        joined = [F.conv2d(last, self.start.kernel[:, : last.shape[1]], None, 1, 1)]
        for level, here in zip(self._levels(), maps[-2::-1], strict=True):
            joined.append(F.conv2d(here, level.kernel[:, -here.shape[1] :], None, 1, 1))
        return Skips(tuple(joined), self.kernels() if kernels is None else kernels)

    def forward(self, code: Float[Tensor, "b c q q"], skips: Skips) -> Tensor:
        """Unbounded values (b, channels, s, s): colours, then movement where asked for.

        code: what joins the identity's last map.
        """
        first, *joined = skips.joined
        kernel = self.start.kernel[:, -code.shape[1] :]
        x = self.start.finish(F.conv2d(code, kernel, None, 1, 1) + first)
        for level, kernel, here in zip(self._levels(), skips.kernels, joined, strict=True):
            if kernel.shape[-1] == 3:
                x = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), kernel, None, 1, 1)
            else:
                x = F.conv_transpose2d(x, kernel, None, 2, 1)
            x = level.finish(x + here)
        return self.out(x)


class Generator(Talker):
    """G: f̂_i from the (attended) identity face, the frame's audio window and f̂_{i−1}.

    The identity path is separate from the rest (`identity`), so that it runs once a clip.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths()
        self.identity_encoder = ImageEncoder(widths)
        self.image_encoder = ImageEncoder(tuple(max(8, w // 2) for w in widths))
        self.audio_encoder = AudioEncoder(config.audio_width, config.embedding)
        self.spread = Spread(config.embedding, config)
        channels = {"warp": 5, "landmarks": 6}.get(config.compose, 3)
        code = widths[-1] * 2 + max(8, widths[-1] // 2)
        self.decoder = FrameDecoder(widths, code, channels)

    def identity(
        self,
        face: Float[Tensor, "b 3 s s"],
        lip_boxes: Int[Tensor, "b 4"] | None = None,
        attention: Float[Tensor, "b 1 s s"] | None = None,
        kernels: tuple[Tensor, ...] | None = None,
    ) -> IdentityCode:
        """Everything G keeps of the identity face.

        lip_boxes: where the mouths are, in 256ths (top, bottom, left, right), for a composed frame;
        the template's where None. attention: the mask M that the face is seen through (sec. 3.3);
        the frame is laid over the face itself, whatever the encoder saw of it. kernels: the
        decoder's, where the caller has them.
        """
        seen = face if attention is None else face * attention
        skips = self.decoder.skips(self.identity_encoder(seen), kernels)
        if self.config.compose == "none":
            return IdentityCode(skips, face, None)
        if lip_boxes is None:
            lip_boxes = torch.tensor([composition.TEMPLATE_LIP_BOX] * len(face), device=face.device)
        return IdentityCode(skips, face, composition.region(lip_boxes, face.shape[-1]))

    def audio(self, windows: Float[Tensor, "b 20 13"]) -> Float[Tensor, "b c q q"]:
        """The sound on the coarsest level; windows of many frames can be encoded in one pass."""
        code = F.leaky_relu(self.audio_encoder(windows), 0.2)
        return self.spread(code)

    def decode(
        self,
        identity: IdentityCode,
        audio: Float[Tensor, "b c q q"],
        previous: Float[Tensor, "b 3 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """One frame from the three codes; `previous` is the frame itself."""
        return self.compose(identity, self.change(identity, audio, previous))

    def compose(self, identity: IdentityCode, made: Change) -> Float[Tensor, "b 3 s s"]:
        """The frame of a change. Not clamped."""
        # clamp would cut the gradient off outside [0, 1]; the loss does not need the bound
        if self.config.residual or identity.region is not None:
            return composition.apply(identity.face, made)
        return torch.sigmoid(made.colours)

    def change(
        self,
        identity: IdentityCode,
        audio: Float[Tensor, "b c q q"],
        previous: Float[Tensor, "b 3 s s"],
    ) -> Change:
        """What the frame changes of the identity face."""
        code = torch.cat([audio, self.image_encoder(previous)[-1]], dim=1)
        raw = self.decoder(code, identity.skips).float()
        if identity.region is None:
            return Change(raw, None)
        return composition.change(raw, identity.region)

    def forward(
        self,
        identity: IdentityCode,
        windows: Float[Tensor, "b 20 13"],
        previous: Float[Tensor, "b 3 s s"],
    ) -> Float[Tensor, "b 3 s s"]:
        """f̂_i (sec. 3.1)."""
        return self.decode(identity, self.audio(windows), previous)

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 13"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Autoregressive: see `changes`."""
        for frame, _ in self.changes(face, windows):
            yield frame

    def changes(
        self,
        face: Float[Tensor, "1 3 s s"],
        windows: Iterable[Float[Tensor, "_ 20 13"]],
        lip_box: LipBox | None = None,
    ) -> Iterator[tuple[Float[Tensor, "1 3 s s"], Change]]:
        """Every frame sees G's own last frame, the first sees I_f.

        The identity is encoded once; the attention rate of inference is 1, as at the end of
        training (sec. 3.3).
        """
        boxes = torch.tensor([lip_box or composition.TEMPLATE_LIP_BOX], device=face.device)
        code, previous = self.identity(face, boxes), face
        around = composition.region(boxes, face.shape[-1])
        for chunk in windows:
            for one in self.audio(chunk):
                made = self.change(code, one[None], previous)
                previous = self.compose(code, made).clamp(0, 1)
                whole = code.region is None
                yield previous, Change((previous - face) * around, None) if whole else made
