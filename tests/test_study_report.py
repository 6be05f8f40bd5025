"""Table 4, the figure and the tables: people's votes and simulated ones cannot be mistaken."""

import json
from pathlib import Path

import pytest
from keys import write_key
from matplotlib.text import Text
from test_study_answers import filled, write

from amie_core.errors import UserError
from amie_core.study import analysis, plan, report
from amie_core.study.simulate import simulate

KEY = write_key(["davs", "atvgnet", "ours", "copied_identity"], trials=8, choices=3)


def test_table_4_without_a_study() -> None:
    table = report.table4()
    assert list(table.index) == ["Zhou et al. [2019]", "Chen et al. [2019]", "AMIE (Ours)"]
    assert set(table.filter(like="ours").to_numpy().ravel()) == {"no study has been run"}
    assert list(table["realistic, paper"]) == ["15.22", "28.37", "56.41"]
    assert list(table["synchronization, paper"]) == ["18.17", "32.92", "48.91"]


def test_table_4_of_people(tmp_path: Path) -> None:
    lax = KEY | {"trials": {n: t | {"right": {}} for n, t in KEY["trials"].items()}}
    assert report.people(lax, []) is None
    file = write(tmp_path / "a.csv", filled("aaaaaaaa", 0, lax))
    result = report.people(lax, [file])
    table = report.table4(result)
    assert list(table.index)[3:] == ["copied_identity"]
    assert table.loc["copied_identity", "realistic, paper"] == "–"
    share = result["questions"]["realistic"]["methods"]["ours"]["share"]
    assert table.loc["AMIE (Ours)", "realistic, ours"].startswith(f"{100 * share:.2f} [")
    assert "simulated" not in str(report.votes(result).findobj(Text)).lower()


def test_simulated_raters_are_never_read_as_votes(tmp_path: Path) -> None:
    files = simulate(KEY, tmp_path, 12)
    assert report.people(KEY, files) is None
    result = analysis.analyse(KEY, [tmp_path], simulated=True, draws=50)
    with pytest.raises(UserError, match="people's votes, these are simulated raters"):
        report.table4(result)
    assert "SIMULATED RATERS: NOBODY VOTED" in str(report.votes(result).findobj(Text))
    assert "simulated raters: nobody voted" in report.shares(result).to_string()
    assert json.loads(json.dumps(result))["source"] == "simulated raters: nobody voted"


def test_the_plan_is_drawn_clip_by_clip() -> None:
    names = ["davs", "ours"]
    trials = [
        plan.Trial(plan.MAIN, 0, ("davs", "ours")),
        plan.Trial(plan.REAL, 1, ("real", "davs")),
        plan.Trial(plan.SHIFT, 2, ("shift1", "shift0")),
    ]
    forms = plan.forms([trial.kind for trial in trials], 2, 1)
    assert len(forms) == 6  # orders of three trials, each once; a seventh would not be drawn
    fig = report.sampling(names, trials, forms)
    said = [text.get_text() for text in fig.axes[0].texts]
    marks = {"davs": "d", "ours": "o", "real": "R", "shift0": "0", "shift1": "1"}
    wanted = []
    for form in forms:
        for number, turn in form:
            clips = plan.shown(list(trials[number].methods), turn)
            wanted += [str(number), *(marks[clip] for clip in clips)]
    assert said == wanted
    legend = [text.get_text() for text in fig.legends[0].get_texts()]
    assert legend[:2] == ["d  davs", "o  ours"]


def test_what_the_volunteers_could_have_shown() -> None:
    table = report.volunteers()
    printed = table.loc["printed"]
    assert set(printed.filter(like="realistic")) == {"66.5%"}  # 56.41 / (56.41 + 28.37)
    assert set(printed.filter(like="synchronization")) == {"59.8%"}  # 48.91 / (48.91 + 32.92)
    least = table.drop("printed").map(lambda cell: float(cell.rstrip("%")))
    assert (least.diff().dropna() < 0).all().all()  # more answers find less
    independent = least.filter(like="independent").to_numpy()
    assert (independent <= least.filter(like="correlated").to_numpy()).all()
    # What notebook 07 and the README say in words.
    assert (least.loc[1] > [66.5, 66.5, 59.8, 59.8]).all()
    assert (least.loc[5][:2] < 66.5).all() and (least.loc[5][2:] > 59.8).all()
    assert (least.loc[20] < [66.5, 66.5, 59.8, 59.8]).all()
