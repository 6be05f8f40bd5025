"""What a corpus hands on: a source that can be read, and the raw clip read from it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float


@dataclass
class RawClip:
    """A clip as recorded or drawn.

    frames: RGB pictures (h, w, 3) uint8, one a 1/25 s, an iterable read once, None where the
    stream has lost one; fps: pictures a second before they were put on that clock;
    audio: mono at 16 kHz in [-1, 1], or None when the clip has no sound;
    landmarks: the 68 points in pixels where they are known exactly (clips that are drawn or
    made), else None;
    notes: what reading had to repair, choices: what it had to choose (of several sound tracks);
    one phrase each.
    """

    frames: Iterable[np.ndarray | None]
    fps: float
    audio: Float[np.ndarray, " samples"] | None
    landmarks: Float[np.ndarray, "n 68 2"] | None = None
    notes: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Source:
    """One clip of a corpus, not read yet. `path` is None for a drawn clip.

    speaker: who speaks, "" where the corpus does not say; word: the one word that is said, where
    the corpus is one of words. `reader` must be picklable (a function or a partial of one):
    preparation runs in processes. Without one the clip is the video file at `path`.
    """

    speaker: str
    utterance: str
    split: str
    path: Path | None
    reader: Callable[[], RawClip] | None = None
    word: str = ""

    def read(self) -> RawClip:
        """Read the clip (UserError when it cannot be read)."""
        if self.reader is not None:
            return self.reader()
        from amie_core.data.video import read_video

        assert self.path is not None, "a source without a file has a reader"
        return read_video(self.path)
