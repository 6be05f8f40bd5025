"""Figures and clips that survive GitHub, print and an untrusted notebook.

Every file carries its profile in its name (`curves_smoke.png`, `curves_grid.png`): results of the
smoke profile never stand where real ones are read. Beside it lies a JSON with where it came from.
"""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from amie_core.files import results_dir, write_whole

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

# Okabe and Ito's colours, told apart in greyscale by the markers beside them.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

STYLE: "dict[RcKeyType, Any]" = {
    "svg.hashsalt": "amie",  # else the ids in an SVG change with every call
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
}
SCREEN_DPI = 80  # of what a notebook stores
PRINT_DPI = 160  # of what figures/ holds

Frame = UInt8[np.ndarray, "_ _ 3"]  # of any height and width


def spread(count: int, of: int) -> list[int]:
    """Indices of `count` frames spread evenly over a clip of `of` frames, first and last included.

    Fewer where the clip is shorter.
    """
    if of < 1:
        raise ValueError("no frames to show")
    return sorted({round(i) for i in np.linspace(0, of - 1, min(count, of))})


def contact_sheet(
    frames: Sequence[Frame], count: int = 8, columns: int = 8, size: int = 96
) -> Frame:
    """`count` frames spread evenly over the clip, `size` px wide each, as one picture."""
    chosen = [frames[i] for i in spread(count, len(frames))]
    height = round(size * chosen[0].shape[0] / chosen[0].shape[1])
    small = [cv2.resize(frame, (size, height), interpolation=cv2.INTER_AREA) for frame in chosen]
    blank = np.full((height, size, 3), 255, np.uint8)
    columns = min(columns, len(small))
    small += [blank] * (-len(small) % columns)
    rows = [np.hstack(small[i : i + columns]) for i in range(0, len(small), columns)]
    return np.vstack(rows)


def png(picture: Frame, colours: int | None = None) -> bytes:
    """A picture as PNG, the same bytes every time; with `colours`, a palette makes it a third."""
    image = Image.fromarray(picture)
    if colours:
        image = image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


class Shown:
    """What a cell shows: outputs in order, each a MIME type and its data, with text beside them.

    They are separate outputs, because a page that plays no video drops that output as a whole.
    """

    def __init__(self, alt: str, outputs: Iterable[tuple[str, str]]) -> None:
        self.alt = alt
        self.outputs = list(outputs)

    def __repr__(self) -> str:
        return self.alt

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for kind, data in self.outputs:
            metadata = {kind: {"alt": self.alt}} if kind == "image/png" else {}
            display({kind: data, "text/plain": self.alt}, metadata=metadata, raw=True)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def picture(image: Frame, alt: str, colours: int = 256) -> Shown:
    """A picture as a notebook shows it, with its alternative text."""
    return Shown(alt, [("image/png", _text(png(image, colours)))])


def caption(provenance: dict[str, Any]) -> str:
    """Where a result comes from, in a line that stands in or under it."""
    keys = ("profile", "corpus", "tested", "split", "seed", "seeds", "steps")
    return ", ".join(f"{k} {provenance[k]}" for k in keys if provenance.get(k) not in (None, ""))


def clip_html(
    clip: Path | Sequence[Frame],
    audio: Float[np.ndarray, " samples"] | Path | None = None,
    *,
    alt: str,
    provenance: dict[str, Any],
    size: int = 160,
    count: int = 8,
    synthetic: bool = True,
) -> Shown:
    """A clip that plays in JupyterLab, and its contact sheet for pages that play none.

    clip: a video file, or frames (h, h, 3) uint8 at 25 a second with `audio` (16 kHz samples or a
    file with sound). It is stored small, `size` px wide. `synthetic` puts the tag that says so
    into the clip. `<video src="data:…">` outlives the cleaning that untrusted notebooks get;
    `<source>` does not.
    """
    from amie_core.data.video import read_video
    from amie_core.data.video_writer import VideoWriter

    if isinstance(clip, Path):
        raw = read_video(clip)
        clip, audio = [frame for frame in raw.frames if frame is not None], raw.audio
    small = [cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in clip]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "clip.mp4"
        with VideoWriter(file, size, audio=audio, synthetic=synthetic, crf=26) as writer:
            for frame in small:
                writer.write(frame)
        data = _text(file.read_bytes())
    player = (
        f'<video controls width="{2 * size}" aria-label="{alt}" '
        f'src="data:video/mp4;base64,{data}"></video>'
    )
    sheet = png(contact_sheet(list(clip), count), colours=256)
    below = f"*{caption(provenance)}*"
    outputs = [("text/html", player), ("image/png", _text(sheet)), ("text/markdown", below)]
    return Shown(alt, outputs)


def figure(width: float = 7.0, height: float = 2.6) -> Figure:
    """An empty figure (inches), unknown to pyplot, so that nothing shows it a second time."""
    return Figure(figsize=(width, height), layout="constrained")


def draw_frame(axes: Axes, frame: Frame, title: str = "") -> None:
    """A frame in a figure, without ticks or edges."""
    axes.imshow(frame, interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def save_figure(
    fig: Figure, name: str, provenance: dict[str, Any], *, alt: str, vector: bool = False
) -> Shown:
    """Write NAME_PROFILE.png, .json (and .svg when `vector`) to figures/, and show the figure.

    provenance: at least "profile"; also corpus, split, seed, commit. PNG and SVG have the same
    bytes whenever the figure has the same content.
    """
    target = results_dir(provenance["profile"]) / f"{name}_{provenance['profile']}"
    target.parent.mkdir(parents=True, exist_ok=True)
    fig.supxlabel(caption(provenance), fontsize=6, color="0.4", x=0.995, ha="right")
    with rc_context(STYLE):
        fig.savefig(target.with_suffix(".png"), dpi=PRINT_DPI, metadata={"Software": None})
        if vector:
            fig.savefig(target.with_suffix(".svg"), metadata={"Date": None})
        buffer = io.BytesIO()
        fig.savefig(buffer, dpi=SCREEN_DPI, format="png")
    target.with_suffix(".json").write_text(json.dumps({"alt": alt, **provenance}, indent=2) + "\n")
    return picture(np.asarray(Image.open(buffer).convert("RGB")), alt, colours=96)


def markdown(table: Any) -> str:
    """A pandas table as Markdown, its index the first column; a line break becomes <br>."""
    rows = zip(table.index, table.values.tolist(), strict=True)
    lines = [[table.index.name or "", *table.columns], *([name, *row] for name, row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    cells = ([str(cell).replace("\n", "<br>") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def write_table(
    table: Any, name: str, provenance: dict[str, Any], paragraphs: Sequence[str], indent: int = 2
) -> None:
    """Every table in figures/: NAME.csv of a pandas table, NAME.md of paragraphs, NAME.json.

    indent: of the JSON, which holds the provenance.
    """
    target = results_dir(provenance["profile"]) / name
    write_whole(target.with_suffix(".csv"), table.to_csv().encode())
    write_whole(target.with_suffix(".md"), ("\n\n".join(paragraphs) + "\n").encode())
    about = json.dumps(provenance, indent=indent) + "\n"
    write_whole(target.with_suffix(".json"), about.encode())


def save_table(table: Any, name: str, provenance: dict[str, Any]) -> Shown:
    """Write a pandas table as NAME_PROFILE.csv, .md and .json to figures/, and show it."""
    below = caption(provenance)
    write_table(table, f"{name}_{provenance['profile']}", provenance, [markdown(table), below])
    html = f"{table.to_html(border=0)}<p>{below}</p>"
    return Shown(f"table {name}", [("text/html", html)])
