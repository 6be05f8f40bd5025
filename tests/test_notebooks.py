"""The notebooks as they are committed: parameters, size, cells, metadata, and the workflow."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from conftest import ROOT

from amie_core.errors import UserError
from amie_core.experiments.notebook import INJECTED
from notebooks.refresh_outputs import clean

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# A string that begins like a path, or names a folder of the repository.
PATHS = re.compile(
    r"^(/|~|\.{1,2}/|[A-Za-z]:\\)|^(work|figures|notebooks|tests|shared|amie_core)/\S*$"
)


def _code(path: Path) -> list[nbformat.NotebookNode]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


@each
def test_is_valid_and_small(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size <= 300_000


@each
def test_first_code_cell_holds_the_parameters(path: Path) -> None:
    first, *others = _code(path)
    assert _tags(first) == ["parameters"]
    assert not any("parameters" in _tags(cell) for cell in others)
    names = papermill.inspect_notebook(str(path))  # what `papermill --help-notebook` prints
    assert names["profile"]["default"].strip("\"'") == "smoke"
    for parameter in names.values():
        assert parameter["help"], f"{parameter['name']} has no comment"
        assert parameter["inferred_type_name"] != "None", f"{parameter['name']} has no type"


@each
def test_cells_are_short_and_define_little(path: Path) -> None:
    for cell in _code(path):
        assert len(cell.source.splitlines()) <= 15, cell.source
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.end_lineno - node.lineno < 5, node.name


@each
def test_no_paths_in_cells_or_outputs(path: Path) -> None:
    for cell in _code(path):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not PATHS.search(node.value), node.value
        texts = [out.get("text", "") + str(out.get("data", {}).get("text/plain", ""))
                 for out in cell.outputs]  # fmt: skip
        assert not re.search(r"(^|[\s'\"(])/\w+/\w+", "\n".join(texts))


@each
def test_metadata_is_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert not any("widget" in kind for kind in output.get("data", {}))


@each
def test_was_run_from_top_to_bottom(path: Path) -> None:
    cells = _code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each
def test_every_picture_stands_between_sentences(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    for at, cell in enumerate(cells):
        if any("image/png" in out.get("data", {}) for out in cell.get("outputs", [])):
            around = cells[at - 1].cell_type, cells[at + 1].cell_type
            assert around == ("markdown", "markdown"), cell.source


@each
def test_refuses_a_misspelt_parameter(path: Path) -> None:
    """The cells as papermill runs them, up to the one that refuses: that needs no kernel."""
    parameters, *others = [cell.source for cell in _code(path)]
    namespace: dict = {"In": []}
    with pytest.raises(UserError, match="profil3"):
        for source in (parameters, f'{INJECTED}\nprofil3 = "smoke"', *others[:2]):
            namespace["In"].append(source)
            exec(source, namespace)


def test_papermill_says_which_parameter_it_was(tmp_path: Path) -> None:
    notebook = str(FOLDER / "08_paper_audit.ipynb")
    with pytest.raises(papermill.PapermillExecutionError, match="profil3"):
        papermill.execute_notebook(
            notebook, str(tmp_path / "out.ipynb"), {"profil3": "smoke"}, progress_bar=False
        )


# Folders as people name them: Snakemake's command line would read a number, a comment, a wildcard.
@pytest.mark.parametrize("data", ["", "007", "a b #1 {x} 2024_01"])
def test_workflow_plans_every_notebook_once(data: str, tmp_path: Path) -> None:
    work = tmp_path / "w s"
    (tmp_path / data).mkdir(exist_ok=True)
    words = ["make", "reproduce", "--always-make", "--dry-run", f"DATA={data}"]
    printed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "AMIE_DATA" not in printed and (not data or data not in printed)  # by the environment
    words = ["snakemake", "--snakefile", str(FOLDER / "Snakefile"), "--cores", "2", "--dry-run",
             "--printshellcmds", "--config", "profile=smoke", "seeds="]  # fmt: skip
    own = {"AMIE_WORKSPACE": str(work), "AMIE_DATA": data}
    done = subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, env=os.environ | own,
                          capture_output=True, text=True)  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for path in NOTEBOOKS:
        assert f"{work}/notebooks/smoke/{path.name}" in said
    if data:
        assert f"-r data {shlex.quote(str(tmp_path / data))}" in said


def test_workflow_plans_a_rehearsal_its_shards_and_another_corpus(
    tmp_path: Path, tiny_corpus: Path
) -> None:
    def planned(**asked: object) -> subprocess.CompletedProcess[str]:
        words = ["snakemake", "--snakefile", str(FOLDER / "Snakefile"), "--cores", "2", "--dry-run"]
        words += ["--printshellcmds", "--config", *(f"{k}={v}" for k, v in asked.items())]
        own = {"AMIE_WORKSPACE": str(tmp_path / "work"), "AMIE_DATA": str(tmp_path)}
        own |= {"AMIE_TEST_DATA": str(tiny_corpus)}
        return subprocess.run([sys.executable, "-m", *words], cwd=tmp_path, env=os.environ | own,
                              capture_output=True, text=True)  # fmt: skip

    done = planned(profile="lrw", steps=20, shards=3)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    for k in (1, 2, 3):
        assert f"--shard {k}/3" in said
    out = tmp_path / "work" / "prepared" / f"lrw-{tmp_path.name}-16000"
    assert f"--corpus lrw --root {tmp_path} --out {out} --mfcc-rate 16000 --jobs 1" in said
    assert "notebooks/lrw-20-on-synthetic/05_ablation.ipynb" in said
    assert f"run_cell lrw-20 davs 0 --test-data {tiny_corpus}" in said
    assert said.count("run_cell lrw-20") == 17  # ten rows, seven methods, one seed
    refused = planned(profile="lrw", steps="few")
    assert refused.returncode and "unknown profile 'lrw-few'" in refused.stdout + refused.stderr


def test_stored_outputs_are_cleaned() -> None:
    bar = nbformat.v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {}})
    text = nbformat.v4.new_output("display_data", {"text/plain": "kept"})
    noise = nbformat.v4.new_output("stream", name="stderr", text="warning")
    cell = nbformat.v4.new_code_cell(
        "1", outputs=[bar, text, noise], metadata={"tags": ["parameters"], "papermill": {}}
    )
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}, "papermill": {}})
    clean(notebook)
    assert notebook.cells[0].outputs == [text]
    assert notebook.cells[0].metadata == {"tags": ["parameters"]}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
