"""Contact sheets: real and generated frames of a clip chosen by rule; stills that speak."""

import io
from pathlib import Path
from typing import Any

from amie_core import files
from amie_core.errors import UserError

RULE = "the clip of median lip correlation"


def median_clip(result: dict[str, Any]) -> dict[str, Any]:
    """The entry of `evaluate`'s result whose lip correlation is the (lower) median of the split."""
    clips = [c for c in result["rows"]["model"]["clips"] if c["lip_correlation"] is not None]
    if not clips:
        raise UserError("no clip of the split has a lip correlation: no sheet can be chosen by it")
    clips.sort(key=lambda clip: (clip["lip_correlation"], clip["utterance"]))
    return clips[(len(clips) - 1) // 2]


def writable(path: Path) -> None:
    """UserError where no sheet can be written, before hours of work and not after."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UserError(f"--sheet {path}: the name of a PNG file is wanted")
    files.writable(path, "--sheet")


def contact_sheet(run: Path, data: Path, result: dict[str, Any], out: Path) -> None:
    """Write a PNG: the median clip's real frames above, the model's below, eight of each.

    Both at the model's own size; the clip and the rule stand in the picture. Raises UserError
    when the clip or the run cannot be read.
    """
    from amie_core.data import store
    from amie_core.model.talker import spoken
    from amie_core.show import figures, training
    from amie_core.training import checkpoint

    chosen = median_clip(result)
    table = store.clips(data, result["split"])
    same = (table.speaker == chosen["speaker"]) & (table.utterance == chosen["utterance"])
    clip = store.load_clip(data, table[same].iloc[0], size=result["image_size"])
    made = spoken(*checkpoint.load_generator(run), clip)
    fig = training.rows_of_frames({"real": list(clip.frames), "generated": list(made)})
    name = f"{chosen['speaker']}/{chosen['utterance']}"
    words = f"{name}, {RULE} ({chosen['lip_correlation']:.2f}), {result['split']}"
    made_by = {"profile": result["profile"], "corpus": result["corpus"], "split": words}
    made_by |= {"seed": result["seeds"]["training"], "commit": result["commit"]["training"]}
    fig.supxlabel(figures.caption(made_by), fontsize=6, color="0.4", x=0.995, ha="right")
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=figures.PRINT_DPI, metadata={"Software": None})
    files.write_whole(out, drawn.getvalue())




