"""A real, headless Chromium for tests, and a JupyterLab for it to open.

Where there is no Chromium they are skipped, and say so. Nothing here sleeps: every step waits for
what it needs, so that on a busy machine a test takes longer and does not fail.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
WAIT = 60  # s that a condition on a page may take on a busy machine
LONG = 300  # s that JupyterLab, a kernel or a cell may take there
AGAIN = 10  # s after which what has not begun is asked for once more


def _missing(what: str) -> None:
    """Skip, or fail where $AMIE_BROWSER says that the browser has to be there (CI)."""
    message = f"{what}; on Debian: apt-get install chromium chromium-driver"
    if os.environ.get("AMIE_BROWSER") == "required":
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def chromium(downloads: Path) -> Iterator[Any]:
    """A driver of a fresh Chromium without memory, which saves files to `downloads`."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        _missing("no Chromium with its chromedriver here")
    try:
        from selenium import webdriver
    except ImportError:
        _missing("the package selenium (extra `browser`) is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for word in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio",
        "--disable-gpu", "--window-size=1000,1100", "--disable-background-networking",
    ):  # fmt: skip
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    service = webdriver.ChromeService(executable_path=driver)
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()


def wait_for(browser: Any, condition: Any, what: str) -> Any:
    """What `condition` (a function, or JavaScript that returns) gives once it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    def holds(driver: Any) -> Any:
        return condition() if callable(condition) else driver.execute_script(f"return {condition}")

    return WebDriverWait(browser, WAIT, poll_frequency=0.05).until(holds, what)


def _as_make_lab() -> list[str]:
    """What `make lab` tells JupyterLab of the size of uploads."""
    line = next(
        line for line in (ROOT / "Makefile").read_text().splitlines()
        if line.startswith("UPLOADS := ")
    )  # fmt: skip
    return shlex.split(line.removeprefix("UPLOADS := "))


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
        "--LabApp.news_url=None", "--expose-app-in-browser",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", *_as_make_lab(),
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


# Of the notebook in front: its kernel answers; its code cells; what their prompts say.
KERNEL = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"
ANSWERS = f"{KERNEL}?.connectionStatus === 'connected' && {KERNEL}.status === 'idle'"
CODE = "[...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell')]"
PROMPTS = f"{CODE}.map((cell) => cell.querySelector('.jp-InputPrompt').innerText.trim())"


class Page:
    """What a test does in JupyterLab; elements may be drawn anew at any time, so it tries on."""

    def __init__(self, driver: Any, address: str) -> None:
        from selenium.common import exceptions as e
        from selenium.webdriver.support.ui import WebDriverWait

        passing = (e.StaleElementReferenceException, e.ElementClickInterceptedException,
                   e.ElementNotInteractableException, e.JavascriptException)  # fmt: skip
        self.driver, self.address = driver, address
        self.slow = WebDriverWait(driver, LONG, 0.1, ignored_exceptions=passing)
        self.soon = WebDriverWait(driver, AGAIN, 0.1, ignored_exceptions=passing)

    def until(self, condition: str, what: str) -> None:
        """Wait until JavaScript holds."""
        self.slow.until(lambda d: d.execute_script(f"return {condition}"), what)

    def click(self, selector: str, at: int = 0, word: str = "") -> None:
        """Click the visible element of that number (and text)."""

        def clicked(driver: Any) -> bool:
            every = driver.find_elements("css selector", selector)
            seen = [e for e in every if e.is_displayed() and word in e.text]
            if len(seen) > at:
                seen[at].click()
            return len(seen) > at

        self.slow.until(clicked, f"{selector} {word}")

    def open(self, name: str) -> None:
        """Open a notebook, and wait for a kernel that answers."""
        self.driver.get(f"{self.address}lab/tree/{name}?token=here&reset")
        self.until(f"{CODE}.length", "the notebook's cells")
        self.until(ANSWERS, "a connected, idle kernel")

    def prompts(self) -> list[str]:
        """What stands before the code cells: [3]: of one that ran, [*]: of one that is to."""
        return self.driver.execute_script(f"return {PROMPTS}")

    def run_all(self) -> None:
        """Run all cells of the notebook in front, to the end and without an error."""
        self._begin(f"{KERNEL} && jupyterapp.commands.execute('notebook:run-all-cells')")
        self._finish()

    def run(self, at: int) -> None:
        """Run the code cell of this number."""
        book = "jupyterapp.shell.currentWidget.content"
        chosen = f"{book}.activeCellIndex = {book}.widgets.indexOf({book}.widgets.filter("
        chosen += f"(cell) => cell.model.type === 'code')[{at}])"
        self._begin(f"({chosen}, jupyterapp.commands.execute('notebook:run-cell'))")
        self._finish()

    def _begin(self, command: str) -> None:
        """Give a command until a prompt changes: one given while a kernel connects gets lost."""
        from selenium.common.exceptions import TimeoutException

        before = self.prompts()

        def begun(_: Any) -> bool:
            if self.prompts() != before:
                return True
            self.until(ANSWERS, "a connected, idle kernel")
            self.driver.execute_script(f"{command}; return true")
            try:
                return self.soon.until(lambda _: self.prompts() != before)
            except TimeoutException:
                return False

        self.slow.until(begun, "a cell that has begun")

    def _finish(self) -> None:
        """Wait until nothing is left to run, and look for errors."""
        self.until(f"!{PROMPTS}.includes('[*]:') && {ANSWERS}", "the last cell")
        wrong = self.driver.find_elements(
            "css selector", "[data-mime-type='application/vnd.jupyter.error']"
        )
        assert not wrong, "\n".join(element.text for element in wrong)
