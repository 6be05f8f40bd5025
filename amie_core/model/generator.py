"""Talking face generator (sec. 3.1): identity, audio and image encoders, frame decoder."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from amie_core.config import ModelConfig
from amie_core.model import composition
from amie_core.model.composition import Change
from amie_core.model.talker import LipBox, Talker


class IdentityCode(NamedTuple):
    """What G keeps of a face: its encoder's maps, and what the decoder's output is laid over."""

    maps: tuple[Tensor, ...]
    face: Float[Tensor, "b 3 s s"]
    region: Float[Tensor, "b 1 s s"] | None  # where it may be changed; None: everywhere


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, GroupNorm over 8-channel groups, LeakyReLU: the block all encoders share."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.GroupNorm(max(1, outputs // 8), outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )


class ImageEncoder(nn.Module):
    """Stride-2 convolutions from the full frame down to 4×4 px.

    The identity encoder keeps the maps of all levels as skips; the image encoder of the previous
    frame, and T's, use the last one alone.
    """

    def __init__(self, widths: tuple[int, ...], channels: int = 3) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            [convolution(channels, widths[0])]
            + [convolution(a, b, stride=2) for a, b in zip(widths, widths[1:], strict=False)]
        )

    def forward(self, frame: Float[Tensor, "b c s s"]) -> tuple[Tensor, ...]:
        """Maps (b, width, size, size) from full resolution down to 4×4."""
        maps = []
        x = frame * 2 - 1
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return tuple(maps)


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
            convolution(1, width),
            convolution(width, width * 2),
            convolution(width * 2, width * 2, stride=2),  # 10×7
            convolution(width * 2, width * 4),
            convolution(width * 4, width * 4, stride=2),  # 5×4
        )
        self.head = nn.Linear(width * 4 * 5 * 4, embedding)

    def forward(self, window: Float[Tensor, "b 20 13"]) -> Float[Tensor, "b e"]:
        """Code of each window."""
        x = ((window - self.mean) / self.std).unsqueeze(1)
        return self.head(self.blocks(x).flatten(1))


class FrameDecoder(nn.Module):
    """From the 4×4 code up to the frame; each level joins the identity's map of its size."""

    def __init__(self, widths: tuple[int, ...], code: int, channels: int = 3) -> None:
        super().__init__()
        self.start = convolution(code, widths[-1])
        self.levels = nn.ModuleList(
            convolution(below + here, here)
            for below, here in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.out = nn.Conv2d(widths[0], channels, 3, 1, 1)
        nn.init.zeros_(self.out.weight)  # a residual decoder starts as the identity face
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, code: Float[Tensor, "b c 4 4"], skips: tuple[Tensor, ...]) -> Tensor:
        """Unbounded values (b, channels, s, s): colours, then movement where asked for."""
        x = self.start(code)
        for level, skip in zip(self.levels, skips[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([x, skip], dim=1))
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
        self.spread = nn.Linear(config.embedding, 16 * widths[-1])  # audio code -> 4×4 map
        channels = 5 if config.compose == "warp" else 3
        self.decoder = FrameDecoder(widths, widths[-1] * 2 + max(8, widths[-1] // 2), channels)

    def identity(
        self,
        face: Float[Tensor, "b 3 s s"],
        lip_boxes: Int[Tensor, "b 4"] | None = None,
        attention: Float[Tensor, "b 1 s s"] | None = None,
    ) -> IdentityCode:
        """Everything G keeps of the identity face.

        lip_boxes: where the mouths are, in 256ths (top, bottom, left, right), for a composed frame;
        the template's where None. attention: the mask M that the face is seen through (sec. 3.3);
        a composed frame is laid over the face itself, whatever the encoder saw of it.
        """
        seen = face if attention is None else face * attention
        maps = self.identity_encoder(seen)
        if self.config.compose == "none":
            return IdentityCode(maps, seen, None)
        if lip_boxes is None:
            lip_boxes = torch.tensor([composition.TEMPLATE_LIP_BOX] * len(face), device=face.device)
        return IdentityCode(maps, face, composition.region(lip_boxes, face.shape[-1]))

    def audio(self, windows: Float[Tensor, "b 20 13"]) -> Float[Tensor, "b c 4 4"]:
        """4×4 map of the audio; windows of many frames can be encoded in one pass."""
        code = F.leaky_relu(self.audio_encoder(windows), 0.2)
        return self.spread(code).unflatten(1, (-1, 4, 4))

    def decode(
        self,
        identity: IdentityCode,
        audio: Float[Tensor, "b c 4 4"],
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
        audio: Float[Tensor, "b c 4 4"],
        previous: Float[Tensor, "b 3 s s"],
    ) -> Change:
        """What the frame changes of the identity face."""
        last = torch.cat([identity.maps[-1], audio, self.image_encoder(previous)[-1]], dim=1)
        raw = self.decoder(last, identity.maps).float()
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
