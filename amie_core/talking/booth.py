"""Notebook 00's booth: choose a picture and a sound, press a button, see and hear the clip.

It calls `talk.talk` and nothing else. Where widgets are not shown (GitHub, a headless run), the
sample clip stands for it.
"""

import base64
import html
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ipywidgets as widgets

from amie_core.config import SAMPLE_RATE
from amie_core.errors import UserError
from amie_core.files import workspace
from amie_core.show import figures
from amie_core.talking.talk import talk

# Drawn by the embedded corpus: identity and utterance. None of them was trained on.
SAMPLES = {"one": (21, 3), "two": (24, 5)}
SIZE = 256  # px of the clip
LIMITS = "up to 200 MB a file where `make lab` opened this page, else up to 10 MB"
WIDTH = "340px"


def samples() -> dict[str, tuple[Path, Path]]:
    """Pictures and sounds to begin with, by name; drawn once, into the workspace."""
    import soundfile
    from PIL import Image

    from amie_core.data.synthetic.corpus import draw_clip

    folder = workspace() / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: (folder / f"{name}.png", folder / f"{name}.wav") for name in SAMPLES}
    for name, (face, voice) in found.items():
        if not (face.exists() and voice.exists()):
            drawn = draw_clip(*SAMPLES[name])
            # A drawn clip lacks no frame.
            Image.fromarray(next(iter(drawn.frames))).save(face)  # type: ignore[arg-type]
            soundfile.write(voice, drawn.audio, SAMPLE_RATE)
    return found


def sample_clip() -> figures.Shown:
    """Sample face one saying sample voice two, by the model that ships."""
    found = samples()
    with TemporaryDirectory() as folder:
        made = talk(found["one"][0], found["two"][1], Path(folder) / "clip.mp4", size=SIZE)
        alt = "a drawn face, never trained on, speaking by the model that ships; eight moments"
        return figures.clip_html(made.path, alt=alt, provenance={"profile": "talk"}, size=SIZE)


class Booth:
    """Uploads or samples, a button, a progress bar, the clip. Show it as a cell's last line."""

    def __init__(self) -> None:
        self.samples = samples()
        names = [f"sample {name}" for name in self.samples]
        self.face = widgets.FileUpload(accept="image/*,video/*", description="Picture")
        self.voice = widgets.FileUpload(accept="audio/*,video/*", description="Sound")
        self.faces = widgets.Dropdown(options=names, description="or")
        self.voices = widgets.Dropdown(options=names, index=1, description="or")
        self.button = widgets.Button(description="Talk", button_style="primary")
        self.progress = widgets.Output()  # talk's own bar
        self.problem, self.clip = widgets.HTML(), widgets.HTML()
        self.button.on_click(lambda _: self.talk())
        chosen = [widgets.HBox([self.face, self.faces]), widgets.HBox([self.voice, self.voices])]
        limits = widgets.HTML(f"<small>{LIMITS}</small>")
        parts = [*chosen, limits, self.button, self.progress, self.problem, self.clip]
        self.widget = widgets.VBox(parts)
        self.widget.add_class("amie-booth")

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)

    def talk(self) -> None:
        """Make the clip of what is chosen; an unusable file is said in a line."""
        self.problem.value = self.clip.value = ""
        self.button.disabled = True
        self.progress.clear_output()
        try:
            with TemporaryDirectory() as name, self.progress:
                folder = Path(name)
                face, of = _chosen(self.face, folder, self.faces.value, self.samples, 0)
                voice, by = _chosen(self.voice, folder, self.voices.value, self.samples, 1)
                made = talk(face, voice, folder / "clip.mp4", size=SIZE)
                data = base64.b64encode(made.path.read_bytes()).decode()
            self.clip.value = (
                f'<video controls autoplay width="{WIDTH}" aria-label="the talking face" '
                f'src="data:video/mp4;base64,{data}"></video>'
                f"<p>Synthetic: {made.frames} frames; picture: "
                f"{html.escape(of)}, sound: {html.escape(by)}."
            )
        except UserError as error:
            self.problem.value = f"<b>{html.escape(str(error))}</b>"
        finally:
            self.button.disabled = False


def _chosen(
    upload: Any, folder: Path, sample: str, samples: dict[str, tuple[Path, Path]], which: int
) -> tuple[Path, str]:
    """The uploaded file, written to the folder, or the sample; and what it is called.

    An upload that the server refused (it is larger than LIMITS) never arrives, and nothing tells of
    it: what was taken is said beside the clip.
    """
    if not upload.value:
        return samples[sample.split()[1]][which], sample
    name = Path(upload.value[0]["name"]).name
    path = folder / str(which) / name  # picture and sound may be one file, or have one name
    path.parent.mkdir()
    path.write_bytes(bytes(upload.value[0]["content"]))
    return path, name
