"""The audit's arithmetic against closed forms, brute force and the printed numbers."""

import numpy as np
import pytest
from test_comparison import deposit

from amie_core.evaluation.metrics import psnr_rgb, psnr_rgb_uint8_legacy
from amie_core.experiments import audit, plots
from amie_core.paper import CLAIMS


def test_wrapping_is_what_8_bit_code_does() -> None:
    random = np.random.default_rng(0)
    a, b = random.integers(0, 256, (2, 1, 64, 64, 3), dtype=np.uint8)
    errors = (a.astype(int) - b.astype(int)).ravel()
    assert audit.wrapped(errors) == pytest.approx(psnr_rgb_uint8_legacy(a, b), abs=1e-9)
    assert audit.psnr(float(np.mean(errors**2))) == pytest.approx(psnr_rgb(a, b), abs=1e-6)
    small = np.array([3, -15, 7, 0])
    assert audit.wrapped(small) == pytest.approx(audit.psnr(float(np.mean(small**2))))
    assert audit.wrapped(np.array([16, 32, 5])) == pytest.approx(audit.psnr(25 / 3))


def test_what_29_64_db_reads() -> None:
    read = {name: audit.read_as(e, 29.64) for name, e in audit.shapes().items()}
    assert read["Gaussian"] == pytest.approx(30.98, abs=0.03)
    assert read["Laplace"] == pytest.approx(32.04, abs=0.06)
    kurtosis = [audit.kurtosis(errors) for errors in audit.shapes().values()]
    assert kurtosis == sorted(kurtosis) and kurtosis[0] == pytest.approx(3, abs=0.1)
    assert audit.psnr(audit.mse_at(31.4)) == pytest.approx(31.4)


def test_errors_are_of_frames_and_known() -> None:
    real = np.full((8, 16, 3), 100, np.uint8)
    found = audit.errors_of({"real": real, "x": real - 30, "same": real})
    assert set(found) == {"x", "same"} and (found["x"] == -30).all()
    table = audit.hypothesis(found)
    assert table.loc["x", "true PSNR, dB"] == pytest.approx(18.59, abs=0.01)
    assert table.loc["x", "legacy PSNR, dB"] == pytest.approx(audit.psnr(132.0), abs=0.01)
    assert table.loc["x", "errors beyond ±16"] == "100.0%"
    assert table["true PSNR, dB"].isna()["same"]
    assert plots.errors({"x": found["x"]}) is not None


def test_votes_by_brute_force() -> None:
    """For few answers, every way to share them out is tried."""
    for answers in range(3, 40):
        for shares in ((33.33, 33.33, 33.33), (16.67, 33.33, 50.0), (15.22, 28.37, 56.41)):
            tried = any(
                all(abs(100 * n / answers - s) <= 0.005 + 1e-9
                    for n, s in zip((i, j, answers - i - j), shares, strict=True))
                for i in range(answers + 1)
                for j in range(answers + 1 - i)
            )  # fmt: skip
            assert audit.possible(shares, answers) == tried, (shares, answers)


def test_votes_of_the_paper() -> None:
    found = audit.votes()
    assert [min(found[name]) for name in ("Realistic", "Synchronization", "both")] == [71, 46, 120]


def test_both_tables_and_table_2() -> None:
    frame = audit.both_tables()
    assert frame.loc["difference"].tolist() == [2.44, 0.0, 0.03]
    table = audit.table_2()
    assert table.loc["PSNR", "best"] == "Chen et al. [2019]"
    assert table.loc["PSNR", "difference"] == -1.14
    assert set(table.loc[["SSIM", "LMD"], "best"]) == {"AMIE (Ours)"}


def test_every_claim_is_a_row_and_runs_are_quoted() -> None:
    levels = {"speech2vid": 20.0, "davs": 22.0, "ours": 26.0}
    cells = [deposit(n, s, level) for n, level in levels.items() for s in (0, 1)]
    said = audit.runs_say(cells, {"distances": {"floor": {}}})
    assert said["always_best"].startswith("AMIE is 1 of 3 in PSNR")
    assert said["mi_alone"] == "rows not run" and said["lrw_best"] == "needs LRW"
    table = audit.claims(said)
    assert len(table) == len(CLAIMS) and set(said) == {claim.key for claim in CLAIMS}
    assert audit.pairs(cells).shape == (3 * 2 * 2 * 2, 2)
    assert plots.readings(audit.pairs(cells), audit.shapes()) is not None


def test_clips_near_a_psnr() -> None:
    pairs = np.array([[29.0, 32.0], [30.0, 33.0], [20.0, 28.5]])
    assert "2 clips" in audit.near(pairs) and "32.50 dB" in audit.near(pairs)
    assert audit.near(pairs[2:]).startswith("no clip of ours")
