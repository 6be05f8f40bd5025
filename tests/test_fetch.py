"""GRID by one command, against a local server that breaks off, lies and knows no ranges."""

import hashlib
import http.server
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from amie_core import cli
from amie_core.data import corpora, fetch
from amie_core.errors import UserError


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return buffer.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """A record and its files; `cut`: bytes after which the next answers end, `ranges` or not."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut: list[int] = []
        self.ranges, self.asked, self.wrong = True, [], False
        self.files = {
            "s1.zip": archive({"s1/bbaf2n.mpg": b"film" * 50_000, "s1/lgif2p.mpg": b"other"}),
            "s2.zip": archive({"lbad6a.mpg": b"flat"}),
            "alignments.zip": archive({"alignments/s1/bbaf2n.align": b"0 1000 bin\n"}),
        }

    @property
    def record(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/record"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        name = self.path.strip("/")
        if name == "record":
            files = [
                {"key": key, "size": len(data), "links": {"self": f"{server.record[:-7]}/{key}"},
                 "checksum": "md5:" + hashlib.md5(data).hexdigest()}
                for key, data in server.files.items()
            ]  # fmt: skip
            self.answer(json.dumps({"files": files}).encode(), 0)
            return
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1]) if server.ranges else 0
        server.asked.append((name, begin))
        data = server.files[name]
        if server.wrong:
            data, server.wrong = bytes(len(data)), False
        self.answer(data, begin)

    def answer(self, data: bytes, begin: int) -> None:
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        cut = self.server.cut if self.path != "/record" else []
        self.wfile.write(data[begin:][: cut.pop(0) if cut else None])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served
        served.shutdown()


def names(root: Path) -> set[str]:
    files = (p for p in root.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {str(p.relative_to(root)) for p in files}


def test_speakers_come_unpacked_and_once(server: Server, tmp_path: Path, capsys) -> None:
    root = tmp_path / "grid"
    new = fetch.fetch_grid(root, (1, 2), record=server.record, pause=0.0)
    assert new == ["s1", "s2", "alignments"]
    assert names(root) == {"s1/bbaf2n.mpg", "s1/lgif2p.mpg", "s2/lbad6a.mpg",
                           "alignments/s1/bbaf2n.align"}  # fmt: skip
    assert "CC BY 4.0" in capsys.readouterr().out.splitlines()[0]
    sources = {(s.speaker, s.utterance): s for s in corpora.corpus("grid", root)}
    assert len(sources) == 3 and corpora.words(sources["s1", "bbaf2n"])
    asked = len(server.asked)
    assert fetch.fetch_grid(root, (1, 2), record=server.record, pause=0.0) == []
    assert len(server.asked) == asked


def test_cut_off_twice_it_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.cut = [70_000, 60_000]
    fetch.fetch_grid(tmp_path, (1,), record=server.record, pause=0.0)
    assert [begin for name, begin in server.asked if name == "s1.zip"] == [0, 70_000, 130_000]
    assert (tmp_path / "s1/bbaf2n.mpg").read_bytes() == b"film" * 50_000


def test_a_connection_that_stays_broken_is_said_and_resumed(server: Server, tmp_path: Path) -> None:
    server.cut = [70_000, *[0] * fetch.TRIES]
    with pytest.raises(UserError, match="broke off 5 times"):
        fetch.fetch_grid(tmp_path, (1,), record=server.record, pause=0.0)
    assert names(tmp_path) == {".s1.zip.part"}
    fetch.fetch_grid(tmp_path, (1,), record=server.record, pause=0.0)
    assert server.asked[-2] == ("s1.zip", 70_000) and (tmp_path / "s1").is_dir()


def test_a_network_that_is_gone_is_not_taken_for_the_disk(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> bytes:
        raise OSError(113, "No route to host")

    with monkeypatch.context() as patched:
        patched.setattr(fetch, "CHUNK", 1000)
        patched.setattr(fetch.http.client.HTTPResponse, "read", gone)
        with pytest.raises(UserError, match=r"(?i)no route to host") as told:
            address = server.record.replace("/record", "/s1.zip")
            archive = fetch.Archive("s1.zip", address, 10, ("md5", ""))
            fetch._download(archive, tmp_path / "part", 0.0)
    assert "broke off" in str(told.value)


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.cut, server.ranges = [70_000], False
    fetch.fetch_grid(tmp_path, (1,), record=server.record, pause=0.0)
    assert (tmp_path / "s1/bbaf2n.mpg").read_bytes() == b"film" * 50_000


def test_a_wrong_checksum_is_refused_and_nothing_unpacked(server: Server, tmp_path: Path) -> None:
    server.wrong = True
    with pytest.raises(UserError, match="checksum"):
        fetch.fetch_grid(tmp_path, (1,), record=server.record, pause=0.0)
    assert names(tmp_path) == set()
    fetch.fetch_grid(tmp_path, (1,), record=server.record, pause=0.0)
    assert (tmp_path / "s1").is_dir()


@pytest.mark.parametrize("name", ["../evil.mpg", "/evil.mpg", "s1/../../evil.mpg"])
def test_an_archive_cannot_write_elsewhere(server: Server, tmp_path: Path, name: str) -> None:
    server.files["s1.zip"] = archive({"s1/a.mpg": b"a", name: b"evil"})
    with pytest.raises(UserError, match="outside"):
        fetch.fetch_grid(tmp_path / "grid", (1,), record=server.record, pause=0.0)
    assert not list(tmp_path.rglob("evil.mpg")) and not (tmp_path / "grid" / "s1").exists()


def test_what_cannot_be_is_said_in_a_line(server: Server, tmp_path: Path, capsys) -> None:
    for wrong in ((21,), (0,), (35,)):
        with pytest.raises(UserError, match="no videos of speaker"):
            fetch.fetch_grid(tmp_path, wrong, record=server.record)
    server.files["s1.zip"] = b"no archive"
    with pytest.raises(UserError, match="no whole ZIP"):
        fetch.fetch_grid(tmp_path, (1,), record=server.record, pause=0.0)
    with pytest.raises(UserError, match="is there a connection"):
        fetch.fetch_grid(tmp_path, (1,), record="http://127.0.0.1:9/record")
    assert cli.main(["fetch", "grid", "--speakers", "21", "--out", str(tmp_path)]) == 2
    assert "amie: GRID has no videos of speaker 21: " in capsys.readouterr().err
