"""Figures and clips: the same bytes twice, named by profile, playable where nothing is trusted."""

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amie_core.mutual_information.objectives import CHANCE_JS
from amie_core.show import figures, preprocessing, training

FRAMES = [np.full((40, 40, 3), shade, np.uint8) for shade in range(0, 250, 10)]
FROM = {"profile": "smoke", "corpus": "synthetic", "split": "test_unseen", "seed": 0}


@pytest.fixture(autouse=True)
def own_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path / "figures"))
    return tmp_path / "figures"


@pytest.mark.parametrize(("count", "of"), [(1, 1), (8, 3), (8, 75), (1, 10)])
def test_spread_covers_the_clip(count: int, of: int) -> None:
    chosen = figures.spread(count, of)
    assert chosen[0] == 0 and chosen == sorted(set(chosen)) and len(chosen) == min(count, of)
    if count > 1:
        assert chosen[-1] == of - 1


def test_contact_sheet_keeps_order_and_fills_its_last_row() -> None:
    sheet = figures.contact_sheet(FRAMES, count=5, columns=3, size=20)
    assert sheet.shape == (40, 60, 3)
    assert sheet[10, 10, 0] < sheet[10, 30, 0] < sheet[30, 10, 0]
    assert (sheet[30, 50] == 255).all()
    with pytest.raises(ValueError, match="no frames"):
        figures.contact_sheet([])


def test_clip_plays_from_its_own_source_and_has_a_sheet(capsys: pytest.CaptureFixture) -> None:
    shown = figures.clip_html(FRAMES, alt="grey", provenance=FROM, size=32)
    (kind, player), (second, sheet), (third, below) = shown.outputs
    assert (kind, second, third) == ("text/html", "image/png", "text/markdown")
    assert "profile smoke" in below
    assert '<video controls width="64"' in player and "<source" not in player
    data = player.split('base64,')[1].split('"')[0]
    assert base64.b64decode(data)[4:8] == b"ftyp"
    assert base64.b64decode(sheet)[:4] == b"\x89PNG"
    assert repr(shown) == "grey"


def test_figures_are_named_by_profile_and_byte_stable(own_figures: Path) -> None:
    def files() -> dict[str, bytes]:
        opening = {"real": np.arange(10.0), "ours": np.ones(10)}
        fig = preprocessing.lip_opening(opening, np.zeros(10, bool))
        figures.save_figure(fig, "opening", FROM, alt="two lines", vector=True)
        return {path.name: path.read_bytes() for path in own_figures.iterdir()}

    first, second = files(), files()
    assert first == second
    assert set(first) == {"opening_smoke.png", "opening_smoke.svg", "opening_smoke.json"}
    assert json.loads(first["opening_smoke.json"]) == {"alt": "two lines", **FROM}
    assert b"test_unseen" not in first["opening_smoke.png"]  # in the picture, not in its metadata


def test_tables_carry_where_they_come_from(own_figures: Path) -> None:
    table = pd.DataFrame({"psnr": [31.5]}, index=pd.Index(["ours"], name="method"))
    figures.save_table(table, "table", FROM)
    assert (own_figures / "table_smoke.md").read_text().splitlines() == [
        "| method | psnr |", "| --- | --- |", "| ours | 31.5 |",
        "", "profile smoke, corpus synthetic, split test_unseen, seed 0",
    ]  # fmt: skip
    assert json.loads((own_figures / "table_smoke.json").read_text()) == FROM


def test_the_mfcc_window_lies_centred_on_its_frame() -> None:
    rows = np.random.default_rng(0).normal(size=(4 * 24 + 20, 13))
    above, below = preprocessing.mfcc_window(FRAMES, rows, 12).axes
    frame, window = above.patches[0], below.patches[0]
    assert window.get_width() == 20 and frame.get_width() == 4
    middle = frame.get_x() + 2
    assert window.get_x() + 10 == middle
    shown = below.images[0].get_array()
    scaled = (rows - rows.mean(0)) / (rows.std(0) + 1e-6)
    # four hops of margin, then row 4·12 of the padded cepstra
    np.testing.assert_allclose(shown[:, 4], scaled[48])


def test_curves_draw_the_chance_line_and_bear_missing_values() -> None:
    records = [{"step": s, "lip": 1 / s, "mi_js": CHANCE_JS + s / 1e3} for s in range(1, 50)]
    losses, mi, _, _ = training.training_curves(records).axes
    assert [line.get_label() for line in losses.lines] == ["lip"]
    assert CHANCE_JS in {line.get_ydata()[0] for line in mi.lines}


def test_rows_and_masks_show_what_they_are_given() -> None:
    fig = training.rows_of_frames({"real": FRAMES, "ours": FRAMES[:10]}, count=4)
    assert len(fig.axes) == 8
    masks = np.linspace(0, 1, 3 * 40 * 40).reshape(3, 40, 40)
    fig = training.masks(FRAMES[:3], masks, 0.2)
    np.testing.assert_array_equal(fig.axes[4].images[0].get_array(), masks[1])
