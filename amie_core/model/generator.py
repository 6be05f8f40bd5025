"""Talking face generator (sec. 3.1): identity, audio and image encoders, frame decoder."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import ModelConfig

IdentityCode = tuple[Tensor, ...]


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

    def forward(self, code: Float[Tensor, "b c 4 4"], skips: IdentityCode) -> Tensor:
        """Unbounded colours (b, channels, s, s)."""
        x = self.start(code)
        for level, skip in zip(self.levels, skips[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = level(torch.cat([x, skip], dim=1))
        return self.out(x)


class Talker(nn.Module):
    """What the generator of every method can do: speak a face."""

    def roll(
        self, face: Float[Tensor, "1 3 s s"], windows: Iterable[Float[Tensor, "_ 20 13"]]
    ) -> Iterator[Float[Tensor, "_ 3 s s"]]:
        """Frames in [0, 1], one a window, from an aligned face; `windows` comes in chunks."""
        raise NotImplementedError


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
        self.decoder = FrameDecoder(widths, widths[-1] * 2 + max(8, widths[-1] // 2))

    def identity(self, face: Float[Tensor, "b 3 s s"]) -> IdentityCode:
        """Everything G keeps of the identity face: its encoder's maps and the face itself."""
        return (*self.identity_encoder(face), face)

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
        *maps, face = identity
        code = torch.cat([maps[-1], audio, self.image_encoder(previous)[-1]], dim=1)
        colours = self.decoder(code, tuple(maps)).float()
        # clamp would cut the gradient off outside [0, 1]; the loss does not need the bound
        return face + colours if self.config.residual else torch.sigmoid(colours)

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
        """Autoregressive: every frame sees G's own last frame, the first sees I_f.

        The identity is encoded once; the attention rate of inference is 1, as at the end of
        training (sec. 3.3).
        """
        code, previous = self.identity(face), face
        for chunk in windows:
            for one in self.audio(chunk):
                previous = self.decode(code, one[None], previous).clamp(0, 1)
                yield previous


@torch.inference_mode()
def roll_out(
    generator: Talker,
    face: Float[Tensor, "3 s s"],
    windows: Iterable[Float[np.ndarray, "_ 20 13"]],
) -> Iterator[np.ndarray]:
    """The face speaks: one (s, s, 3) uint8 RGB frame a window, as the method's own `roll` has it.

    `windows` comes in chunks of any length; no more than a chunk is kept in memory.
    """
    generator.eval()
    device = next(generator.parameters()).device
    face = face.to(device)[None].contiguous(memory_format=torch.channels_last)
    heard = (torch.as_tensor(np.asarray(chunk), device=device) for chunk in windows)
    for frames in generator.roll(face, heard):
        pictures = frames.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1)
        yield from pictures.cpu().contiguous().numpy()
