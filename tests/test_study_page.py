"""The ballot's page in a notebook: what is served, to whom, where, and what the cell shows."""

import json
import re
import secrets
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from amie_core.errors import UserError
from amie_core.study import page, sample


@pytest.fixture
def ballot(tmp_path: Path) -> Path:
    """A ballot folder without clips, its key beside it; no other test has its study, or port."""
    folder = tmp_path / "ballot"
    folder.mkdir()
    (folder / "index.html").write_text("<h1>the page</h1>")
    study = json.dumps({"study": secrets.token_hex(6)})
    (folder / sample.TRIALS).write_text(f"{sample.HEAD}{study};\n")
    (tmp_path / "ballot.key.json").write_text(study)
    return folder


def fetched(port: int, name: str) -> bytes:
    with urlopen(f"http://{page.HOME}:{port}/{name}", timeout=60) as answer:
        return answer.read()


def test_the_folder_is_served_and_nothing_beside_it(ballot: Path) -> None:
    first, second = page.serve(ballot), page.serve(ballot)
    try:
        assert first.server_address[0] == page.HOME and first.server_port != second.server_port
        for server in (first, second):
            for name in ("index.html", "trials.js"):
                assert fetched(server.server_port, name) == (ballot / name).read_bytes()
            for beside in ("../ballot.key.json", "%2e%2e/ballot.key.json"):
                with pytest.raises(HTTPError, match="404") as refused:
                    fetched(server.server_port, beside)
                refused.value.close()
    finally:
        for server in (first, second):
            server.shutdown()
            server.server_close()
    again = page.serve(ballot)  # the same address: there the browser keeps a ballot half done
    assert again.server_port == first.server_port
    again.shutdown(), again.server_close()


def test_a_cell_shows_the_page_in_a_frame(
    ballot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = []
    serve = page.serve
    monkeypatch.setattr(page, "serve", lambda folder: servers.append(serve(folder)) or servers[-1])
    page._address.cache_clear()
    try:
        shown = [page.show(ballot), page.show(str(ballot), form=3)]
        assert len(servers) == 1  # run again, the cell shows the same address
        (kind, html), (_, asked) = (output for one in shown for output in one.outputs)
        (address,) = re.findall(r'<iframe [^>]*src="([^"]+)"', html)
        assert kind == "text/html" and f'src="{address}?form=3"' in asked
        assert address == f"http://{page.HOME}:{servers[0].server_port}/index.html"
        assert "live while this notebook runs" in repr(shown[0])
    finally:
        page._address.cache_clear()
        for server in servers:
            server.shutdown()
            server.server_close()


def test_no_ballot_no_page(tmp_path: Path) -> None:
    for make in (page.serve, page.show):
        with pytest.raises(UserError, match="no ballot"):
            make(tmp_path)
