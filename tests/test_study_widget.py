"""The ballot of the notebook: what it refuses, what it keeps, where it goes on."""

from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest
from keys import write_key

from amie_core.errors import UserError
from amie_core.study import answers, sample
from amie_core.study.widget import Ballot

KEY = write_key(["low", "high"], trials=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ballot folder whose clips are no videos: nothing here plays them."""
    import json

    out = tmp_path / "ballot"
    (out / "clips").mkdir(parents=True)
    text = json.dumps({"study": KEY["study"]} | sample._public(KEY))
    (out / sample.TRIALS).write_text(f"{sample.HEAD}{text};\n")
    for trial in KEY["trials"].values():
        for name in [*trial["clips"], trial["reference"]]:
            (out / "clips" / f"{name}.mp4").write_bytes(name.encode())
    return out


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the ballot sees; a test moves it on."""
    now = [100.0]
    monkeypatch.setattr("amie_core.study.widget.time.monotonic", lambda: now[0])
    return now


def parts(ballot: Ballot, kind: type) -> list[Any]:
    """Widgets of a kind, from top to bottom."""

    def walk(widget: widgets.Widget) -> list[widgets.Widget]:
        return [widget, *(w for child in getattr(widget, "children", ()) for w in walk(child))]

    return [widget for widget in walk(ballot.widget) if isinstance(widget, kind)]


def press(ballot: Ballot) -> str:
    """Click the button there is; what the ballot then complains about."""
    (button,) = parts(ballot, widgets.Button)
    button.click()
    return parts(ballot, widgets.HTML)[-1].value


def test_a_whole_ballot(folder: Path, tmp_path: Path, clock: list[float]) -> None:
    file = tmp_path / "mine.csv"
    ballot = Ballot(folder, file, form=4)
    assert "Tick the box" in press(ballot) and not file.exists()
    parts(ballot, widgets.Checkbox)[0].value = True
    assert press(ballot) == ""
    places = len(KEY["forms"][4])
    for place in range(places):
        assert f"Comparison {place + 1} of {places}" in parts(ballot, widgets.HTML)[0].value
        assert len(parts(ballot, widgets.Video)) == 3
        trial, turn = KEY["forms"][4][place]
        assert "Play every clip to its end first: together they last 3 s" in press(ballot)
        clock[0] += 3.5
        assert "more realistic" in press(ballot)
        realistic, synchronization = parts(ballot, widgets.RadioButtons)
        realistic.index = 0
        assert "synchronism" in press(ballot)
        clock[0] += 1
        synchronization.index = 1
        assert press(ballot) == ""
        assert ballot.place == place + 1
        if place == 1:  # the kernel dies; the same call goes on
            rater = ballot.rater
            ballot = Ballot(folder, file)
            assert (ballot.rater, ballot.form, ballot.place) == (rater, 4, 2)
    assert ballot.done and "Thank you" in parts(ballot, widgets.HTML)[0].value
    found = answers.read([file], KEY)
    assert found.refused == [] and len(found.usable) == 2 * places
    assert {(a.question, a.seconds) for a in found.usable} == {
        ("realistic", 3.5), ("synchronization", 4.5),
    }  # fmt: skip
    assert Ballot(folder, file).done


def test_the_clips_are_those_of_the_form(folder: Path, tmp_path: Path, clock: list[float]) -> None:
    ballot = Ballot(folder, tmp_path / "a.csv", form=1)
    parts(ballot, widgets.Checkbox)[0].value = True
    press(ballot)
    name, turn = KEY["forms"][1][0]
    trial = KEY["trials"][name]
    clips = sample.plan.shown([*trial["clips"]], turn)
    seen = [bytes(video.value).decode() for video in parts(ballot, widgets.Video)]
    assert seen == [*clips, trial["reference"]]
    assert not any(video.autoplay or video.loop for video in parts(ballot, widgets.Video))


def test_foreign_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no ballot"):
        Ballot(tmp_path, tmp_path / "a.csv")
    for text in ("", "name,score\na,1\n", "\x00"):
        (tmp_path / "other.csv").write_text(text)
        with pytest.raises(UserError, match="holds no answers to this ballot"):
            Ballot(folder, tmp_path / "other.csv")


def test_raters_have_codes_of_their_own(folder: Path, tmp_path: Path) -> None:
    codes = {Ballot(folder, tmp_path / "a.csv").rater for _ in range(20)}
    assert len(codes) == 20 and all(len(code) == 8 for code in codes)
