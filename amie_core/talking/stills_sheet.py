"""Contact sheet of stills that speak.

python -m amie_core.talking.stills_sheet AUDIO OUT.png FACE...
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from amie_core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

APART = 6  # frames between the moments shown


def open_moments(frames: "list[np.ndarray]", count: int) -> list[int]:
    """Numbers, rising, of the frames most unlike the first one, none within APART of another.

    Fewer where the clip has no room for so many.
    """
    import numpy as np

    first = frames[0].astype(np.int16)
    unlike = [float(np.abs(frame - first).mean()) for frame in frames]
    chosen: list[int] = []
    for number in np.argsort(unlike)[::-1].tolist():
        if len(chosen) < count and all(abs(number - other) >= APART for other in chosen):
            chosen.append(number)
    return sorted(chosen)


def talking_sheet(
    faces: list[Path], audio: Path, out: Path, size: int = 192, moments: int = 7, across: int = 1
) -> None:
    """Write a picture: each still, and moments of it speaking `audio` by the model that ships.

    The moments are those of `open_moments`; across: faces side by side. Raises UserError as `talk`
    does.
    """
    import numpy as np

    from amie_core.data.alignment import warp
    from amie_core.files import SHIPPED
    from amie_core.talking.still import open_still
    from amie_core.talking.talk import picture_frames
    from amie_core.training.checkpoint import load_generator

    generator, meta = load_generator(SHIPPED)
    rows = []
    for face in faces:
        still = open_still(face, keep_smile=True)
        frames = list(picture_frames(generator, meta, still.at_rest(), audio, size)[1])
        shown = [frames[k] for k in open_moments(frames, moments)]
        shown += frames[:1] * (moments - len(shown))
        rows.append(np.hstack([warp(still.picture, still.matrix, size), *shown]))
    _save(rows, across, out)


def worn_sheet(
    prepared: Path, out: Path, count: int = 8, size: int = 192, moments: int = 3, across: int = 2,
    seed: int = 0,
) -> None:  # fmt: skip
    """Write a picture of prepared clips, as portraits that wear mouths are: drawn by seed, of each
    the first frame and the moments of `open_moments`. UserError: no prepared folder, or nothing in
    it.
    """
    import numpy as np

    from amie_core.data import store

    clips = store.clips(prepared)
    if clips.empty:
        raise UserError(f"{prepared}: no usable clip")
    rows = []
    for place in np.random.default_rng(seed).permutation(len(clips))[:count].tolist():
        frames = list(store.load_clip(prepared, clips.iloc[place], size=size).frames)
        shown = [frames[0], *(frames[k] for k in open_moments(frames, moments))]
        rows.append(np.hstack(shown + frames[:1] * (1 + moments - len(shown))))
    _save(rows, across, out)


def _save(rows: "list[np.ndarray]", across: int, out: Path) -> None:
    """Pictures of one size as a sheet, `across` side by side."""
    import numpy as np
    from PIL import Image

    rows = rows + [np.full_like(rows[0], 255)] * (-len(rows) % across)
    sheet = np.vstack([np.hstack(rows[k : k + across]) for k in range(0, len(rows), across)])
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(out, optimize=True, quality=88)  # PNG knows no quality


if __name__ == "__main__":
    talking_sheet([Path(name) for name in sys.argv[3:]], Path(sys.argv[1]), Path(sys.argv[2]))
