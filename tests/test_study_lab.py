"""Notebook 07 in a real JupyterLab: run from top to bottom, its ballot answered by clicking."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser import WAIT, chromium
from conftest import ROOT
from media import drawn, write_media
from standins import write_run

from amie_core.config import run_key
from amie_core.data import store
from amie_core.experiments import notebook
from amie_core.experiments.notebook import Settings

LONG = 240  # s that starting JupyterLab, and running the notebook, may take on a busy machine


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The smoke profile on a folder of five short clips, with an untrained run in its workspace."""
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setenv("AMIE_FIGURES", str(tmp_path / "figures"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    frames, sound = drawn(1)
    raw, lines = tmp_path / "raw", ["speaker,utterance,split"]
    for number, split in enumerate(["train", "train", "test_seen", "test_seen", "test_seen"]):
        part = slice(6 * number, 6 * number + 24)
        wave = sound[part.start * 640 : part.stop * 640]
        write_media(raw / "one" / f"u{number}.mp4", frames[part], wave)
        lines.append(f"one,u{number},{split}")
    (raw / "splits.csv").write_text("\n".join(lines) + "\n")
    made = Settings(data=str(raw))
    data = notebook.prepared(made)
    assert len(store.clips(data, "test_seen")) == 3
    key = run_key(made.scale, made.seed, store.digest(data))
    run = write_run(tmp_path / "work" / "runs" / f"smoke-ours-0-{key}")
    (run / "config.json").write_text(json.dumps({"key": key}))
    return made


@contextmanager
def lab(folder: Path) -> Iterator[str]:
    """Address of a JupyterLab of this machine that shows a folder; it reads nobody's settings."""
    own = folder / "jupyter"
    tracker = own / "settings" / "@jupyterlab" / "notebook-extension"
    tracker.mkdir(parents=True)
    # Every cell in the page, also those that are not in view.
    (tracker / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    places = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }  # fmt: skip
    environment = os.environ | {name: str(own / place) for name, place in places.items()}
    environment["PYTHONPATH"] = str(ROOT)
    words = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        "--port=0", "--IdentityProvider.token=here", f"--ServerApp.root_dir={folder}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + LONG
        while not (found := list((own / "run").glob("jpserver-*.json"))):
            assert server.poll() is None and time.monotonic() < end, (
                folder / "lab.log"
            ).read_text()
            time.sleep(0.1)
        yield json.loads(found[0].read_text())["url"]
    finally:
        server.terminate()
        server.wait(WAIT)


class Page:
    """What the test does in JupyterLab; elements may be drawn anew at any time, so it tries on."""

    def __init__(self, driver: Any) -> None:
        from selenium.common import exceptions as e
        from selenium.webdriver.support.ui import WebDriverWait

        passing = (e.StaleElementReferenceException, e.ElementClickInterceptedException,
                   e.ElementNotInteractableException)  # fmt: skip
        self.driver = driver
        self.slow = WebDriverWait(driver, LONG, 0.1, ignored_exceptions=passing)

    def until(self, condition: str, what: str) -> None:
        """Wait until JavaScript holds."""
        self.slow.until(lambda d: d.execute_script(f"return {condition}"), what)

    def text(self, selector: str) -> str:
        """The text of the first such element; empty where there is none."""
        return self.driver.execute_script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", selector
        )

    def click(self, selector: str, at: int = 0, word: str = "") -> None:
        """Click the visible element of that number (and text)."""

        def clicked(driver: Any) -> bool:
            every = driver.find_elements("css selector", selector)
            seen = [e for e in every if e.is_displayed() and word in e.text]
            if len(seen) > at:
                seen[at].click()
            return len(seen) > at

        self.slow.until(clicked, f"{selector} {word}")

    def run_all(self, address: str) -> None:
        """Open a notebook and run all of its cells."""
        self.driver.get(address)
        kernel = "[...document.querySelectorAll('.jp-Notebook-ExecutionIndicator')]"
        self.until(f"{kernel}.some((e) => e.dataset.status === 'idle')", "an idle kernel")
        self.click(".lm-MenuBar-item", word="Run")
        self.click("li[data-command='runmenu:run-all']")


def test_notebook_07_in_jupyterlab(settings: Settings, tmp_path: Path) -> None:
    copy = nbformat.read(ROOT / "notebooks" / "07_user_study.ipynb", as_version=4)
    cells = [cell for cell in copy.cells if cell.cell_type == "code"]
    cells[0].source = cells[0].source.replace('data: str = ""', f"data: str = {settings.data!r}")
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    home = tmp_path / "home"
    home.mkdir()
    nbformat.write(copy, home / "07.ipynb")
    with chromium(tmp_path) as driver, lab(home) as address:
        page = Page(driver)
        page.run_all(f"{address}lab/tree/07.ipynb?token=here")

        # The ballot comes up; it wants consent first.
        problem, title = ".amie-ballot [role=alert]", ".amie-ballot h3"
        page.click(".amie-ballot button", word="Begin")
        page.slow.until(lambda _: "Tick the box" in page.text(problem), "a refusal")
        page.click(".amie-ballot input[type=checkbox]")
        page.click(".amie-ballot button", word="Begin")
        videos = "[...document.querySelectorAll('.amie-ballot video')]"
        page.until(f"{videos}.length === 4", "three clips and the real recording")
        begun = time.monotonic()
        page.until(f"{videos}.every((v) => v.readyState >= 2)", "clips with a picture")

        # Everything below it runs too, to the last cell, without an error.
        prompts = "[...document.querySelectorAll('.jp-InputPrompt')]"
        page.until(f"{prompts}.some((p) => p.innerText === '[{len(cells)}]:')", "the last cell")
        mime = "application/vnd.jupyter.error"
        assert not driver.find_elements("css selector", f"[data-mime-type='{mime}']")

        # Two comparisons: refused while incomplete, then kept.
        page.click(".amie-ballot button", word="Next")
        page.slow.until(lambda _: page.text(problem), "a refusal")
        for place in range(2):
            assert f"Comparison {place + 1} of" in page.text(title)
            for at in (place, 3):  # of three radio buttons a question
                page.click(".amie-ballot input[type=radio]", at)

            def next_one(_: Any, number: int = place + 2) -> bool:
                page.click(".amie-ballot button", word="Next")  # refused until clips had their time
                return f"Comparison {number} of" in page.text(title)

            page.slow.until(next_one, "the next comparison")
        assert time.monotonic() - begun > 2 * 4 * 0.5
        (file,) = (tmp_path / "work" / "study").glob("*.answers/answers-notebook.csv")
        rows = list(csv.DictReader(file.open()))
        assert [(r["place"], r["question"], r["position"]) for r in rows] == [
            ("0", "realistic", "0"), ("0", "synchronization", "0"),
            ("1", "realistic", "1"), ("1", "synchronization", "0"),
        ]  # fmt: skip
        assert {row["source"] for row in rows} == {"person"}
    assert (tmp_path / "figures" / "table4_smoke.md").read_text().count(
        "no study has been run"
    ) == 6
