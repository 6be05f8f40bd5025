"""A tree in LRW's layout, cut out of GRID's sentences: WORD/{train,val,test}/WORD_00001.mp4.

29 frames of 256² at 25 a second, H.264 and AAC, a .txt beside each: `python tests/lrw_tree.py GRID
OUT 160` makes one by hand.
"""

import sys
from collections import Counter
from itertools import zip_longest
from pathlib import Path

import cv2
from media import write_media

from amie_core.data.video import read_video

FRAMES = 29
# A sentence's code spells it (bbaf2n is "bin blue at f two now"): its first word, and its last.
VERBS = {"b": "BIN", "l": "LAY", "p": "PLACE", "s": "SET"}
ADVERBS = {"a": "AGAIN", "n": "NOW", "p": "PLEASE", "s": "SOON"}
SPLITS = ("train", "train", "train", "val", "test")  # of a word's clips, in turn


def lrw_tree(grid: Path, out: Path, clips: int) -> Path:
    """Write at most so many clips from GRID's videos, the speakers in turn."""
    speakers = sorted(path for path in grid.iterdir() if path.name[0] == "s" and path.is_dir())
    turns = zip_longest(*(sorted(speaker.glob("*.mpg")) for speaker in speakers))
    counts, written = Counter(), 0
    for path in (path for turn in turns for path in turn if path is not None):
        clip = read_video(path)
        frames = [frame for frame in clip.frames if frame is not None]
        if clip.audio is None or len(frames) < 75:
            continue
        for word, first in ((VERBS[path.stem[0]], 8), (ADVERBS[path.stem[5]], 75 - FRAMES - 8)):
            if written == clips:
                return out
            split = SPLITS[counts[word] % len(SPLITS)]
            counts[word] += 1
            target = out / word / split / f"{word}_{counts[word]:05d}.mp4"
            sound = clip.audio[first * 640 : (first + FRAMES) * 640]
            pictures = [square(frame) for frame in frames[first : first + FRAMES]]
            write_media(target, pictures, sound, codec="libx264")
            target.with_suffix(".txt").write_text(f"Text:  {word}\nDuration: 0.40 seconds\n")
            written += 1
    return out


def square(frame):
    """The middle of a picture, 256² as LRW has it."""
    height, width = frame.shape[:2]
    left = (width - height) // 2
    return cv2.resize(frame[:, left : left + height], (256, 256), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    lrw_tree(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
