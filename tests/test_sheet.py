"""Sheets: the clip that the rule names, stills that speak."""

from pathlib import Path

import numpy as np
import pytest
from media import drawn
from PIL import Image
from standins import write_hum

from amie_core.errors import UserError
from amie_core.evaluation.contact_sheet import median_clip
from amie_core.talking.stills_sheet import APART, open_moments, talking_sheet, worn_sheet


def result(*correlations: float | None) -> dict:
    clips = [{"utterance": f"u{i}", "lip_correlation": c} for i, c in enumerate(correlations)]
    return {"rows": {"model": {"clips": clips}}}


def test_the_median_is_chosen_not_the_best() -> None:
    assert median_clip(result(0.9, 0.1, 0.5))["utterance"] == "u2"
    assert median_clip(result(0.9, None, 0.1))["utterance"] == "u2"  # the lower of two middles


def test_a_split_without_correlations_is_refused() -> None:
    with pytest.raises(UserError, match="no clip"):
        median_clip(result(None))


def test_the_moments_are_the_most_open_ones_apart_from_each_other() -> None:
    frames = [np.full((4, 4, 3), value, np.uint8) for value in [0, 9, 8, *[0] * 9, 5, 4, *[0] * 9]]
    assert open_moments(frames, 2) == [1, 12]
    chosen = open_moments(frames, 99)
    assert min(np.diff(chosen)) >= APART and {1, 12} <= set(chosen)


def test_a_sheet_of_stills_that_speak(tmp_path: Path) -> None:
    face = tmp_path / "face.png"
    Image.fromarray(drawn(frames=1)[0][0]).save(face)
    out = tmp_path / "new" / "sheet.png"
    talking_sheet([face, face], write_hum(tmp_path / "hum.wav", 0.6), out, size=64)
    sheet = np.asarray(Image.open(out)).astype(int)
    assert sheet.shape == (2 * 64, 8 * 64, 3) and (sheet[:64] == sheet[64:]).all()
    still, first = sheet[:64, :64], sheet[:64, 64:128]
    assert np.abs(still[:32] - first[:32]).max() <= 1  # above the mouth nothing is changed


def test_a_sheet_of_prepared_clips(tiny_corpus: Path, tmp_path: Path) -> None:
    worn_sheet(tiny_corpus, tmp_path / "a.png", count=3, size=32, moments=2)
    sheet = np.asarray(Image.open(tmp_path / "a.png"))
    assert sheet.shape == (64, 192, 3)  # two beside each other, the fourth place left white
    assert (sheet[32:, 96:] == 255).all() and not (sheet[32:, :96] == 255).all()
    worn_sheet(tiny_corpus, tmp_path / "b.png", count=3, size=32, moments=2)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
