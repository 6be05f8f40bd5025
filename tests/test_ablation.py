"""Table 3: the arithmetic of paired differences, and verdicts that can come out either way."""

import numpy as np
import pytest
from scipy import stats

from amie_core import config, paper
from amie_core.experiments import ablation, claims, tables

GOOD = {"psnr_rgb": 1.0, "ssim_gaussian_rgb": 0.05, "lmd_mouth_mean_256": -0.3}


def cell(name: str, seed: int, psnr: float = 29.0, ssim: float = 0.9, lmd: float = 1.0) -> dict:
    """A deposit with two clips whose means are the values given."""
    clip = {"psnr_rgb": psnr, "ssim_gaussian_rgb": ssim, "lmd_mouth_mean_256": lmd,
            "lip_correlation": 0.7, "lip_variance_ratio": None, "sync_auc": 0.6,
            "speaker": "s1"}  # fmt: skip
    lower, upper = dict(clip, psnr_rgb=psnr - 1), dict(clip, psnr_rgb=psnr + 1)
    splits = {split: {"clips": [lower, upper]} for split in ("test_seen", "test_unseen")}
    return {"name": name, "seed": seed, "splits": splits, "distances": {}}


def rows(gains: dict[str, float], seeds: int = 3, noise: float = 0.01) -> list[dict]:
    """Deposits of rows whose three metrics are better by a gain, with a little noise a seed."""
    found = []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        base = random.normal(0, 1)  # a seed's own luck: pairing takes it out
        for name, gain in gains.items():
            g = gain + random.normal(0, noise)
            found.append(
                cell(name, seed, 29 + base + g * GOOD["psnr_rgb"],
                     0.9 + g * GOOD["ssim_gaussian_rgb"], 1 + g * GOOD["lmd_mouth_mean_256"])
            )  # fmt: skip
    return found


def test_paired_difference_is_students_t_over_seeds() -> None:
    a, b = {0: 1.0, 1: 2.0, 2: 4.0}, {0: 0.5, 1: 1.0, 2: 2.0, 7: 9.0}
    found = ablation.difference(a, b)
    theirs = stats.ttest_rel([1.0, 2.0, 4.0], [0.5, 1.0, 2.0])
    assert (found.mean, found.seeds) == (pytest.approx(3.5 / 3), 3)
    assert found.p == pytest.approx(theirs.pvalue)
    interval = theirs.confidence_interval(0.95)
    assert found.interval == pytest.approx((interval.low, interval.high))


def test_one_seed_has_a_difference_and_no_interval() -> None:
    found = ablation.difference({0: 2.0}, {0: 1.0, 1: 5.0})
    assert (found.mean, found.interval, found.p) == (1.0, None, None)
    assert ablation.difference({0: 1.0}, {1: 1.0}) is None
    assert ablation.with_interval(1.0, None, ".2f", " (one seed)") == "1.00 (one seed)"
    assert ablation.with_interval(1.0, (-0.5, 2.5), "+.1f") == "+1.0 [-0.5, +2.5]"


def test_table_sets_the_papers_value_beside_ours() -> None:
    found = ablation.table(rows({"baseline": 0.0, "b": 0.5, "dv_real_off": 0.1}))
    line = found[(found["row"] == "b") & (found["metric"] == "psnr_rgb")].iloc[0]
    assert line["paper"] == 29.19
    assert line["paper_difference"] == pytest.approx(0.31)
    assert line["difference"] == pytest.approx(0.5, abs=0.05)
    own = found[(found["row"] == "dv_real_off") & (found["metric"] == "psnr_rgb")].iloc[0]
    assert own["paper"] is None or np.isnan(own["paper"])
    assert "lip_variance_ratio" not in set(found["metric"])  # no clip had a value


def test_every_row_is_compared_and_named() -> None:
    assert set(ablation.AGAINST) == set(config.ABLATION) - {"baseline"}
    assert set(ablation.LABELS) == set(config.ABLATION)
    assert {score.row for score in paper.TABLE_3} <= set(config.ABLATION)


def test_table_as_markdown_and_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path))
    found = rows({"baseline": 0.0, "a": 0.0, "b": 0.5})
    clip = {"psnr_rgb": 28.0, "sync_auc": None}
    real = {"rows": {split: {"copied_identity": [clip], "real_frames": [clip]}
                     for split in ("test_seen", "test_unseen")},
            "judge": {split: {"auc": 0.97} for split in ("test_seen", "test_unseen")}}  # fmt: skip
    origin = {"profile": "smoke", "corpus": "synthetic", "seeds": [0, 1, 2], "steps": 1, "size": 32,
              "runs": 9, "hours": 0.1, "machine": ["x"], "commit": ["c"]}  # fmt: skip
    tables.save_table_3(found, claims.effects(found, real), real, origin)
    text = (tmp_path / "table3_smoke.md").read_text()
    assert "(b) + DA [b]" in text and "paper 29.19 (+0.31)" in text and "| 0.970 |" in text
    assert "holds" in text and "seeds 0, 1, 2" in text
    assert (tmp_path / "table3_smoke.csv").read_text().count("\n") == 1 + 2 * 3 * 5
    html = tables.styled(ablation.table(found), real, "test_seen")
    assert "copied identity" in html and "29.5" in html
