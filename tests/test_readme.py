"""The README's commands run, its links lead somewhere, and Eq. 7 is two clicks away.

Commands run as written, in a folder that holds what they name, tiny: six short drawn clips as GRID,
a face, a voice. What would be long is shortened by COMMANDS; a command without an entry fails.
"""

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from media import drawn, write_media
from standins import write_hum
from tiny import TINY

from amie_core import cli, config, paper
from amie_core.experiments import pipeline

PAGES = ["README.md", "CONTRIBUTING.md", "figures/README.md", "amie_core/weights/MODEL_CARD.md"]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """Every command line of the fenced blocks, in order, without its comment."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [re.sub(r"\s#.*", "", line).strip() for line in lines if line]


def amie(*more: str) -> Callable[[list[str]], None]:
    """Runs `.venv/bin/amie …` with these words behind it, in this process."""

    def run(words: list[str]) -> None:
        assert cli.main([*words[1:], *more]) == 0

    return run


def plan(words: list[str]) -> None:
    """`make …` as it would run, its variables and its engine's settings known: nothing is made."""
    done = subprocess.run([words[0], "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and ".venv/bin/" in done.stdout, done.stderr
    for name in (word.partition("=")[0] for word in words[2:]):
        assert f"$({name})" in (ROOT / "Makefile").read_text()
    for folder in re.findall(r"--profile (\S+)", " ".join(words)):
        assert yaml.safe_load((ROOT / folder / "config.yaml").read_text())["executor"]


def parameters(words: list[str]) -> None:
    """`papermill NOTEBOOK OUT -p NAME VALUE`: the notebook has such a parameter."""
    cells = json.loads((ROOT / words[1]).read_text())["cells"]
    (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    for name in words[words.index("-p") + 1 :: 3]:
        assert re.search(rf"^{name}: ", "".join(cell["source"]), re.MULTILINE)


def one_device(words: list[str]) -> None:
    """`amie train` at the size of LRW on several devices: this machine may have one, and no GPU."""
    told = cli.parse(words[1:])
    assert told.profile == "lrw" and told.devices > 1


def fetched(words: list[str]) -> None:
    """`amie fetch`: what it does is tested against a local server (test_fetch)."""
    told = cli.parse(words[1:])
    assert told.corpus == "grid" and told.speakers and told.out == Path("GRID")


def analyse(words: list[str]) -> None:
    """`amie study analyse`, of simulated raters: nobody has voted."""
    key = words[words.index("--key") + 1]
    answers = words[words.index("--answers") + 1]
    assert cli.main(f"study simulate --key {key} --out {answers} --raters 2".split()) == 0
    amie("--simulated")(words)


# How a command begins -> what runs it here. The first that fits is taken.
COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "make ": plan,
    ".venv/bin/papermill ": parameters,
    ".venv/bin/amie train --profile lrw": one_device,
    ".venv/bin/amie train ": amie("--steps", "2"),
    ".venv/bin/amie fetch ": fetched,
    ".venv/bin/amie prepare ": amie("--jobs", "1"),
    ".venv/bin/amie study sample ": amie("--trials", "1", "--repeats", "0", "--size", "64"),
    ".venv/bin/amie study analyse ": analyse,
    ".venv/bin/amie study power ": amie(),
    ".venv/bin/amie evaluate ": amie("--limit", "1"),
    ".venv/bin/amie talk ": amie(),
    ".venv/bin/amie doctor": amie(),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the commands run in, with all that they name and do not make."""
    from PIL import Image

    frames, sound = drawn(1, 50)
    names = "abcdef"  # one to train on; a ballot's checks need a clip each
    splits = [f"s3,{name},{'train' if name == 'a' else 'test_seen'}" for name in names]
    for k, name in enumerate(names):
        first, last = 6 * k, 6 * k + 13
        film = tmp_path / "GRID" / "s3" / f"{name}.mp4"
        write_media(film, frames[first:last], sound[first * 640 : last * 640])
    table = tmp_path / "GRID" / "splits.csv"
    table.write_text("\n".join(["speaker,utterance,split", *splits]))
    Image.fromarray(frames[0]).resize((320, 320)).save(tmp_path / "me.jpg")
    (tmp_path / "faces").mkdir()
    Image.open(tmp_path / "me.jpg").save(tmp_path / "faces" / "she.png")
    write_hum(tmp_path / "me.wav", 0.5)
    small = config.with_changes(TINY, {"name": "grid", "corpus": "grid"})
    monkeypatch.setitem(config.PROFILES, "grid", small)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    return tmp_path


def test_every_command_runs(place: Path) -> None:
    for command in commands():
        print(f"README: {command}")  # shown where one fails
        found = [run for begin, run in COMMANDS.items() if f"{command} ".startswith(begin)]
        assert found, f"no tiny variant of {command!r}: give it one in COMMANDS"
        found[0](shlex.split(command))
    assert {"prepared", "run", "davs", "result.json", "me.mp4", "ballot"} <= {
        path.name for path in place.iterdir()
    }


def links(page: str) -> list[tuple[str, str]]:
    """(text, target) of a page's links and pictures, addresses elsewhere left out."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)", text)
    return [(words, target) for words, target in found if "://" not in target]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert links(page) or page == "CONTRIBUTING.md"
    for _, target in links(page):
        name, _, anchor = target.partition("#")
        found = (ROOT / page).parent / name if name else ROOT / page
        assert found.exists(), target
        assert not anchor or anchor in headings(found), target


def test_pages_are_short() -> None:
    lengths = {page: len((ROOT / page).read_text().splitlines()) for page in PAGES}
    assert lengths["README.md"] <= 200 and lengths["CONTRIBUTING.md"] <= 80


@pytest.mark.parametrize("equation", paper.EQUATIONS, ids=lambda equation: f"Eq. {equation.number}")
def test_an_equation_is_two_clicks_away(equation: paper.Equation) -> None:
    """A link whose text names the function, to the file that has it."""
    module, _, name = equation.where.rpartition(".")
    if not module.startswith("amie_core"):
        pytest.skip(f"{equation.where} is a library's")
    function = getattr(import_module(module), name)
    found = [target for text, target in links("README.md") if f"`{name}`" in text
             or f" {name}`" in text]  # fmt: skip
    (target,) = found
    assert target == f"{function.__module__.replace('.', '/')}.py"


def test_the_paper_s_part_has_about_the_lines_that_it_is_said_to_have() -> None:
    heading = re.search(r"^## The paper in ([\d,]+) lines", README, re.MULTILINE)
    said = int(heading[1].replace(",", ""))
    house = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    ours = re.findall(r"`(\w+)`", re.search(r"ours, for the model that ships: ([^|]+)", house)[1])
    assert len(ours) == 16 and set(ours) == pipeline.OURS
    lines = sum(len(path.read_text().splitlines()) for path in pipeline.core_files())
    assert abs(lines - said) <= 0.1 * said


def test_contributing_names_what_there_is() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:\w+\.)+[A-Z_]+)(?:\[|`)", text)
    assert len(names) >= 8
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(f"amie_core.{module}"), attribute), name


def rooms() -> dict[str, int]:
    """Room or file of the package -> its floor, by the table of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| ([^|]*) \|", text, re.MULTILINE)
    return {re.sub(r"/|\.py", "", name): int(floor)
            for floor, names in rows for name in re.findall(r"`([^`]+)`", names)}  # fmt: skip


def test_imports_go_down_the_floors() -> None:
    floors, package = rooms(), ROOT / "amie_core"
    there = {path.stem for path in package.iterdir() if path.suffix == ".py"}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(floors) == there - {"__init__"}
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            if not isinstance(node, ast.ImportFrom) or not module.startswith("amie_core"):
                continue
            names = [alias.name for alias in node.names] if module == "amie_core" else [module]
            for name in names:
                other = name.removeprefix("amie_core.").split(".")[0]
                assert other == room or floors[other] <= floors[room], f"{path}: {name}"
