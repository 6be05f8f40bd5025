"""The embedded corpus: clips of speaking faces that are drawn, not recorded.

One articulation track drives sound and picture, so lip opening, landmarks, sync and identity are
known exactly. Everything follows from two seeds; nothing is downloaded and no person is shown.
"""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from amie_core.config import FPS
from amie_core.data.raw_clip import RawClip, Source
from amie_core.data.synthetic.articulation import Articulation, articulate, spell, syllables
from amie_core.data.synthetic.face import Face, Motion
from amie_core.data.synthetic.hair_and_clothes import light
from amie_core.data.synthetic.head import look
from amie_core.data.synthetic.voice import speak, voice
from amie_core.errors import UserError


def sources(identities: int = 12, utterances: int = 8, seed: int = 0) -> list[Source]:
    """The clips of the corpus, `identities` x `utterances`, none drawn yet.

    The last sixth of the identities (at least one when there are two) is "test_unseen"; of every
    other identity the last quarter of the utterances is "test_seen", the rest "train". No
    utterance is spoken twice. UserError when a number is below 1.
    """
    if identities < 1 or utterances < 1:
        raise UserError(f"the embedded corpus needs at least 1 identity and 1 utterance, not "
                        f"{identities} and {utterances}: raise them")
    unseen = max(1, identities // 6) if identities > 1 else 0
    held = max(1, utterances // 4) if utterances > 1 else 0
    found, spoken = [], set()
    for i in range(identities):
        for j in range(utterances):
            identity_seed, utterance_seed = 100 * seed + i, 100_000 * seed + 1000 * i + j
            while (name := spell(_words(utterance_seed))) in spoken:
                utterance_seed += 500
            spoken.add(name)
            split = "test_seen" if j >= utterances - held else "train"
            split = "test_unseen" if i >= identities - unseen else split
            reader = partial(draw_clip, identity_seed, utterance_seed)
            found.append(Source(f"d{i + 1:02d}", name, split, None, reader))
    return found


def drawing() -> str:
    """8 hex digits of the code that draws: a corpus drawn by other code is another corpus."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def draw_clip(identity_seed: int, utterance_seed: int) -> RawClip:
    """Draw one clip: 256x256 frames at 25 a second (45 to 60), sound, exact landmarks.

    Frame v shows the articulation at its middle, (v + 0.5) / 25 s, which is where its MFCC window
    is centred.
    """
    track, face, motion, audio = _performance(identity_seed, utterance_seed)
    frames = [face.draw(motion, i) for i in range(len(motion.jaw))]
    return RawClip(frames, float(FPS), audio, face.landmarks(motion))


def track_of(utterance_seed: int) -> Articulation:
    """The articulation track of an utterance (200 points a second)."""
    return articulate(_words(utterance_seed), np.random.default_rng([2, utterance_seed]))


def _words(utterance_seed: int) -> list[list[tuple[str, str]]]:
    return syllables(np.random.default_rng([1, utterance_seed]))


def _performance(identity_seed: int, utterance_seed: int):
    """Track, face, motion and sound of a clip."""
    rng = np.random.default_rng([3, identity_seed, utterance_seed])
    track = track_of(utterance_seed)
    frames = round(track.seconds * FPS)
    times = (np.arange(frames) + 0.5) / FPS
    face = Face(look(identity_seed), light(rng), rng)
    motion = Motion(*(track.at(times, c) for c in ("jaw", "width", "rounding")),
                    _blinks(rng, times), _gaze(rng, frames), _pose(rng, times))
    audio = speak(track, voice(identity_seed), rng)
    return track, face, motion, audio


def _blinks(rng: np.random.Generator, times: np.ndarray) -> Float[np.ndarray, " n"]:
    """Lids shut for a fifth of a second, about every second and a half."""
    shut = np.zeros_like(times)
    moment = rng.uniform(0.1, 1.5)
    while moment < times[-1]:
        shut = np.maximum(shut, np.clip(1.45 - np.abs(times - moment) / 0.075, 0, 1))
        moment += rng.uniform(0.9, 2.4)
    return shut


def _gaze(rng: np.random.Generator, frames: int) -> Float[np.ndarray, "n 2"]:
    """The eyes rest on the viewer and jump a little once or twice."""
    jumps = np.sort(rng.integers(5, frames, 2))
    places = rng.normal(0, [1.0, 0.35], (3, 2))
    places[0] *= 0.3
    return places[np.searchsorted(jumps, np.arange(frames), side="right")]


def _pose(rng: np.random.Generator, times: np.ndarray) -> Float[np.ndarray, "n 6"]:
    """A pose of the clip and slow sway about it: x, y, turn, size, yaw, pitch."""
    reach = np.array([2.2, 1.6, 0.022, 0.010, 2.6, 1.8])
    pose = rng.uniform(-1, 1, 6) * reach * [1.6, 1.2, 1.2, 2.5, 1.0, 1.0]
    pose = np.repeat(pose[None], len(times), 0)
    for rate in (0.25, 0.6, 1.1):
        phase = rng.uniform(0, 2 * np.pi, 6)
        wave = np.sin(2 * np.pi * rate * rng.uniform(0.8, 1.2) * times[:, None] + phase)
        pose += 0.5 * reach * wave * rng.uniform(0.3, 1.0, 6) * (0.25 / rate) ** 0.5
    return pose
