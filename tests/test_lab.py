"""What a reader does in a real JupyterLab: the ballot of notebook 07, the booth of notebook 00."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser import Page, chromium, lab, wait_for
from conftest import ROOT
from media import drawn, write_media
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from standins import write_hum, write_run

from amie_core.config import run_key
from amie_core.data import store
from amie_core.data.prepare import prepare
from amie_core.experiments import notebook
from amie_core.experiments.notebook import Settings
from notebooks.refresh_outputs import KERNEL

# Clips play through sixteen times faster.
FASTER = "addEventListener('play', (event) => { event.target.playbackRate = 16; }, true);"
# A dialogue for files cannot be answered: the field that opens it is put into the page instead.
CATCH = """
HTMLInputElement.prototype.click = function () {
    this.id = 'caught'; this.style.display = 'block'; document.body.prepend(this);
};
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a workspace, and a home that JupyterLab shows and the browser saves to."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMIE_WORKSPACE", str(folder / "work"))
        patch.setenv("AMIE_FIGURES", str(folder / "figures"))
        patch.setenv("TQDM_DISABLE", "1")
        yield folder


@pytest.fixture(scope="module")
def reader(place: Path) -> Iterator[Page]:
    """One browser before one JupyterLab, for all tests here."""
    home = place / "home"
    with chromium(home) as driver, lab(home) as address:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FASTER})
        yield Page(driver, address)


@pytest.fixture
def settings(place: Path) -> Settings:
    """The smoke profile on a folder of four short clips, with an untrained run in its workspace."""
    frames, sound = drawn(1)
    raw, lines = place / "raw", ["speaker,utterance,split"]
    for number, split in enumerate(["train", "train", "test_seen", "test_seen"]):
        part = slice(6 * number, 6 * number + 24)
        wave = sound[part.start * 640 : part.stop * 640]
        write_media(raw / "one" / f"u{number}.mp4", frames[part], wave)
        lines.append(f"one,u{number},{split}")
    (raw / "splits.csv").write_text("\n".join(lines) + "\n")
    made = Settings(data=str(raw))
    data = notebook.prepared_folder(made)
    prepare("folder", raw, data, mfcc_rate=made.scale.mfcc_rate, jobs=1)  # in this process
    assert len(store.clips(data, "test_seen")) == 2
    key = run_key(made.scale, made.seed, store.digest(data))
    run = write_run(place / "work" / "runs" / f"smoke-ours-0-{key}")
    (run / "config.json").write_text(json.dumps({"key": key}))
    return made


def vote(driver: Any) -> int:
    """Answer the ballot in the frame that the driver is in, always clip A; how many places."""

    def visible(name: str) -> Any:
        return lambda: driver.find_element("id", name).is_displayed()

    wait_for(driver, "window.STUDY", "the ballot's trials")
    driver.find_element("id", "begin").click()
    assert "Tick the box" in driver.find_element("id", "consent-problem").text
    driver.find_element("id", "agree").click()
    driver.find_element("id", "begin").click()
    places = 0
    while not driver.find_element("id", "end").is_displayed():
        places += 1
        wait_for(driver, visible("next"), "a comparison")
        assert f"Comparison {places} of" in driver.find_element("id", "trial-title").text
        for count, button in enumerate(driver.find_elements("css selector", "figure button"), 1):
            button.click()
            played = "[...document.querySelectorAll('.heard')].filter((m) => m.textContent)"
            wait_for(driver, f"{played}.length >= {count}", f"clip {count} of 4 played")
        for question in ("realistic", "synchronization"):
            driver.find_element("id", f"{question}-A").click()
        driver.find_element("id", "next").click()
    return places


def test_notebook_07(reader: Page, settings: Settings, place: Path) -> None:
    """Run from top to bottom, its ballot filled in its frame, and the saved file read back."""
    copy = nbformat.read(ROOT / "notebooks" / "07_user_study.ipynb", as_version=4)
    cells = [cell for cell in copy.cells if cell.cell_type == "code"]
    cells[0].source = cells[0].source.replace('data: str = ""', f"data: str = {settings.data!r}")
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    home, driver = place / "home", reader.driver
    nbformat.write(copy, home / "07.ipynb")
    reader.open("07.ipynb")
    reader.run_all()
    table = place / "figures" / "table4_smoke.md"
    assert table.read_text().count("no study has been run") == 6

    (frame,) = driver.find_elements("css selector", "iframe[title='the ballot']")
    driver.switch_to.frame(frame)
    try:
        places = vote(driver)
        assert driver.execute_script("return localStorage.length") == 1  # it can keep a half ballot
        driver.find_element("id", "download").click()
        (file,) = wait_for(driver, lambda: list(home.glob("answers-*.csv")), "a saved CSV")
    finally:
        driver.switch_to.default_content()
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert places == 2 + 4 + 2 and len(rows) == 2 * places
    assert {(row["source"], row["position"]) for row in rows} == {("person", "0")}

    # The cell behind the frame reads that file, beside the notebook, and nothing of it is refused.
    (at,) = (i for i, cell in enumerate(cells) if "answers.read(" in cell.source)
    reader.run(at)
    reader.until(f"document.body.innerText.includes('1 files, {2 * places} answers read, 0 ref')",
                 "the answers read back")  # fmt: skip
    assert rows[0]["rater"] in driver.find_element("css selector", ".jp-NotebookPanel").text


def test_the_booth(reader: Page, place: Path) -> None:
    """Files chosen, the button pressed, a clip that plays."""
    code = new_code_cell("from amie_core.talking.booth import Booth\nBooth()")
    book = new_notebook(cells=[code], metadata=KERNEL)  # without one JupyterLab asks for it
    nbformat.write(book, place / "home" / "00.ipynb")
    large = Image.fromarray(drawn(frames=1)[0][0]).resize((2000, 2000))
    large.save(place / "me.png", compress_level=0)
    assert (place / "me.png").stat().st_size > 11 * 10**6  # JupyterLab's own limit is 10 MiB
    (place / "broken.png").write_text("no picture")
    sound = write_hum(place / "me.wav", 1.2)
    driver = reader.driver
    reader.open("00.ipynb")
    reader.run_all()
    reader.until("document.querySelectorAll('.amie-booth button').length >= 3", "the booth")
    driver.execute_script(CATCH)

    def choose(number: int, path: Path) -> None:
        reader.click(".amie-booth .widget-upload", number)
        reader.until("document.querySelector('#caught')", "the file dialogue")
        driver.find_element("css selector", "#caught").send_keys(str(path))
        upload = f"document.querySelectorAll('.amie-booth .widget-upload')[{number}]"
        reader.until(f"{upload}.innerText.includes('(1)')", "the file in its place")
        driver.execute_script("document.querySelector('#caught').remove()")

    said = "document.querySelector('.amie-booth').innerText.includes('not a readable image')"
    choose(0, place / "broken.png")
    reader.click(".amie-booth button", word="Talk")
    reader.until(said, "a refusal in a line")
    choose(0, place / "me.png")
    choose(1, sound)
    reader.click(".amie-booth button", word="Talk")
    video = "document.querySelector('.amie-booth video')"
    reader.until(f"{video}?.readyState >= 2", "a clip with a picture")
    width, seconds = driver.execute_script(f"return [{video}.videoWidth, {video}.duration]")
    assert width == 256 and seconds == pytest.approx(1.2, abs=0.1)
    told = driver.find_element("css selector", ".amie-booth").text
    assert "picture: me.png, sound: me.wav" in told
    assert not driver.execute_script(f"return {said}")
