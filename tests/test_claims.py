"""The paper's claims: fixed beforehand, put to paired tests, answered either way."""

import numpy as np
import pytest
from scipy import stats
from test_ablation import rows

from amie_core import config, paper
from amie_core.experiments import cells, claims
from amie_core.experiments.claims import EXCLUDED, FAILS, HOLDS, OPEN
from amie_core.paper import CLAIMS, Contrast

EVERY = dict.fromkeys(config.ABLATION, 0.0)
REAL: dict = {"distances": {"floor": {}}}


def answer(key: str, gains: dict[str, float], **more: float) -> str:
    """The verdict on a claim where these rows are better than all others by a gain."""
    found = claims.effects(rows(EVERY | gains, seeds=8, **more), REAL)  # type: ignore[arg-type]
    return claims.verdict(key, found)


@pytest.mark.parametrize(
    ("key", "gains", "said"),
    [
        ("da_matters", {r: 0.8 for r in ("b", "c", "e", "f", "ours")}, HOLDS),
        ("da_matters", {r: -0.8 for r in ("b", "c", "e", "f", "ours")}, FAILS),
        ("da_matters", {}, EXCLUDED),
        ("da_matters", {r: -0.8 for r in ("c", "e", "f", "ours")}, FAILS),  # one of two is enough
        ("mi_alone", {"a": 0.8}, FAILS),
        ("mi_alone", {}, HOLDS),
        ("asy_or_js", {"d": 0.5, "e": 0.5, "g": 1.0, "ours": 1.0, "f": 0.5, "dv_real_off": 0.5},
         HOLDS),
        ("asy_or_js", {"f": -0.8}, FAILS),
        ("amie_all", {"g": 0.8, "ours": 0.8}, HOLDS),
        ("amie_all", {"g": 0.8}, EXCLUDED),  # holds off attention; under it the effect is excluded
        ("mine_declines", {"ours": 0.8, "c": -0.8}, HOLDS),
        ("mine_declines", {"ours": 0.8, "c": 0.8}, FAILS),
    ],
)  # fmt: skip
def test_verdicts(key: str, gains: dict[str, float], said: str) -> None:
    assert answer(key, gains) == said


def test_noise_decides_nothing_and_neither_do_one_seed_or_missing_rows() -> None:
    assert answer("amie_all", {}, noise=2.0) == OPEN
    for few in (rows(EVERY, seeds=1), rows({"b": 0.0}, seeds=8), []):
        found = claims.effects(few, REAL)
        assert {claims.verdict(c.key, found) for c in CLAIMS if c.trial} == {OPEN}
    assert len(claims.answers([])) == sum(c.trial is not None for c in CLAIMS)


def test_by_the_lips_is_not_by_psnr() -> None:
    """Table 2's claim alone has PSNR beside its own metrics: it sees no lips."""
    trial = next(c.trial for c in CLAIMS if c.key == "grid_best_ssim_lmd")
    assert trial is not None and "psnr_rgb" in trial.beside

    def found(contrast: Contrast, metric: str, gain: float) -> claims.Effect:
        by_seed = {seed: gain for seed in range(8)}
        return claims.Effect("grid_best_ssim_lmd", contrast, metric, metric in trial.metrics, 0.01,
                             by_seed, 0.0, 1.0, 1.0, adjusted=0.0, excluded=1.0)  # fmt: skip

    asked = (*trial.metrics, *trial.beside)
    effects = [found(contrast, metric, -1.0 if metric == "psnr_rgb" else 1.0)
               for contrast in trial.contrasts for metric in asked]  # fmt: skip
    assert claims.verdict("grid_best_ssim_lmd", effects, by_lips=True) == HOLDS
    against = [found(trial.contrasts[0], "sync_auc", -1.0), *effects]
    assert claims.verdict("grid_best_ssim_lmd", against, by_lips=True) == FAILS


def test_a_main_effect_is_the_mean_of_its_pairs_and_its_p_students() -> None:
    of = {"a": {0: 1.0, 1: 2.0}, "c": {0: 2.0, 1: 5.0}, "d": {0: 0.0, 1: 1.0},
          "e": {0: 3.0, 1: 3.0}}  # fmt: skip
    two = Contrast("", (("c", "a"), ("e", "d")))
    assert claims.contrasted(two, of) == {0: 2.0, 1: 2.5}
    assert claims.contrasted(Contrast("", (("c", "a"),), "worse"), of) == {0: -1.0, 1: -3.0}
    assert claims.contrasted(Contrast("", (("c", "x"),)), of) == {}
    found = [e for e in claims.effects(rows(EVERY | {"b": 0.3}, seeds=5), REAL)
             if e.claim == "da_matters" and e.metric == "psnr_rgb"][0]  # fmt: skip
    deltas = list(found.by_seed.values())
    assert found.p == pytest.approx(stats.ttest_1samp(deltas, 0).pvalue)
    smaller = stats.ttest_1samp(deltas, 0.31, alternative="less").pvalue
    assert found.p_excluded == pytest.approx(smaller)


def test_every_factor_is_balanced_over_the_2x2x2() -> None:
    for factor in (paper.ATTENTION, paper.OBJECTIVE, paper.PAIRS):
        assert len({row for pair in factor for row in pair}) == 8
        for row, against in factor:
            changed = [
                name
                for name in ("loss.objective", "loss.critic_pairs", "attention.enabled")
                if value_of(row, name) != value_of(against, name)
            ]
            assert len(changed) == 1


def value_of(row: str, name: str) -> object:
    part, _, field = name.partition(".")
    return getattr(getattr(config.for_row(config.profile("grid"), row), part), field)


def test_holm_against_the_textbook() -> None:
    assert claims.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert claims.holm([0.5, 0.9]) == [1.0, 1.0] and claims.holm([]) == []


