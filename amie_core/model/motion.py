"""Sound to the movement of a mouth, in units of the face's own mouth (`compose="landmarks"`).

Not in the paper (`paper.LEDGER`: changed). A mouth's movement is what its landmarks do relative to
the same mouth at rest, divided by its width: nothing of it depends on how a face looks, so it can
be learnt from few faces and laid on any. How large they are is told apart (`model.voices`).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from amie_core.config import WINDOW
from amie_core.data.audio import HOPS, Hears
from amie_core.model.lips import MOVED
from amie_core.model.speech_embedding import HEARD, REACH, SpeechEmbedding
from amie_core.model.voices import VOICES, Voices

COEFFICIENTS = 6
CONTEXT = 8  # frames before and after one that help to say how it moves: 0.3 s
WIDTH = 128  # channels
UNTOLD = 0.3  # share of what a speech embedding tells that is left out in training


class ChannelNorm(nn.LayerNorm):
    """Over the channels of each hop alone, so that a window's code does not depend on others."""

    def forward(self, input: Float[Tensor, "b c t"]) -> Float[Tensor, "b c t"]:
        """Normalised over c."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class _Around(nn.Module):
    """Adds to a frame's code what the two frames at either side tell."""

    def __init__(self, width: int, drop: float) -> None:
        super().__init__()
        self.told = nn.Sequential(
            nn.Conv1d(width, width, 5), ChannelNorm(width), nn.GELU(), nn.Dropout1d(drop)
        )

    def forward(self, codes: Float[Tensor, "b c n"]) -> Float[Tensor, "b c _"]:
        """Two frames fewer at either end."""
        return codes[:, :, 2:-2] + self.told(codes)


class _Told(nn.Module):
    """Adds to a frame's code what a frozen speech embedding hears around it."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, drop: float) -> None:
        super().__init__()
        self.embedding = SpeechEmbedding()
        self.register_buffer("mean", torch.zeros(HEARD, 1))
        self.register_buffer("deviation", torch.ones(HEARD, 1))
        self.taken = nn.Sequential(
            nn.Dropout1d(UNTOLD), nn.Conv1d(HEARD, width, 1), ChannelNorm(width), nn.GELU(),
            nn.Dropout1d(drop),
        )  # fmt: skip

    def heard(self, bands: Float[Tensor, "b t 32"]) -> Float[Tensor, "b 192 n"]:
        """Of the frames whose 20 hops have REACH frames more at either side."""
        return self.embedding(bands[:, 1:])

    def forward(self, bands: Float[Tensor, "b t 32"]) -> Float[Tensor, "b c n"]:
        """What it adds, from 4 (n + 2 REACH) + 16 rows."""
        with torch.no_grad():
            heard = self.heard(bands)
        return self.taken((heard - self.mean) / self.deviation)


class Motion(nn.Module):
    """MFCC windows, and speech bands beside them, to coefficients of a mouth's movement.

    Convolutions over 20 hops without padding, of stride 4 in all: rows of a whole clip and its
    windows one by one give the same numbers. Then convolutions over the frames around: a mouth
    opens before its vowel is heard, and stays open for the next one. `context`: frames before and
    after one that are heard with it.
    """

    mean: Tensor
    std: Tensor
    basis: Tensor
    voice_means: Tensor
    voice_whiten: Tensor
    voice_sizes: Tensor

    def __init__(
        self, width: int = WIDTH, drop: float = 0.15, context: int = CONTEXT, speech: bool = False
    ) -> None:
        """context: frames at either side, an even number; speech: a speech embedding's are more."""
        super().__init__()
        self.told = _Told(width, drop) if speech else None
        self.context = context + (REACH if speech else 0)
        self.register_buffer("mean", torch.zeros(13))
        self.register_buffer("std", torch.ones(13))
        # Displacements, in mouth widths, of a movement whose opening has the deviation 1.
        self.register_buffer("basis", torch.zeros(COEFFICIENTS, 2 * len(MOVED)))
        for name, shape in (("means", (VOICES, 24)), ("whiten", (24, 24)), ("sizes", (VOICES,))):
            self.register_buffer(f"voice_{name}", torch.zeros(shape))
        parts: list[nn.Module] = []
        inputs = 13
        for kernel, stride in ((5, 1), (4, 2), (3, 2), (3, 1)):
            parts += [nn.Conv1d(inputs, width, kernel, stride), ChannelNorm(width), nn.GELU(),
                      nn.Dropout1d(drop)]  # fmt: skip
            inputs = width
        self.body = nn.Sequential(*parts)
        self.around = nn.Sequential(*(_Around(width, drop) for _ in range(context // 2)))
        self.what = nn.Conv1d(width, COEFFICIENTS, 1)

    def heard(self, hops: Float[Tensor, "b t rows"]) -> Float[Tensor, "b c n"]:
        """What is heard in each frame's window, from 4n + 16 rows of cepstra; with a speech
        embedding from 4 (n + 2 REACH) + 16 of cepstra and speech bands.
        """
        beyond = 0 if self.told is None else HOPS * REACH
        own = hops[:, beyond : hops.shape[1] - beyond, : WINDOW[1]]
        codes = self.body(((own - self.mean) / self.std).transpose(1, 2))
        return codes if self.told is None else codes + self.told(hops[..., WINDOW[1] :])

    def codes(self, hops: Float[Tensor, "b t rows"]) -> Float[Tensor, "b c n"]:
        """A code for each frame, from 4 (n + 2 context) + 16 rows."""
        return self.around(self.heard(hops))

    def coefficients(self, codes: Float[Tensor, "b c n"]) -> Float[Tensor, "b n 6"]:
        """Of the movement, for an opening of deviation 1."""
        return self.what(codes).transpose(1, 2)

    def said(self, windows: Float[Tensor, "_ 20 c"]) -> Float[Tensor, "n 31 2"]:
        """`displacements` of frames in a row: their windows overlap, each hop is heard once."""
        rows = torch.cat([windows[0], windows[1:, -HOPS:].flatten(0, 1)])
        return self.displacements(self.coefficients(self.codes(rows[None])))[0]

    @property
    def hears(self) -> Hears:
        """What its rows hold (`data.store.rows`)."""
        return "cepstra" if self.told is None else "speech"

    def voices(self) -> Voices:
        """Those that it knows."""
        return Voices(*(getattr(self, f"voice_{name}").cpu().numpy() for name in Voices._fields))

    def displacements(self, coefficients: Float[Tensor, "*n 6"]) -> Float[Tensor, "*n 31 2"]:
        """Of the landmarks MOVED from where they are at rest, in mouth widths."""
        return (coefficients @ self.basis).unflatten(-1, (-1, 2))
