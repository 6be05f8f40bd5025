"""The command line: names, exit codes, one line for an error, and nothing slow before it."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from standins import write_hum, write_run

from amie_core import cli
from amie_core.config import changes_of, resolve
from amie_core.data import store
from amie_core.errors import UserError

AMIE = [sys.executable, "-m", "amie_core.cli"]


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The only line that was said, on stderr."""
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1, said
    assert "Traceback" not in said.err
    return said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "Expected one of {fetch, prepare, train, talk, evaluate, study, doctor}"),
        ("preper", "preper"),
        ("prepare --corpus grid --oot x", "--oot"),
        ("prepare --corpus grid", "--out"),
        ("prepare --corpus cats --out x", "'cats'"),
        ("prepare --corpus grid --out x --jobs two", "--jobs"),
        ("prepare --corpus grid --out x", "--root"),
        ("train --data x --out y --row zz", "'zz'"),
        ("train --data x --out y --profile huge", "'huge'"),
        ("train --data x --out y --method lips", "'lips'"),
        ("train --data x --out y --devices 0", "--devices 0"),
        ("train --data none --out y", "none"),
        ("train --data x --out y --change train.stepz=1", "train.stepz"),
        ("train --data x --out y --row b --change loss.mi=0.1", "row 'b' sets it itself"),
        ("train --data x --out y --change train.mix=half", "train.mix wants float"),
        ("talk --face none.png --audio b --out c.mp4", "none.png"),
        ("talk --face a --audio b --out", "--out"),
        ("talk --face -a.png --audio b --out c.mp4", "write ./-a.png"),
        ("evaluate --run x --data none --split s --out z.json", "none"),
        ("study", "Expected one of {sample, analyse, simulate, power}"),
        ("study sample --runs a b --data none --split s --out o", "none"),
        ("study analyse --key none.json --answers x", "none.json"),
        ("study power --raters 0", "--raters 0"),
        ("doctor now", "now"),
    ],
)
def test_unusable_arguments_get_one_line(
    words: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 2
    assert said in one_line(capsys)


def parse(words: str) -> Any:
    return cli.parse(words.split())


def test_the_public_flags_parse() -> None:
    train = parse(
        "train --profile grid --data d --out o --row a --method amie --seed 3 --devices 2"
    )
    assert (train.profile, train.row, train.seed, train.devices) == ("grid", "a", 3, 2)
    talk = parse("talk --face f --audio a --out o.mp4 --checkpoint c --size 128")
    assert (talk.checkpoint, talk.size) == (Path("c"), 128)
    prepare = parse("prepare --corpus lrw --root r --out o --jobs 4")
    assert (prepare.corpus, prepare.root, prepare.jobs) == ("lrw", Path("r"), 4)
    evaluate = parse("evaluate --run r --data d --split s --out f.json")
    assert (evaluate.run_folder, evaluate.split) == (Path("r"), "s")


def test_settings_are_told_by_name_and_refused_by_type() -> None:
    words = ["train.mix=1", "train.teacher=[0.5, 0]", "train.person=4", "level=true",
             "model.compose=warp", "evaluate_clips=null", "train.steps=10"]  # fmt: skip
    told = [part for word in words for part in ("--change", word)]
    found = changes_of(cli.parse(["train", "--data", "d", "--out", "o", *told]).change)
    assert found == {
        "train.mix": 1.0, "train.teacher": (0.5, 0.0), "train.person": "4", "level": True,
        "model.compose": "warp", "evaluate_clips": None, "train.steps": 10,
    }  # fmt: skip
    assert type(found["train.mix"]) is float
    assert resolve("smoke", changes=found).train.teacher == (0.5, 0.0)
    wrong = ("train.mix=NaN", "train.mix", "model=3", "x=1", "model.compose=foo", "train.steps=1.5",
             "attention.enabled=1", "train.teacher=[1]", 'train.teacher=["a", 1]', "model.widths=3",
             "train.steps=0", "train.warmup=-1", "evaluate_clips=0", "model.__doc__=a",
             "train.clip=-1", "train.clip=0", "train.ema=1.0", "train.teacher=[5, 0]",
             "train.betas=[1.5, 2.0]", "train.lr=-1", "attention.hold=2", "loss.pixel=-1",
             "loss.mi_share=1.0", "model.canvas=1000", "train.batch=100000000",
             "corpus=lrw", "name=a")  # fmt: skip
    for word in wrong:
        with pytest.raises(UserError, match=re.escape(word.partition("=")[0])):
            changes_of([word])


def test_an_empty_word_is_no_path() -> None:
    with pytest.raises(UserError, match="--out is empty: is a variable of the shell not set"):
        cli.parse(["train", "--data", "d", "--out", ""])


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from amie_core.cli import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'numpy', 'cv2', 'librosa', 'pandas', 'av'} & set(sys.modules); "
        "print(code, heavy or '', file=sys.stderr)"
    )
    for words in ([], ["talk"]):
        line = [sys.executable, "-c", code, *words, "--help"]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        assert done.stderr.split() == ["0"]
        assert ("evaluate" if not words else "--face") in done.stdout


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("first\nsecond: do this"), 2, "amie: first second: do this"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (PermissionError(13, "Permission denied", "/locked/x"), 2, "/locked/x: Permission denied"),
        (OSError(28, "No space left on device"), 2, "No space left"),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(_: object) -> int:
        raise error

    monkeypatch.setattr(cli.Doctor, "run", fail)
    assert cli.main(["doctor"]) == code
    assert said in one_line(capsys)


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ValueError("ours")

    monkeypatch.setattr(cli.Doctor, "run", fail)
    with pytest.raises(ValueError, match="ours"):
        cli.main(["doctor"])