def test_what_counts_is_the_papers_own_effect_in_the_claimed_direction() -> None:
    ours = Contrast("", (("ours", "b"),))
    assert claims.counting(ours, "psnr_rgb") == pytest.approx(0.45)
    assert claims.counting(ours, "lmd_mouth_mean_256") == pytest.approx(0.19)
    worse = Contrast("", (("c", "b"),), "worse")
    assert claims.counting(worse, "psnr_rgb") == pytest.approx(0.11)
    assert claims.counting(Contrast("", (("f", "c"),)), "lmd_mouth_mean_256") == 0.05  # printed: −
    peers = Contrast("", (("ours", "glance"),))
    assert claims.counting(peers, "ssim_gaussian_rgb") == pytest.approx(0.24)


def test_the_registered_digest_follows_what_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    before = paper.registered()
    assert before == paper.registered() and len(before) == 12
    monkeypatch.setitem(paper.SMALLEST, "psnr_rgb", 0.01)
    assert paper.registered() != before


def test_fig_3_asks_for_a_share_of_mines_own_distance() -> None:
    def cell(name: str, seed: int, far: float) -> dict:
        value = {"value": far + 0.01 * np.random.default_rng([seed, len(name)]).normal()}
        distances = {"frame": {"frechet": value}, "lips": {"frechet": value},
                     "joint": {"coherence": value}}  # fmt: skip
        return {"name": name, "seed": seed, "splits": {}, "distances": distances}

    floor = {"value": 1.0}
    real = {"distances": {"floor": {"frame": {"frechet": floor}, "lips": {"frechet": floor},
                                    "joint": {"coherence": floor}}}}  # fmt: skip
    for ours, said in ((2.0, HOLDS), (4.0, FAILS), (3.0, EXCLUDED)):
        found = claims.effects(
            [cell(n, s, far) for n, far in (("c", 3.0), ("ours", ours + 1e-9)) for s in range(8)],
            real,
        )
        own = [e for e in found if e.claim == "fig_3"]
        assert own[0].counts == pytest.approx(0.4, abs=0.01)
        assert claims.verdict("fig_3", found) == said


def replicated(seeds: int, lmd: float, noise: float = 0.01) -> list[dict]:
    """Deposits of the replication's own seeds, so many of each test's, no coherence among them."""
    made = rows(dict.fromkeys(("baseline", "a", "b", "c"), 0.0) | {"a": lmd}, 8 + seeds, noise)
    stamp = {"replication": paper.registered_replication()}
    return [cell | stamp for cell in made if cell["seed"] >= 8]


def test_the_replication_decides_by_its_own_seeds_alone_what_was_left_open() -> None:
    first = claims.effects(rows(EVERY, seeds=8, noise=2.0), REAL)
    assert claims.verdict("mi_alone", first) == OPEN
    few = claims.replication(replicated(7, 0.0), REAL)
    assert {e.outcome for e in few} == {OPEN} and len(few) == 2  # a seed is missing
    found = claims.replication(replicated(8, 0.0) + rows(EVERY, seeds=8, noise=2.0), REAL)
    alone = next(e for e in found if e.claim == "mi_alone")
    assert sorted(alone.by_seed) == [*range(8, 16)] and alone.outcome == HOLDS
    deltas = list(alone.by_seed.values())
    smaller = stats.ttest_1samp(deltas, 0.05, alternative="less").pvalue
    assert alone.p_excluded == pytest.approx(smaller)
    assert alone.excluded >= 2 * 5 * smaller  # six tests, two looks; at most one was smaller
    unsaid = [{k: v for k, v in cell.items() if k != "replication"} for cell in replicated(8, 0.0)]
    assert claims.replication(unsaid, REAL) == []  # made before it was registered
    other = [cell | {"replication": "another"} for cell in unsaid]
    assert claims.replication(other, REAL) == []
    worse = claims.replication(replicated(8, 1.0), REAL)
    assert next(e for e in worse if e.claim == "mi_alone").outcome == FAILS


def test_the_replication_leaves_what_was_decided() -> None:
    first = claims.effects(rows(EVERY, seeds=8), REAL)
    again = claims.replication(replicated(8, 1.0), REAL)
    assert claims.with_replication(first, again) == first
    pooled = claims.effects(rows(EVERY, seeds=8) + replicated(8, 1.0), REAL)
    assert pooled == first  # nothing of it counts in the first study
    opened = claims.effects(rows(EVERY, seeds=8, noise=2.0), REAL)
    told = claims.with_replication(opened, again)
    changed = [(e.claim, e.metric) for e, before in zip(told, opened, strict=True) if e != before]
    assert ("mi_alone", "lmd_mouth_mean_256") in changed and len(changed) <= 2


def test_the_replications_tests_are_the_claims_own_and_its_cells_new() -> None:
    for again in paper.REPLICATION:
        trial = next(c.trial for c in CLAIMS if c.key == again.claim)
        assert again.contrast in [contrast.words for contrast in trial.contrasts]
        assert again.metric in trial.metrics and min(again.seeds) == paper.SEEDS
    made = cells.planned_replication("grid")
    assert len({cell.key for cell in made}) == len(made) == 4 * 8 + 24 + 16
    assert not {c.key for c in cells.planned("grid")} & {c.key for c in made}
    assert cells.planned_replication("smoke") == []


def test_seeds_needed_grow_with_the_spread() -> None:
    assert claims.seeds_needed(0.036, 0.31, 1) <= 3
    assert claims.seeds_needed(0.036, 0.1, 174) > claims.seeds_needed(0.036, 0.1, 1)
    assert claims.seeds_needed(0.072, 0.1, 174) > claims.seeds_needed(0.036, 0.1, 174)
