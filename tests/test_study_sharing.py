"""One browser, several raters, links and tabs: who is asked what, and that no answer is lost."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, wait_for
from keys import write_key

from amie_core.study import answers, names, page, sample

KEY = write_key(["low", "high"], trials=3)
PLACES = len(KEY["forms"][0])
BOTH = 2 * PLACES  # answers of a whole ballot

# Plays every clip to its end and answers A. The clips do not exist here, and nobody is told: how
# they play is tested where they do (test_study_browser.py).
PLAY = "for (const v of document.querySelectorAll('video')) v.dispatchEvent(new Event('ended'));"
ANSWER = "for (const q of ['realistic-A', 'synchronization-A']) document.getElementById(q).click();"
NEXT = "document.getElementById('next').click();"
NO_CLIPS = "addEventListener('error', (event) => event.stopImmediatePropagation(), true);"
# A tab that the browser has put to sleep hears nothing of what others do.
ASLEEP = "addEventListener('storage', (e) => { if (window.asleep) e.stopImmediatePropagation(); });"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "ballot"
    shutil.copytree(sample.STATIC, out)
    study = json.dumps({"study": KEY["study"]} | sample._public(KEY))
    (out / sample.TRIALS).write_text(f"{sample.HEAD}{study};\n")
    return out


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("downloads")) as browser:
        words = {"source": NO_CLIPS + ASLEEP}
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", words)
        yield browser


@pytest.fixture
def visit(driver: Any, folder: Path) -> Iterator[Callable[[str], None]]:
    """Opens the ballot in the tab in front, as from a link with `?form=…`; the memory is empty."""
    home = f"{folder.as_uri()}/index.html"
    driver.get(home)
    driver.execute_script("localStorage.clear(); sessionStorage.clear()")
    first = driver.current_window_handle
    yield lambda link="": driver.get(home + link)
    for tab in set(driver.window_handles) - {first}:
        driver.switch_to.window(tab)
        driver.close()
    driver.switch_to.window(first)


def title(driver: Any) -> str:
    """The heading of what the page shows."""
    (seen,) = [h for h in driver.find_elements("css selector", "section h2") if h.is_displayed()]
    return seen.text


def click(driver: Any, *ids: str) -> None:
    for name in ids:
        driver.find_element("id", name).click()


def code(driver: Any) -> str:
    return driver.find_element("id", "rater").text


def answer(driver: Any, count: int = 1) -> None:
    for _ in range(count):
        driver.execute_script(PLAY + ANSWER + NEXT)


def go_on(driver: Any, rater: str) -> None:
    """Press the button that is for this rater."""
    driver.find_element("css selector", f"button[data-rater={rater}]").click()


def csv(driver: Any) -> str:
    """The text of the file that the page would save; empty where it shows none."""
    return driver.execute_script("return document.getElementById('csv').value")


def read(tmp_path: Path, *texts: str) -> answers.Answers:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.csv").write_text(text)
    found = answers.read([tmp_path], KEY)
    assert found.refused == found.told_back == []
    return found


def test_the_next_rater_starts_anew(
    driver: Any, visit: Callable[[str], None], tmp_path: Path
) -> None:
    visit("")
    click(driver, "agree", "begin")
    first = code(driver)
    answer(driver, PLACES)
    assert "all comparisons are done" in title(driver)
    mine = csv(driver)
    driver.refresh()  # the same person: nothing is saved yet
    assert csv(driver) == mine and code(driver) == first

    visit("")  # the next one, in the same tab
    assert title(driver) == "Before you begin" and csv(driver) == ""
    assert not driver.find_element("id", "agree").is_selected()
    click(driver, "begin")
    assert title(driver) == "Before you begin"
    click(driver, "agree", "begin")
    second = code(driver)
    assert second != first and title(driver) == f"Comparison 1 of {PLACES}"
    answer(driver, PLACES)
    found = read(tmp_path, mine, csv(driver))
    assert {a.rater for a in found.usable} == {first, second} and len(found.usable) == 2 * BOTH
    for rater in (first, second):
        assert set(rater) <= set(names.LETTERS) and len(rater) == 8
    assert {line.split(",")[-1].isdigit() for line in mine.splitlines()[1:]} == {True}

    visit("")  # whoever closed the page before saving gets the file yet
    go_on(driver, first)
    assert csv(driver) == mine
    click(driver, "download")
    driver.refresh()  # saved: whoever loads the page now may be the next one
    assert title(driver) == "Before you begin" and csv(driver) != mine


def test_a_half_done_ballot_asks_whose_it_is(
    driver: Any, visit: Callable[[str], None]
) -> None:
    visit("")
    click(driver, "agree", "begin")
    first = code(driver)
    answer(driver, 2)
    driver.refresh()  # the same tab is the same person
    assert title(driver) == f"Comparison 3 of {PLACES}" and code(driver) == first

    visit("")
    assert title(driver) == "Whose ballot is it?"
    assert f"Go on as {first}: 2 of {PLACES}" in driver.find_element("id", "halves").text
    go_on(driver, first)
    assert title(driver) == f"Comparison 3 of {PLACES}" and code(driver) == first

    visit("")
    click(driver, "other")
    assert title(driver) == "Before you begin"
    click(driver, "agree", "begin")
    second = code(driver)
    assert second != first and title(driver) == f"Comparison 1 of {PLACES}"
    answer(driver)
    click(driver, "next-rater")  # and a third one sits down while it is half done
    assert title(driver) == "Before you begin"
    assert not driver.find_element("id", "agree").is_selected()

    visit("")  # both are still there
    for rater, count in ((first, 2), (second, 1)):
        assert f"Go on as {rater}: {count} of" in driver.find_element("id", "halves").text
    go_on(driver, second)
    click(driver, "withdraw")
    click(driver, "sure-yes")
    wait_for(driver, "localStorage.length === 1", "one ballot less")
    assert title(driver) == "Whose ballot is it?"  # the first one's


def test_the_form_of_the_link_counts(
    driver: Any, visit: Callable[[str], None], tmp_path: Path
) -> None:
    visit("?form=1")
    click(driver, "agree", "begin")
    first = code(driver)
    answer(driver, 2)
    visit("?form=3")
    assert title(driver) == "Before you begin"
    click(driver, "agree", "begin")
    answer(driver, PLACES)
    third = csv(driver)
    visit("?form=1")
    assert title(driver) == "Whose ballot is it?"
    go_on(driver, first)
    answer(driver, PLACES - 2)
    forms = [{row.split(",")[3] for row in text.splitlines()[1:]} for text in (third, csv(driver))]
    assert forms == [{"3"}, {"1"}]
    assert len(read(tmp_path, third, csv(driver)).usable) == 2 * BOTH

    most = len(KEY["forms"])
    for wrong in (str(most), "x", "-1", "1x"):
        visit(f"?form={wrong}")
        said = driver.find_element("id", "link").text
        assert f"asks for form {wrong}, but forms are numbered from 0 to {most - 1}" in said


@contextlib.contextmanager
def address(folder: Path, way: str) -> Iterator[str]:
    """The ballot as a file, or on the server that notebooks use."""
    if way == "disk":
        yield f"{folder.as_uri()}/index.html"
        return
    server = page.serve(folder)
    try:
        yield f"http://{page.HOME}:{server.server_port}/index.html"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("way", ["disk", "server"])
def test_two_tabs_lose_no_answer(
    driver: Any, visit: Callable[[str], None], folder: Path, tmp_path: Path, way: str
) -> None:
    with address(folder, way) as home:
        driver.get(home)
        driver.execute_script("localStorage.clear()")
        driver.get(home)
        click(driver, "agree", "begin")
        rater, one = code(driver), driver.current_window_handle
        driver.switch_to.new_window("tab")
        two = driver.current_window_handle
        driver.get(home)
        go_on(driver, rater)
        answer(driver, 2)

        driver.switch_to.window(one)  # it has followed
        at = "document.getElementById('trial-title').textContent"
        wait_for(driver, f"{at} === 'Comparison 3 of {PLACES}'", "the place of the other tab")
        driver.execute_script(PLAY)
        click(driver, "realistic-B")

        driver.switch_to.window(two)  # half a comparison is there, too, and is finished here
        wait_for(driver, "document.getElementById('realistic-B').checked", "the other's answer")
        click(driver, "synchronization-B", "next")
        assert title(driver) == f"Comparison 4 of {PLACES}"

        driver.switch_to.window(one)  # asleep: it hears nothing of what the other does
        wait_for(driver, f"{at} === 'Comparison 4 of {PLACES}'", "the place of the other tab")
        driver.execute_script("window.asleep = true;" + PLAY + ANSWER)
        driver.switch_to.window(two)
        answer(driver)
        driver.switch_to.window(one)
        assert title(driver) == f"Comparison 4 of {PLACES}"
        click(driver, "next")
        assert title(driver) == f"Comparison 5 of {PLACES}"
        assert "answered, in another tab" in driver.find_element("id", "problem").text
        answer(driver, PLACES - 4)
        text = csv(driver)
        driver.switch_to.window(two)
        wait_for(driver, "document.getElementById('csv').value", "the end in the other tab")
        assert csv(driver) == text
        found = read(tmp_path, text)
        assert len(found.usable) == BOTH and {a.rater for a in found.usable} == {rater}
        chosen = [line.split(",")[7] for line in text.splitlines()[1:]]
        assert chosen == ["0"] * 4 + ["1"] * 2 + ["0"] * (BOTH - 6)

        click(driver, "withdraw")
        click(driver, "sure-yes")
        wait_for(driver, "localStorage.length === 0", "an empty memory")
        driver.switch_to.window(one)
        driver.get(home)
        assert title(driver) == "Before you begin" and csv(driver) == ""


def test_a_tab_at_consent_hears_of_a_half_done_ballot(
    driver: Any, visit: Callable[[str], None]
) -> None:
    visit("")
    one = driver.current_window_handle
    driver.switch_to.new_window("tab")
    visit("")
    click(driver, "agree", "begin")
    rater = code(driver)
    driver.switch_to.window(one)
    wait_for(driver, "!document.getElementById('whose').hidden", "the question whose it is")
    go_on(driver, rater)
    assert code(driver) == rater
    click(driver, "withdraw")  # and withdrawn is withdrawn in every tab
    click(driver, "sure-yes")
    wait_for(driver, "localStorage.length === 0", "an empty memory")
    (two,) = set(driver.window_handles) - {one}
    driver.switch_to.window(two)
    wait_for(driver, "!document.getElementById('consent').hidden", "consent in the other tab")
    assert driver.execute_script("return localStorage.length") == 0


FORBIDDEN = "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } });"
FULL = "Storage.prototype.setItem = () => { throw new Error('full'); };"


@pytest.mark.parametrize("early", [True, False], ids=["forbidden", "full half way"])
def test_a_browser_that_keeps_nothing(
    driver: Any, visit: Callable[[str], None], tmp_path: Path, early: bool
) -> None:
    words = {"source": FORBIDDEN if early else ""}
    made = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", words)
    try:
        visit("")
        click(driver, "agree", "begin")
        answer(driver)
        driver.execute_script("" if early else FULL)
        answer(driver, PLACES - 1)
        assert "keeps nothing" in driver.find_element("id", "memory").text
        assert len(read(tmp_path, csv(driver)).usable) == BOTH
    finally:
        driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)
