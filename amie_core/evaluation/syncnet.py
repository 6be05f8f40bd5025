"""LSE-D and LSE-C (Prajwal et al. 2020) by the SyncNet of Chung and Zisserman (2016).

Its weights may not be shipped: they are read from a file that the user has (`syncnet_v2.model` of
the authors' page), a plain state dict, without unpickling anything but tensors.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from torch import Tensor, nn

from amie_core.config import SAMPLE_RATE
from amie_core.data.alignment import scale
from amie_core.data.store import PreparedClip
from amie_core.errors import UserError

SIZE, SPAN, REACH = 224, 5, 15  # px; frames seen at once; frames of offset searched to each side
ABSENT = "SyncNet's weights were not given (amie evaluate --syncnet FILE)"
DEFINITIONS = {
    "lse_d": "least mean distance of SyncNet's embeddings of 5 frames and their sound over offsets "
    "-15 … 15; frames are the aligned faces at 224², whose framing is near SyncNet's own crop but "
    "not equal to it",
    "lse_c": "median over the offsets less lse_d: SyncNet's confidence",
}


class Lse(NamedTuple):
    """Distance (lower is better), confidence (higher is better), best offset in frames."""

    distance: float
    confidence: float
    offset: int


def _block(layer: nn.Module, norm: nn.Module, *pool: nn.Module) -> list[nn.Module]:
    return [layer, norm, nn.ReLU(), *pool]


class SyncNet(nn.Module):
    """The published layers under the names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        conv, norm, pool = nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d
        self.netcnnaud = nn.Sequential(
            *_block(conv(1, 64, 3, 1, 1), norm(64), pool(1, 1)),
            *_block(conv(64, 192, 3, 1, 1), norm(192), pool(3, (1, 2))),
            *_block(conv(192, 384, 3, 1, 1), norm(384)),
            *_block(conv(384, 256, 3, 1, 1), norm(256)),
            *_block(conv(256, 256, 3, 1, 1), norm(256), pool(3, 2)),
            *_block(conv(256, 512, (5, 4)), norm(512)),
        )
        conv3, norm3, pool3 = nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d
        flat, near, half = (1, 3, 3), (0, 1, 1), (1, 2, 2)
        self.netcnnlip = nn.Sequential(
            *_block(conv3(3, 96, (5, 7, 7), half), norm3(96), pool3(flat, half)),
            *_block(conv3(96, 256, (1, 5, 5), half, near), norm3(256), pool3(flat, half, near)),
            *_block(conv3(256, 256, flat, 1, near), norm3(256)),
            *_block(conv3(256, 256, flat, 1, near), norm3(256)),
            *_block(conv3(256, 256, flat, 1, near), norm3(256), pool3(flat, half)),
            *_block(conv3(256, 512, (1, 6, 6)), norm3(512)),
        )
        self.netfcaud, self.netfclip = (
            nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))
            for _ in range(2)
        )

    def hear(self, cepstra: Float[Tensor, "b 1 13 20"]) -> Float[Tensor, "b 1024"]:
        """Embeddings of 0.2 s of sound."""
        return self.netfcaud(self.netcnnaud(cepstra).flatten(1))

    def see(self, frames: Float[Tensor, "b 3 5 224 224"]) -> Float[Tensor, "b 1024"]:
        """Embeddings of five BGR frames, 0 … 255."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))


def load(path: str | Path) -> SyncNet:
    """SyncNet with the weights of a state dict (UserError: absent, damaged, of another network)."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give SyncNet's weights (syncnet_v2.model)")
    net = SyncNet()
    try:
        weights: Any = torch.load(path, map_location="cpu", weights_only=True)
        absent = net.load_state_dict(weights, strict=False)
        # Counters of batches are newer than the published file, and mean nothing here.
        lacking = [name for name in absent.missing_keys if "num_batches" not in name]
        if lacking or absent.unexpected_keys:
            first = next(iter(lacking or absent.unexpected_keys))
            raise ValueError(f"it lacks {first}" if lacking else f"it has {first}")
    except Exception as error:  # torch.load has no list of what it raises on damaged files
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not SyncNet's weights ({first[:120]})") from None
    return net.eval().requires_grad_(False)


def cepstra(wave: Int16[np.ndarray, " n"]) -> Float[np.ndarray, "hops 13"]:
    """The MFCC that SyncNet was trained on: 25 ms frames each 10 ms, no window, 26 mel bands.

    Pre-emphasis 0.97, cepstra liftered by 22, the first replaced by the log energy; the wave in
    16-bit units. As in python_speech_features' defaults, whose values a test holds.
    """
    from scipy.fft import dct

    length, hop, size, bands = 400, 160, 512, 26
    signal = wave.astype(np.float64)
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    count = 1 + max(0, -(-(len(signal) - length) // hop))
    signal = np.pad(signal, (0, max(0, (count - 1) * hop + length - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop][:count]
    power = np.abs(np.fft.rfft(frames, size)) ** 2 / size
    tiny = np.finfo(float).eps
    energy = np.maximum(power.sum(1), tiny)
    mel = np.linspace(0, 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700), bands + 2)
    edges = np.floor((size + 1) * 700 * (10 ** (mel / 2595) - 1) / SAMPLE_RATE)
    bins = np.arange(size // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - low) / np.maximum(centre - low, 1)
    falling = (high - bins) / np.maximum(high - centre, 1)
    inside = (bins >= low) & (bins < high)
    bank = np.where(bins < centre, rising, falling) * inside
    found = dct(np.log(np.maximum(power @ bank, tiny)), type=2, axis=1, norm="ortho")[:, :13]
    found *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    found[:, 0] = np.log(energy)
    return found.astype(np.float32)


@torch.inference_mode()
def lse(
    net: SyncNet, frames: UInt8[np.ndarray, "n s s 3"], audio: Int16[np.ndarray, " samples"]
) -> Lse | None:
    """LSE of RGB frames with their 16 kHz sound, which starts with the first of them.

    Sound beyond the clip's ends embeds as zeros, as in the published script. None where the clip
    is shorter than six frames.
    """
    last = min(len(frames), len(audio) // 640) - SPAN
    if last < 1:
        return None
    pictures = np.stack([scale(frame, SIZE)[..., ::-1] for frame in frames])
    video = torch.from_numpy(pictures).permute(3, 0, 1, 2)
    heard = torch.from_numpy(cepstra(audio).T.copy())
    seen, sounds = [], []
    for first in range(0, last, 10):
        some = range(first, min(first + 10, last))
        seen.append(net.see(torch.stack([video[:, i : i + SPAN] for i in some]).float()))
        sounds.append(net.hear(torch.stack([heard[None, :, 4 * i : 4 * i + 20] for i in some])))
    face = torch.cat(seen)
    line = torch.nn.functional.pad(torch.cat(sounds), (0, 0, REACH, REACH))
    offsets = line.unfold(0, 2 * REACH + 1, 1).transpose(1, 2)  # (n, offsets, 1024)
    apart = torch.nn.functional.pairwise_distance(face[:, None], offsets).mean(0)
    best = int(apart.argmin())
    return Lse(float(apart[best]), float(apart.median() - apart[best]), REACH - best)


def values(net: SyncNet, clip: PreparedClip, frames: UInt8[np.ndarray, "n s s 3"]) -> dict:
    """lse_d and lse_c of frames made for a clip, its first frame left out as everywhere."""
    found = lse(net, frames[1:], clip.audio[640:])
    named = (None, None) if found is None else (found.distance, found.confidence)
    return dict(zip(DEFINITIONS, named, strict=True))
