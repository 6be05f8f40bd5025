"""`amie doctor` and the parameters of the notebooks."""

from pathlib import Path

import pytest

from amie_core import doctor, perceptual
from amie_core.data import origins
from amie_core.errors import UserError
from amie_core.evaluation.evaluate import results
from amie_core.experiments.notebook import (
    Settings,
    TableSettings,
    injected_names,
    prepared_folder,
)


def test_report_names_what_is_here(capsys: pytest.CaptureFixture) -> None:
    assert doctor.report() == 0
    text = capsys.readouterr().out
    for topic in ("torch", "mesh", "face-alignment", "VGG16", "CPU cores", "workspace"):
        assert topic in text


def test_report_says_what_a_missing_thing_costs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(perceptual, "weights_file", lambda: None)
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "papermill" else "1")
    assert doctor.report() == 1
    text = capsys.readouterr().out
    assert "MISSING φ" in text and "make env" in text
    assert "papermill missing: `make reproduce` cannot run notebooks" in text


def test_settings_come_from_the_cell() -> None:
    names = {"profile": "smoke", "data": "", "seed": 3, "unrelated": 1}
    assert Settings.of(names) == Settings("smoke", "", 3)


def test_a_misspelt_parameter_is_refused() -> None:
    cells = ["", "profile = 'smoke'", "# Parameters\nprofil3 = 'grid'\n"]
    assert injected_names(cells) == {"profil3"}
    with pytest.raises(UserError, match="unknown parameter 'profil3'"):
        Settings.of({"In": cells, "profile": "smoke"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profile": "smok"}, "unknown profile"),
        ({"profile": "grid"}, "needs data"),
        ({"seed": "3"}, "seed must be int"),
        ({"seed": True}, "seed must be int"),
        ({"data": "nowhere"}, "no folder"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_unusable_values_are_refused(values: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Settings.of(values)


@pytest.mark.parametrize("values", [{"seeds": -1}, {"profile": "talk"}, {"profile": "talk-20"}])
def test_tables_refuse_what_none_has(values: dict) -> None:
    with pytest.raises(UserError, match="seeds -1|profile talk has no tables"):
        TableSettings.of(values)


def test_folders_of_one_name_are_prepared_apart_and_a_moved_one_is_not_prepared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path / "work"))
    a, b = (tmp_path / name / "videos" for name in "ab")
    for root in (a, b):
        root.mkdir(parents=True)
    plain = prepared_folder(Settings(data=str(a)))
    assert plain == prepared_folder(Settings(data=str(b)))
    plain.mkdir(parents=True)
    clip = a / "s" / "one.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"film")
    (plain / "sources.csv").write_bytes(origins.line(("s", "one"), origins.of(clip)))
    assert prepared_folder(Settings(data=str(a))) == plain
    other = prepared_folder(Settings(data=str(b)))
    assert other != plain and other.name.startswith("folder-videos-")
    clip.unlink()  # a is gone: b is what it was moved to
    assert prepared_folder(Settings(data=str(b))) == plain


@pytest.mark.parametrize("name", ["SHIPPED", "NETWORKS", "SPEECH", "TEETH"])
def test_weights_that_are_not_there_are_grave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert [line.good for line in doctor.shipped()] == [True]
    monkeypatch.setattr(doctor, name, tmp_path / "some.safetensors")
    (found,) = doctor.shipped()
    assert found.grave and "some.safetensors is missing or damaged" in found.text


def test_a_folder_given_to_smoke_is_any_folder(tmp_path: Path) -> None:
    assert Settings().corpus == "synthetic"
    assert Settings(data=str(tmp_path)).corpus == "folder"
    assert Settings(profile="grid", data=str(tmp_path)).corpus == "grid"


def test_results_are_a_line_a_row() -> None:
    value = {"mean": 30.123, "interval": [29.0, 31.0]}
    rows = {
        "model": {"mean": {"psnr": value, "lip": {"mean": None, "interval": None}}, "clips": [1]},
        "nearest_audio": {"mean": {}, "clips": []},
    }
    table = results({"split": "test_unseen", "rows": rows})
    assert list(table.index) == ["model"] and table.index.name == "test_unseen"
    assert table.loc["model"].tolist() == ["30.12 (29.00 to 31.00)", "-"]
