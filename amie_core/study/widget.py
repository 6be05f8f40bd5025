"""The ballot inside JupyterLab (ipywidgets): the same trials, the same questions, the same CSV.

Unlike the page it cannot see whether a clip was played; it asks to stay as long as the clips last.
"""

import csv
import io
import secrets
import time
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from amie_core.errors import UserError
from amie_core.files import write_whole
from amie_core.study import COLUMNS, PEOPLE
from amie_core.study.plan import shown
from amie_core.study.sample import read_ballot

CONSENT = (
    "<p>You will compare short clips of one face speaking the same sentence and answer two "
    "questions on each. Most of the clips are synthetic.</p><ul><li>Taking part is voluntary; stop "
    "whenever you like, the same call goes on where you stopped.</li><li>No personal data is asked "
    "for or kept; a random code stands for you.</li><li>Your answers stay in one file on this "
    "machine: delete it to withdraw.</li><li>Some comparisons check attention. Whoever gets more "
    "than a quarter of them wrong is not counted.</li></ul>"
)
LETTERS = "ABCDEFGH"
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
WIDTH = "200px"


class Ballot:
    """A ballot folder as a widget; show it as a cell's last line.

    folder: from `sample.sample`; file: the CSV of one rater, written anew after each trial. If it
    is there already, the ballot goes on behind its last whole trial. `form`: which of the folder's
    forms, drawn at random where None. Raises UserError when the folder is no ballot or the file
    belongs to another.
    """

    def __init__(self, folder: str | Path, file: str | Path, form: int | None = None) -> None:
        self.folder, self.file = Path(folder), Path(file)
        self.study = read_ballot(folder)
        forms = len(self.study["forms"])
        self.form = secrets.randbelow(forms) if form is None else form % forms
        self.rater = "".join(secrets.choice(ALPHABET) for _ in range(8))
        self.rows: list[list[str]] = []
        if self.file.exists():
            self._resume()
        self._begun = 0.0
        self._problem = widgets.HTML()
        self.widget = widgets.VBox(layout=widgets.Layout(max_width="900px"))
        self.widget.add_class("amie-ballot")
        self._show() if self.rows else self._consent()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)

    @property
    def place(self) -> int:
        """The place of the trial that is shown; as many places are answered."""
        return len(self.rows) // len(self.study["questions"])

    @property
    def done(self) -> bool:
        """Whether all is answered."""
        return self.place >= len(self.study["forms"][self.form])

    def _resume(self) -> None:
        """Take over the whole trials of an earlier file."""
        try:
            head, *rows = list(csv.reader(io.StringIO(self.file.read_text())))
            whole = len(rows) // len(self.study["questions"]) * len(self.study["questions"])
            if tuple(head) != COLUMNS or {row[0] for row in rows} != {self.study["study"]}:
                raise ValueError
            self.rater, self.form = rows[0][2], int(rows[0][3]) % len(self.study["forms"])
            self.rows = rows[:whole]
        except (OSError, ValueError, IndexError) as error:
            raise UserError(
                f"{self.file} holds no answers to this ballot: choose another"
            ) from error

    def _consent(self) -> None:
        agree = widgets.Checkbox(
            description="I have read this, I am 18 or older, and I want to take part.",
            indent=False, layout=widgets.Layout(width="auto"),
        )  # fmt: skip
        begin = widgets.Button(description="Begin", button_style="primary")

        def click(_: Any) -> None:
            if agree.value:
                self._show()
            else:
                self._say("Tick the box first, if you want to take part.")

        begin.on_click(click)
        self._fill(widgets.HTML(f"<h3>Before you begin</h3>{CONSENT}"), agree, begin)

    def _show(self) -> None:
        """The trial at this place, or the end."""
        if self.done:
            text = (
                f"<h3>Thank you</h3><p>All comparisons are done; {self.file.name} holds them.</p>"
            )
            self._fill(widgets.HTML(text))
            return
        form = self.study["forms"][self.form]
        name, turn = form[self.place]
        trial = self.study["trials"][name]
        clips = shown(trial["clips"], turn)
        players = [self._player(f"Clip {LETTERS[at]}", clip) for at, clip in enumerate(clips)]
        players.append(self._player("Real recording", trial["reference"]))
        labels = [f"Clip {LETTERS[at]}" for at in range(len(clips))]
        asked = {
            question: widgets.RadioButtons(options=labels, value=None)
            for question in self.study["questions"]
        }
        next_ = widgets.Button(description="Next", button_style="primary")
        next_.on_click(lambda _: self._answer(name, clips, asked, trial["seconds"]))
        texts = [
            part
            for question, radio in asked.items()
            for part in (widgets.HTML(f"<b>{self.study['questions'][question]}</b>"), radio)
        ]
        title = widgets.HTML(f"<h3>Comparison {self.place + 1} of {len(form)}</h3>")
        self._times = dict.fromkeys(asked, 0.0)
        for question, radio in asked.items():
            radio.observe(lambda _, q=question: self._times.update({q: self._passed()}), "value")
        bar = widgets.IntProgress(self.place, 0, len(form), layout=widgets.Layout(width="100%"))
        row = widgets.HBox(players, layout=widgets.Layout(flex_flow="row wrap"))
        self._begun = time.monotonic()
        self._fill(title, bar, row, *texts, next_)

    def _player(self, label: str, clip: str) -> widgets.VBox:
        path = self.folder / "clips" / f"{clip}.mp4"
        video = widgets.Video.from_file(path, autoplay=False, loop=False)
        video.layout.width = WIDTH
        return widgets.VBox([widgets.HTML(f"<b>{label}</b>"), video])

    def _passed(self) -> float:
        """Seconds since the trial came up."""
        return time.monotonic() - self._begun

    def _answer(
        self, trial: str, clips: list[str], asked: dict[str, widgets.RadioButtons], seconds: float
    ) -> None:
        """Keep a whole trial, or say what is missing."""
        length = (len(clips) + 1) * seconds
        if self._passed() < length:
            self._say(f"Play every clip to its end first: together they last {length:.0f} s.")
            return
        for question, radio in asked.items():
            if radio.index is None:
                self._say(f"Answer first: {self.study['questions'][question]}")
                return
        place = str(self.place)
        for question, radio in asked.items():
            self.rows.append([
                self.study["study"], PEOPLE, self.rater, str(self.form), place, trial, question,
                str(radio.index), clips[radio.index], f"{self._times[question]:.1f}",
            ])  # fmt: skip
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *self.rows])
        write_whole(self.file, text.getvalue().encode())
        self._show()

    def _say(self, problem: str) -> None:
        self._problem.value = f'<p role="alert" style="color:#a11a00"><b>{problem}</b></p>'

    def _fill(self, *children: widgets.Widget) -> None:
        self._problem.value = ""
        self.widget.children = [*children, self._problem]
