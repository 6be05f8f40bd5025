"""The frame: dependencies in one place, files short and clean, citation and ledger sound."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODELS = "requirements-models.txt"
# Follow numpy closely, so their versions are kept with it although nothing asks for them by name.
WITH_NUMPY = {"numba", "llvmlite"}


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


def test_files_have_one_subject() -> None:
    code = {name: text for name, text in _texts().items() if name.endswith(".py")}
    long = {name: len(text.splitlines()) for name, text in code.items()}
    assert not {name: count for name, count in long.items() if count > 300}


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
    assert citation["license"] == PROJECT["project"]["license"] == "MIT"
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