def test_a_reader_that_leaves_early() -> None:
    command = shlex.join([*AMIE, "--help"]) + " | true; exit ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == "" and done.returncode in (0, cli.PIPE_CLOSED)


def test_asked_to_end_it_takes_its_half_written_file_away(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    row = store.clips(tiny_corpus, "test_unseen").iloc[0]
    Image.fromarray(store.load_clip(tiny_corpus, row).frames[0]).save(tmp_path / "face.png")
    sound = tmp_path / "long.wav"
    soundfile.write(sound, np.tile(np.sin(np.arange(16_000) / 9), 600) * 0.3, 16_000)
    words = ["--face", str(tmp_path / "face.png"), "--audio", str(sound)]
    words += ["--out", str(tmp_path / "out.mp4"), "--size", "128"]
    run = subprocess.Popen([sys.executable, "-m", "amie_core.cli", "talk", *words],
                           stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                           env=os.environ | {"PYTHONFAULTHANDLER": "1"})  # fmt: skip
    while not list(tmp_path.glob(".out.*")) and run.poll() is None:
        time.sleep(0.05)
    early = run.poll()  # what it ended with where it ended by itself, crashed or was killed
    run.terminate()
    said = run.communicate()[1]
    assert (early, run.returncode) == (None, cli.ENDED) and b"interrupted" in said, said
    assert {path.name for path in tmp_path.iterdir()} == {"long.wav", "face.png"}


IMPORTED = """
import os, signal
os.kill(os.getpid(), signal.{name})
for _ in range(200_000):
    pass
whole = True
"""


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 143), ("SIGINT", 130)])
def test_asked_to_end_amid_an_import_it_ends_after_it(
    tmp_path: Path, name: str, code: int
) -> None:
    """A C extension that is interrupted while it is imported ends the process without a word."""
    (tmp_path / "asks.py").write_text(IMPORTED.format(name=name))
    # Not as whoever started the tests has it: nohup and background jobs ignore some of them.
    usual = "signal.default_int_handler" if name == "SIGINT" else "signal.SIG_DFL"
    script = ("from amie_core import cli; import signal, sys, time\n"
              f"signal.signal(signal.{name}, {usual})\n"
              "class Command:\n"
              "    def run(self):\n"
              "        import asks; print(asks.whole, flush=True); time.sleep(60)\n"
              "cli.parse = lambda words: Command()\n"
              "sys.exit(cli.main([]))")  # fmt: skip
    found = os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parents[1])])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": found}, timeout=50)  # fmt: skip
    assert (done.stdout, done.returncode) == ("True\n", code), done.stderr
    assert done.stderr.startswith("amie: interrupted") and done.stderr.count("\n") == 1


def test_a_folder_with_one_bad_clip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw" / "someone"
    raw.mkdir(parents=True)
    (raw / "broken.mp4").write_bytes(b"no video")
    words = f"prepare --corpus folder --root {raw.parent} --out {tmp_path / 'out'} --jobs 1"
    assert cli.main(words.split()) == 1
    said = capsys.readouterr()
    assert "rejected: someone/broken" in said.err and "1 rejected" in said.out


def test_talk_and_evaluate(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from PIL import Image

    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    run = write_run(tmp_path / "runs" / "run")
    row = store.clips(tiny_corpus, "test_unseen").iloc[0]
    Image.fromarray(store.load_clip(tiny_corpus, row).frames[0]).save(tmp_path / "face.png")
    sound = write_hum(tmp_path / "hum.wav", 0.5)
    out = tmp_path / "talk.mp4"
    words = ["talk", "--face", tmp_path / "face.png", "--audio", sound, "--out", out]
    assert cli.main([str(word) for word in words]) == 0  # the model that ships
    assert out.is_file() and f"{out}: 13 frames" in capsys.readouterr().out

    report = tmp_path / "e.json"
    words = ["evaluate", "--run", run, "--data", tiny_corpus, "--split", "test_unseen",
             "--limit", "1", "--out", report]  # fmt: skip
    failed = [{"speaker": "d01", "utterance": "u", "reason": "damaged"}]

    def some_failed(*_: object, **__: object) -> dict:
        return {"failed": failed}

    monkeypatch.setattr("amie_core.evaluation.evaluate.evaluate", some_failed)
    monkeypatch.setattr("amie_core.evaluation.evaluate.table", lambda result: "the table")
    assert cli.main([str(word) for word in words]) == 1
    said = capsys.readouterr()
    assert "the table" in said.out and "failed: d01/u: damaged" in said.err
