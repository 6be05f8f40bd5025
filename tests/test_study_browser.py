"""The ballot in a real browser: by mouse, by keyboard, on a phone, through a reload, to the CSV."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, wait_for
from standins import write_run

from amie_core import cli
from amie_core.study import page
from amie_core.study.plan import shown
from amie_core.study.sample import sample

FASTER = "addEventListener('play', (event) => { event.target.playbackRate = 8; }, true);"


@pytest.fixture(scope="module")
def ballot(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("study")
    runs = [f"{n}={write_run(folder / n, seed=seed)}" for seed, n in enumerate(("red", "blue"))]
    out = folder / "ballot"
    return out, sample(runs, tiny_corpus, "train", out, trials=2, repeats=1, size=64,
                       progress=False)  # fmt: skip


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    downloads = tmp_path_factory.mktemp("downloads")
    with chromium(downloads) as browser:
        browser.downloads = downloads
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FASTER})
        yield browser


def started(driver: Any, address: str) -> None:
    """The ballot of this address from its beginning."""
    driver.get(address)
    driver.execute_script("localStorage.clear()")
    driver.get_log("performance"), driver.get_log("browser")
    driver.get(address)


def wanted(key: dict[str, Any], form: int, place: int, question: str) -> int:
    """Position of the blue clip, or in a check of the right one (blue where none is)."""
    name, turn = key["forms"][form][place]
    trial = key["trials"][name]
    clips = shown(list(trial["clips"]), turn)
    best = [c for c in clips if trial["clips"][c] == "blue"] or clips[:1]
    return clips.index(trial["right"].get(question, best[0]))


def said(driver: Any, name: str = "problem") -> str:
    return driver.find_element("id", name).text


def focus(driver: Any) -> str:
    """Text, or id, of what has the focus."""
    script = "const a = document.activeElement; return a.id || a.textContent"
    return driver.execute_script(script)


def has_played(driver: Any, count: int) -> None:
    marks = "[...document.querySelectorAll('.heard')].filter((mark) => mark.textContent)"
    wait_for(driver, f"{marks}.length >= {count}", f"{count} clips played")


def decoded(driver: Any) -> None:
    """Every clip on the page has really been decoded: H.264, 64 px, some length."""
    ready = "[...document.querySelectorAll('video')].every((video) => video.readyState >= 2)"
    wait_for(driver, ready, "clips with a picture")
    for size, seconds in driver.execute_script(
        "return [...document.querySelectorAll('video')].map((v) => [v.videoWidth, v.duration])"
    ):
        assert size == 64 and seconds > 1


def csv_of(driver: Any) -> Path:
    """Save the answers and wait for the file."""
    driver.find_element("id", "download").click()

    def there() -> list[Path]:
        return sorted(driver.downloads.glob("answers-*.csv"))

    (path,) = wait_for(driver, there, "a saved CSV")
    return path


def test_by_mouse_from_disk_through_a_reload(
    driver: Any, ballot: tuple[Path, dict], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, key = ballot
    places = len(key["forms"][3])
    started(driver, f"{(out / 'index.html').as_uri()}?form=3")
    assert driver.execute_script("return matchMedia('(width > 900px)').matches")
    driver.find_element("id", "begin").click()
    assert "Tick the box" in said(driver, "consent-problem") and focus(driver) == "agree"
    driver.find_element("id", "agree").click()
    driver.find_element("id", "begin").click()
    for place in range(places):
        assert f"Comparison {place + 1} of {places}" in said(driver, "trial-title")
        decoded(driver)
        if place == 0:  # nothing plays by itself, nothing can be skipped
            assert driver.execute_script(
                "return [...document.querySelectorAll('video')].every((v) => v.paused)"
            )
            driver.find_element("id", "next").click()
            assert "Play clip A to its end" in said(driver)
        for count, button in enumerate(driver.find_elements("css selector", "figure button"), 1):
            button.click()
            has_played(driver, count)
        if place == 0:
            driver.find_element("id", "next").click()
            assert "more realistic" in said(driver) and focus(driver) == "realistic-A"
        for question in key["questions"]:
            if place == 2 and question == "synchronization":
                # Half a trial, then a reload: clips played and the answer given are still there.
                driver.refresh()
                assert f"Comparison {place + 1}" in said(driver, "trial-title")
                has_played(driver, 3)
                assert driver.find_elements("css selector", "#question-realistic input:checked")
                driver.find_element("id", "next").click()
                assert "synchronism" in said(driver)
            letter = "AB"[wanted(key, 3, place, question)]
            driver.find_element("css selector", f"label[for={question}-{letter}]").click()
        driver.find_element("id", "next").click()
    assert "all comparisons are done" in said(driver, "end-title")
    driver.refresh()  # and the end stays the end
    path = csv_of(driver)
    assert path.read_text() == driver.find_element("id", "csv").get_attribute("value")
    asked = requests(driver)
    assert any(address.endswith(".mp4") for address in asked)
    home = out.as_uri()
    assert [a for a in asked if not a.startswith((home, "data:", "blob:"))] == []
    assert driver.get_log("browser") == []  # no error in the console

    report = tmp_path / "result.json"
    words = ["study", "analyse", "--key", f"{out}.key.json", "--answers", path.parent]
    assert cli.main([str(word) for word in [*words, "--out", report]]) == 0
    assert "PEOPLE" in capsys.readouterr().out
    result = json.loads(report.read_text())
    assert result["refused"] == [] and list(result["raters"]["checks"].values()) == ["6/6"]
    for column in result["questions"].values():
        assert column["methods"]["blue"]["votes"] == column["answers"] == 2
        assert column["repeated"]["same"] == column["repeated"]["of"] == 1

    # Withdrawing asks first, and then nothing is left.
    driver.find_element("id", "withdraw").click()
    driver.find_element("css selector", "#sure button[value=no]").click()
    assert driver.execute_script("return localStorage.length") == 1
    driver.find_element("id", "withdraw").click()
    driver.find_element("id", "sure-yes").click()
    wait_for(driver, "localStorage.length === 0", "an empty memory")
    assert "Before you begin" in said(driver, "consent-title")


def requests(driver: Any) -> set[str]:
    """All addresses that pages asked for since the log was read last."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return {event["request"]["url"] for event in sent}


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder's address on the server that notebooks use."""
    server = page.serve(folder)
    try:
        yield f"http://{page.HOME}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_by_keyboard_on_a_phone_from_a_server(driver: Any, ballot: tuple[Path, dict]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> str:
        ActionChains(driver).send_keys(*keys).perform()
        return focus(driver)

    out, key = ballot
    screen = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    still = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", still)
    with served(out) as address:
        started(driver, f"{address}/index.html?form=1")
        assert driver.execute_script("return matchMedia('(prefers-reduced-motion)').matches")
        fits(driver)
        assert press(Keys.TAB) == "agree"
        seen_focus(driver)
        press(Keys.SPACE)
        assert press(Keys.TAB) == "begin"
        press(Keys.ENTER)
        for place in range(len(key["forms"][1])):
            assert focus(driver) == "trial-title"
            assert f"Comparison {place + 1} of" in said(driver, "trial-title")
            decoded(driver)
            if place == 0:
                fits(driver)
                named(driver)
            for count, name in enumerate(("clip A", "clip B", "real recording"), 1):
                assert press(Keys.TAB) == f"Play {name}"
                seen_focus(driver)
                press(Keys.ENTER)
                has_played(driver, count)
            for question in key["questions"]:
                assert press(Keys.TAB) == f"{question}-A"
                seen_focus(driver)
                at = wanted(key, 1, place, question)
                assert press([Keys.SPACE, Keys.ARROW_RIGHT][at]) == f"{question}-{'AB'[at]}"
            assert press(Keys.TAB) == "next"
            press(Keys.ENTER)
        assert focus(driver) == "end-title"
        fits(driver)
        lines = driver.find_element("id", "csv").get_attribute("value").splitlines()
        assert len(lines) == 1 + 2 * len(key["forms"][1])
        positions = [int(line.split(",")[7]) for line in lines[1:]]
        assert positions == [wanted(key, 1, place, question)
                             for place in range(len(key["forms"][1]))
                             for question in key["questions"]]  # fmt: skip
        assert press(Keys.TAB) == "download"
        assert [a for a in requests(driver) if not a.startswith((address, "data:", "blob:"))] == []


