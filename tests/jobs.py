"""Jobs that tests disturb, small: a preparation and a training, with the exit codes of `amie`."""

import os
import signal
import sys
from pathlib import Path

# What every job needs is imported once, by the server that forks them.
import amie_core.data.prepare
import amie_core.data.synthetic.corpus
import amie_core.training.loop  # noqa: F401
from amie_core import cli


def prepare(out: str) -> int:
    """Three drawn clips."""
    words = ["prepare", "--corpus", "synthetic", "--identities", "1", "--utterances", "3",
             "--jobs", "1", "--out", out]  # fmt: skip
    return cli.main(words)


def train(out: str, data: str) -> int:
    """Sixty steps of the smallest network."""
    from tiny import TINY, short

    class Job:
        def run(self) -> int:
            amie_core.training.loop.train(short(TINY, 60), data, out, progress=False)
            return 0

    cli.parse = lambda argv: Job()  # type: ignore[assignment,return-value]  # its exit codes alone
    return cli.main([])


def run(job: str, said: str, *words: str) -> None:
    """A job to its end, what it says on stderr into a file."""
    import torch

    os.environ["TQDM_DISABLE"] = "1"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as a terminal's process has it
    torch.set_num_threads(1)
    with Path(said).open("w") as file:
        os.dup2(file.fileno(), 2)
    code = {"prepare": prepare, "train": train}[job](*words)
    sys.stderr.flush()
    os._exit(code)
