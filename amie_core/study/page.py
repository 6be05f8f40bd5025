"""The ballot's page in a notebook: the very folder that raters get, served to this machine alone.

Jupyter itself cannot show it: it serves what lies below its own folder only, and as a page that
may keep and save nothing.
"""

import threading
import zlib
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from amie_core.show.figures import Shown
from amie_core.study.sample import read_ballot

HOME = "127.0.0.1"  # this machine: nobody else reaches the page
PORTS = range(49152, 65536)  # free for private use (RFC 6335)
HEIGHT = 800  # px: a comparison with its questions


class _Quiet(SimpleHTTPRequestHandler):
    """A static server that writes no log into the notebook."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve(folder: str | Path) -> ThreadingHTTPServer:
    """A server of a ballot folder, in a thread of its own until it is shut down.

    The port follows from the study, because what a browser keeps of a ballot half done belongs to
    the page's address; a free one where that is taken. Raises UserError when the folder is no
    ballot.
    """
    own = PORTS[zlib.crc32(read_ballot(folder)["study"].encode()) % len(PORTS)]
    handler = partial(_Quiet, directory=str(folder))
    try:
        server = ThreadingHTTPServer((HOME, own), handler)
    except OSError:
        server = ThreadingHTTPServer((HOME, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@cache
def _address(folder: Path) -> str:
    """The address of a folder: one server for each, as long as the kernel runs."""
    return f"http://{HOME}:{serve(folder).server_port}/index.html"


def show(folder: str | Path, form: int | None = None) -> Shown:
    """The page of a ballot folder in a frame; show it as a cell's last line.

    form: which of the folder's forms; the page draws one where None. Raises UserError when the
    folder is no ballot.
    """
    folder = Path(folder).resolve()
    read_ballot(folder)
    asked = "" if form is None else f"?form={form}"
    html = (
        f'<iframe title="the ballot" src="{_address(folder)}{asked}" width="100%" '
        f'height="{HEIGHT}" style="border: 1px solid #767676"></iframe><p>An empty frame: the '
        "kernel that serves the page has stopped, or runs on another machine. Run the cell again, "
        "or open the folder's <code>index.html</code>.</p>"
    )
    return Shown("the ballot: a page that is live while this notebook runs", [("text/html", html)])
