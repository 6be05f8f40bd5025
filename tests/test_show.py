"""Figures and clips: the same bytes twice, named by profile, playable where nothing is trusted."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import TINY, make_batch

from amie_core.data.alignment import TEMPLATE
from amie_core.data.store import PreparedClip
from amie_core.experiments import pipeline, pipeline_drawing
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


def test_one_cepstrum_shows_differences_only_where_codes_mean_the_same() -> None:
    ours = np.random.default_rng(0).normal(size=(60, 13))
    compared = np.arange(60) < 40
    curves = {"ours": ours, "librosa": np.vstack([ours + 1e-3, ours[:3]])}  # a few hops longer
    above, below = preprocessing.one_cepstrum(curves, compared).axes
    assert [line.get_label() for line in above.lines] == ["ours", "librosa"]
    (apart,) = (line.get_ydata() for line in below.lines)
    np.testing.assert_allclose(apart[:40], 1e-3)
    assert np.isnan(apart[40:]).all()


def test_cepstra_note_is_one_sentence_and_the_same_text_everywhere() -> None:
    ours = np.zeros((60, 13))
    ours[0] = 50
    curves, compared = {"ours": ours, "librosa": ours + 2e-4}, np.ones(60, bool)
    whole = preprocessing.cepstra_note(curves | {"torchaudio": ours}, compared)
    part = preprocessing.cepstra_note(curves, compared, failed="OSError")
    assert "span 50: librosa: 2.0e-04, torchaudio: 0.0e+00." in whole.outputs[0][1]
    assert "does not import here (OSError)" in part.outputs[0][1]
    assert "Traceback" not in part.outputs[0][1] and repr(whole) == repr(part)


def test_landmark_finders_stand_on_one_frame_or_say_what_is_missing() -> None:
    frame = np.zeros((256, 256, 3), np.uint8)
    found = {"mesh": TEMPLATE, "face-alignment": TEMPLATE + np.float32(7.6)}
    lips = preprocessing.landmark_finders(frame, found).axes[1]
    assert lips.get_xlim()[0] < TEMPLATE[48:, 0].min() < lips.get_xlim()[1] < 256
    assert lips.get_ylim()[0] > lips.get_ylim()[1]  # y goes down, as in the frame
    assert [text.get_text() for text in lips.get_legend().texts] == list(found)
    both, one = (preprocessing.landmark_note(sets) for sets in (found, {"mesh": TEMPLATE}))
    assert "14.1% of the distance between the eyes" in both.outputs[0][1]  # 7.6·√2 of 76 px
    assert "2DFAN4-11f355bf06.pth.tar" in one.outputs[0][1] and repr(one) == repr(both)


@pytest.fixture(scope="module")
def seen() -> pipeline.Observed:
    return pipeline.observe(TINY, make_batch(TINY))


def test_one_step_shows_which_network_each_loss_moves(seen: pipeline.Observed) -> None:
    """The asymmetry of AMIE: T moves in its own step alone, G's step passes through D and T."""
    moved = {step: [net for net, what in nets.items() if what == pipeline.MOVED]
             for step, nets in seen.effect.items()}  # fmt: skip
    assert moved == {"d": ["D"], "t": ["T"], "g": ["G"], "mask": ["mask"]}
    assert {seen.effect["g"][net] for net in ("D", "T")} == {pipeline.PASSED}
    assert {seen.effect["t"][net] for net in ("G", "mask", "D")} == {pipeline.UNTOUCHED}


def test_shapes_are_those_of_the_networks(seen: pipeline.Observed) -> None:
    assert seen.shapes["audio encoder"] == ((20, 13), (16,))
    assert seen.shapes["identity encoder"] == ((3, 32, 32), (16, 4, 4))
    assert seen.shapes["frame decoder"] == ((16 + 16 + 8, 4, 4), (3, 32, 32))
    assert seen.shapes["fine mask"] == ((1, 32, 32), (1, 32, 32))
    assert seen.shapes["lip crop"] == ((3, 32, 32), (3, 10, 16))


def test_every_link_of_the_pipeline_leads_somewhere(seen: pipeline.Observed) -> None:
    """From notebooks/ and from figures/ alike; Eq. 7 is one click away from notebook 00."""
    core = pipeline.core(dict.fromkeys(pipeline.core_files(), 1))
    tables = [table.outputs[0][1] for table in (pipeline.boxes(seen), pipeline.equations(), core)]
    links = set(re.findall(r"\]\((.+?)\)", "".join(tables)))
    for link in links:
        assert (Path(__file__).parent / link).is_file(), link
    (seven,) = (line for line in tables[1].splitlines() if line.startswith("| **Eq. 7**"))
    assert "(../amie_core/mutual_information/objectives.py)" in seven
    assert "(../notebooks/02_mutual_information.ipynb)" in seven
    assert set(pipeline.STEPS) == set(seen.effect)


def test_the_drawing_shows_every_box_and_links_it(
    seen: pipeline.Observed, own_figures: Path
) -> None:
    frames = np.stack([np.full((32, 32, 3), shade, np.uint8) for shade in range(0, 250, 25)])
    mfcc = np.random.default_rng(0).normal(size=(4 * 10 + 16, 13)).astype(np.float32)
    clip = PreparedClip(
        "s", "u", "train", frames, np.stack([TEMPLATE] * 10), (152, 232, 64, 192), mfcc,
        np.zeros(10, bool), np.zeros(6400, np.int16),
    )  # fmt: skip
    fig = pipeline_drawing.draw(seen, pipeline_drawing.pictures(clip, frames))
    shown = pipeline_drawing.show(fig, FROM, alt="the pipeline")
    assert [kind for kind, _ in shown.outputs] == ["image/png"]
    svg = (own_figures / "pipeline_smoke.svg").read_text()
    for box in pipeline.BOXES.values():
        assert f'"{box.code}"' in svg and f'"{box.shown}"' in svg, box.name
    assert "3×32×32" in {text.get_text() for text in fig.axes[0].texts}