def fits(driver: Any) -> None:
    """Nothing is wider than the screen, and every button is as high as a finger is wide."""
    assert driver.execute_script(
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    heights = driver.execute_script(
        "return [...document.querySelectorAll('button, .button')]"
        ".map((b) => b.getBoundingClientRect().height).filter((h) => h > 0)"
    )
    assert min(heights) >= 44


def seen_focus(driver: Any) -> None:
    """What has the focus shows it."""
    style, width = driver.execute_script(
        "const s = getComputedStyle(document.activeElement); "
        "return [s.outlineStyle, parseFloat(s.outlineWidth)]"
    )
    assert style == "solid" and width >= 2


def named(driver: Any) -> None:
    """Everything that can be used has a name for screen readers, and text stands out."""
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {"button", "radio", "checkbox", "Video", "progressbar", "group", "link", "textbox"}
    found = {node["role"]["value"]: node.get("name", {}).get("value")
             for node in nodes if not node.get("ignored")}  # fmt: skip
    assert {"button", "radio", "Video", "progressbar", "group"} <= set(found)
    for node in nodes:
        if not node.get("ignored") and node["role"]["value"] in roles:
            assert node.get("name", {}).get("value"), node
    assert driver.execute_script("return document.documentElement.lang") == "en"
    contrast = (
        "const part = (c) => c.match(/[\\d.]+/g).slice(0, 3).map(Number).map((v) => v / 255)"
        ".map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);"
        "const light = (c) => { const [r, g, b] = part(c); return .2126*r + .7152*g + .0722*b; };"
        "return ['body', '#next', 'figure button', '.problem'].map((name) => {"
        " const s = getComputedStyle(document.querySelector(name));"
        " const clear = s.backgroundColor === 'rgba(0, 0, 0, 0)';"
        " const back = light(clear ? 'rgb(255, 255, 255)' : s.backgroundColor);"
        " const ink = light(s.color);"
        " return (Math.max(back, ink) + .05) / (Math.min(back, ink) + .05); });"
    )
    assert min(driver.execute_script(contrast)) >= 4.5
