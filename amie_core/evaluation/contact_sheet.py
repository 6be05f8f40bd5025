"""Contact sheets: real and generated frames of a clip chosen by rule; stills that speak."""

import sys
from pathlib import Path
from typing import Any

from amie_core.errors import UserError

RULE = "the clip of median lip correlation"


def median_clip(result: dict[str, Any]) -> dict[str, Any]:
    """The entry of `evaluate`'s result whose lip correlation is the (lower) median of the split."""
    clips = [c for c in result["rows"]["model"]["clips"] if c["lip_correlation"] is not None]
    if not clips:
        raise UserError("no clip of the split has a lip correlation: no sheet can be chosen by it")
    clips.sort(key=lambda clip: (clip["lip_correlation"], clip["utterance"]))
    return clips[(len(clips) - 1) // 2]


def contact_sheet(run: Path, data: Path, result: dict[str, Any], out: Path) -> None:
    """Write a PNG: the median clip's real frames above, the model's below, eight of each.

    Both at the model's own size; the clip and the rule stand in the picture. Raises UserError
    when the clip or the run cannot be read.
    """
    from amie_core.data import faces, store
    from amie_core.data.audio import windows
    from amie_core.show import figures, training
    from amie_core.talking.talk import generate
    from amie_core.training import checkpoint

    chosen = median_clip(result)
    table = store.clips(data, result["split"])
    same = (table.speaker == chosen["speaker"]) & (table.utterance == chosen["utterance"])
    clip = store.load_clip(data, table[same].iloc[0], size=result["image_size"])
    generator, _ = checkpoint.load_generator(run)
    mouth = faces.lip_box(clip.landmarks[:1])
    made = generate(generator, clip.frames[0], windows(clip.mfcc, len(clip.frames)), mouth)
    fig = training.rows_of_frames({"real": clip.frames, "generated": made})
    name = f"{chosen['speaker']}/{chosen['utterance']}"
    words = f"{name}, {RULE} ({chosen['lip_correlation']:.2f}), {result['split']}"
    made_by = {"profile": result["profile"], "corpus": result["corpus"], "split": words}
    made_by |= {"seed": result["seeds"]["training"], "commit": result["commit"]["training"]}
    fig.supxlabel(figures.caption(made_by), fontsize=6, color="0.4", x=0.995, ha="right")
    fig.savefig(out, dpi=figures.PRINT_DPI, metadata={"Software": None})


def talking_sheet(faces: list[Path], audio: Path, out: Path, size: int = 192) -> None:
    """Write a PNG: each still, and seven moments of it speaking `audio` by the model that ships.

    The moments are spread evenly over the sound. Raises UserError as `talk` does.
    """
    import numpy as np
    from PIL import Image

    from amie_core.data.faces import warp
    from amie_core.show import figures
    from amie_core.talking.still import open_still
    from amie_core.talking.talk import picture_frames
    from amie_core.training.checkpoint import load_generator
    from amie_core.training.shipped import WEIGHTS

    generator, meta = load_generator(WEIGHTS)
    rows = []
    for face in faces:
        still = open_still(face, keep_smile=True)
        frames = list(picture_frames(generator, meta, still.at_rest(), audio, size)[1])
        moments = [frames[k] for k in figures.spread(9, len(frames))[1:-1]]
        rows.append(np.hstack([warp(still.picture, still.matrix, size), *moments]))
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.vstack(rows)).save(out, optimize=True)


if __name__ == "__main__":
    # python -m amie_core.evaluation.contact_sheet AUDIO OUT.png FACE...
    talking_sheet([Path(name) for name in sys.argv[3:]], Path(sys.argv[1]), Path(sys.argv[2]))
