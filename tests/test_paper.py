"""What the paper printed, and that the ledger and the index of equations follow the code."""

import importlib

import pytest
from conftest import ROOT

from amie_core import paper
from amie_core.config import ABLATION, PROFILES


def test_tables_are_the_printed_ones() -> None:
    assert [len(t) for t in (paper.TABLE_1, paper.TABLE_2, paper.TABLE_3, paper.TABLE_4)] == [
        5, 4, 9, 3,
    ]  # fmt: skip
    assert paper.TABLE_1[-1].psnr != paper.TABLE_3[-1].psnr  # 32.08 and 29.64, as printed
    for column in ("realistic", "synchronization"):
        assert sum(getattr(row, column) for row in paper.TABLE_4) == pytest.approx(100)


def test_table_3_names_rows_that_can_be_trained() -> None:
    assert [row.row for row in paper.TABLE_3] == [row for row in ABLATION if row != "dv_real_off"]


def test_claims_that_fail_do_fail_by_the_printed_numbers() -> None:
    holds = {claim.key: claim.holds for claim in paper.CLAIMS}
    rows = {row.row: row for row in paper.TABLE_3}
    ours, best = paper.TABLE_2[-1], max(paper.TABLE_2, key=lambda row: row.psnr)
    assert holds["always_best"] == (ours is best)
    assert holds["asy_or_js"] == (rows["f"].lmd < rows["c"].lmd)
    assert holds["mine_declines"] == (rows["c"].lmd > rows["b"].lmd)
    assert holds["lrw_same_model"] == (paper.TABLE_1[-1].psnr == rows["ours"].psnr)


@pytest.mark.parametrize("equation", paper.EQUATIONS, ids=lambda equation: equation.number)
def test_every_equation_is_somewhere(equation: paper.Equation) -> None:
    module, _, name = equation.where.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert callable(found)


def test_equations_are_numbered_as_printed() -> None:
    assert [equation.number for equation in paper.EQUATIONS] == list(range(1, 14))


@pytest.mark.parametrize("profile", PROFILES)
def test_ledger_states_the_settings_in_force(profile: str) -> None:
    settings = PROFILES[profile]
    rows = {row.topic: row for row in paper.ledger(settings)}
    assert f"{settings.loss.mi:g}" in rows["λ1, λ2, λ3"].ours
    assert str(settings.train.steps) in rows["length of training"].ours
    assert all("{" not in row.ours for row in rows.values())
    assert {row.kind for row in rows.values()} == {"stated", "chosen", "changed"}
    assert all(row.reason for row in rows.values() if row.kind == "changed")


def test_figures_readme_shows_the_ledger_of_the_grid_profile() -> None:
    page = (ROOT / "figures" / "README.md").read_text(encoding="utf-8")
    assert page.count(paper.ledger_markdown(PROFILES["grid"])) == 1
    lines = paper.ledger_markdown(PROFILES["grid"]).splitlines()
    assert {line.replace(r"\|", "").count("|") for line in lines} == {7}  # six cells each
