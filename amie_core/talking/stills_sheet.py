"""Contact sheet of stills that speak.

python -m amie_core.talking.stills_sheet AUDIO OUT.png FACE...
"""

import sys
from pathlib import Path


def talking_sheet(faces: list[Path], audio: Path, out: Path, size: int = 192) -> None:
    """Write a PNG: each still, and seven moments of it speaking `audio` by the model that ships.

    The moments are spread evenly over the sound. Raises UserError as `talk` does.
    """
    import numpy as np
    from PIL import Image

    from amie_core.data.alignment import warp
    from amie_core.files import SHIPPED
    from amie_core.show import figures
    from amie_core.talking.still import open_still
    from amie_core.talking.talk import picture_frames
    from amie_core.training.checkpoint import load_generator

    generator, meta = load_generator(SHIPPED)
    rows = []
    for face in faces:
        still = open_still(face, keep_smile=True)
        frames = list(picture_frames(generator, meta, still.at_rest(), audio, size)[1])
        moments = [frames[k] for k in figures.spread(9, len(frames))[1:-1]]
        rows.append(np.hstack([warp(still.picture, still.matrix, size), *moments]))
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(out, optimize=True)


if __name__ == "__main__":
    talking_sheet([Path(name) for name in sys.argv[3:]], Path(sys.argv[1]), Path(sys.argv[2]))
