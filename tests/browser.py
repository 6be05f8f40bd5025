"""A real, headless Chromium for tests; where there is none they are skipped, and say so."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WAIT = 30  # s that a condition may take on a busy machine


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
