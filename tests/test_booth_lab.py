"""The booth in a real JupyterLab: files chosen, the button pressed, a clip that plays."""

from pathlib import Path

import nbformat
import pytest
from browser import chromium
from media import drawn
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from standins import write_hum
from test_study_lab import Page, lab

from notebooks.refresh_outputs import KERNEL

# A dialogue for files cannot be answered: the field that opens it is put into the page instead.
CATCH = """
HTMLInputElement.prototype.click = function () {
    this.id = 'caught'; this.style.display = 'block'; document.body.prepend(this);
};
"""


def test_the_booth_in_jupyterlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path / "work"))
    home = tmp_path / "home"
    home.mkdir()
    code = new_code_cell("from amie_core.talking.booth import Booth\nBooth()")
    book = new_notebook(cells=[code], metadata=KERNEL)  # without one JupyterLab asks for it
    nbformat.write(book, home / "00.ipynb")
    Image.fromarray(drawn(frames=1)[0][0]).save(tmp_path / "me.png")
    (tmp_path / "broken.png").write_text("no picture")
    sound = write_hum(tmp_path / "me.wav", 1.2)
    with chromium(tmp_path) as driver, lab(home) as address:
        page = Page(driver)
        page.run_all(f"{address}lab/tree/00.ipynb?token=here")
        page.until("document.querySelectorAll('.amie-booth button').length >= 3", "the booth")

        driver.execute_script(CATCH)

        def choose(number: int, path: Path) -> None:
            page.click(".amie-booth .widget-upload", number)
            page.until("document.querySelector('#caught')", "the file dialogue")
            driver.find_element("css selector", "#caught").send_keys(str(path))
            upload = f"document.querySelectorAll('.amie-booth .widget-upload')[{number}]"
            page.until(f"{upload}.innerText.includes('(1)')", "the file in its place")
            driver.execute_script("document.querySelector('#caught').remove()")

        choose(0, tmp_path / "broken.png")
        page.click(".amie-booth button", word="Talk")
        page.until(
            "document.querySelector('.amie-booth').innerText.includes('not a readable image')",
            "a refusal in a line",
        )
        choose(0, tmp_path / "me.png")
        choose(1, sound)
        page.click(".amie-booth button", word="Talk")
        video = "document.querySelector('.amie-booth video')"
        page.until(f"{video}?.readyState >= 2", "a clip with a picture")
        width, seconds = driver.execute_script(f"return [{video}.videoWidth, {video}.duration]")
        assert width == 256 and seconds == pytest.approx(1.2, abs=0.1)
        assert not driver.execute_script(
            "return document.querySelector('.amie-booth').innerText"
        ).count("not a readable image")
