"""The command `amie`: fetch, prepare, train, talk, evaluate, study, doctor.

Everything heavy is imported by the command that needs it, so that --help answers at once.
"""

import contextlib
import io
import itertools
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg, subcommand

from amie_core.config import ABLATION, METHODS, MOVEMENT, PROFILES, changes_of, resolve
from amie_core.errors import UserError, at_least
from amie_core.study.command import Study

DONE, SOME_FAILED, UNUSABLE, INTERRUPTED, PIPE_CLOSED, ENDED = 0, 1, 2, 130, 141, 143


@dataclass(frozen=True)
class Fetch:
    """GRID's videos by speaker (about 0.4 GB each) and its word alignments; resumes."""

    corpus: Annotated[Positional[Literal["grid"]], arg(help="the corpus")]
    out: Annotated[Path, arg(help="folder of the raw clips, --root of prepare")]
    speakers: Annotated[tuple[int, ...], arg(help="numbers from 1 to 34, but 21")]

    def run(self) -> int:
        """Fetch what is missing."""
        from amie_core.data.fetch import fetch_grid

        new = fetch_grid(self.out, self.speakers)
        print(f"{self.out}: {', '.join(new) or 'nothing'} new; next: amie prepare --corpus grid")
        return DONE


@dataclass(frozen=True)
class Prepare:
    """Raw clips to prepared clips and manifest.csv; a second call resumes."""

    corpus: Annotated[
        Literal["synthetic", "grid", "lrw", "folder", "portraits"],
        arg(help="layout of the raw clips; synthetic is drawn, folder is any videos, portraits are "
                 "pictures with the mouths of other clips"),
    ]
    out: Annotated[Path, arg(help="folder of the prepared clips")]
    root: Annotated[Path | None, arg(help="folder of the raw clips")] = None
    mouths: Annotated[Path | None, arg(help="prepared clips whose mouths portraits get")] = None
    jobs: Annotated[int | None, arg(help="processes; all cores when not given")] = None
    mfcc_rate: Annotated[int, arg(help="Hz: 16000, or 5000 as in the paper")] = 16_000
    backend: Annotated[
        Literal["auto", "mesh", "face-alignment"], arg(help="what finds the landmarks")
    ] = "auto"
    identities: Annotated[int, arg(help="faces of the synthetic corpus")] = 16
    utterances: Annotated[int, arg(help="clips a face of the synthetic corpus")] = 8
    shard: Annotated[
        str, arg(help="2/4: the second of four parts alone; the call without it gathers them")
    ] = ""

    def run(self) -> int:
        """Prepare; 1 when some clips were rejected."""
        from amie_core.data.prepare import prepare, shard_folder

        if self.root is None and self.corpus != "synthetic":
            raise UserError(f"corpus {self.corpus} needs --root, the folder of its raw clips")
        shard = None
        if self.shard:
            if not (found := re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.shard)):
                raise UserError(f"--shard {self.shard}: which of how many, as in 2/4")
            shard = int(found[1]), int(found[2])
        how: dict[str, Any] = {
            "jobs": self.jobs, "mfcc_rate": self.mfcc_rate, "backend": self.backend, "shard": shard
        }  # fmt: skip
        if self.corpus == "portraits":
            from amie_core.talking.portraits import prepare_portraits

            done = prepare_portraits(self.root, self.mouths, self.out, **how)
        elif self.mouths is not None:
            raise UserError("--mouths goes with --corpus portraits")
        else:
            done = prepare(
                self.corpus, self.root, self.out, identities=self.identities,
                utterances=self.utterances, **how,
            )  # fmt: skip
        folder = self.out if shard is None else shard_folder(self.out, shard)
        print(
            f"{folder}: {done.ok} clips ok, {done.repaired} repaired, {done.rejected} rejected, "
            f"{done.frames} frames, {done.seconds:.0f} s of video"
        )
        if done.rejected:
            from amie_core.data.store import read_manifest

            table = read_manifest(folder)
            for row in table[table.status == "rejected"].itertuples():
                name = f"{row.speaker}/{row.utterance}".lstrip("/")  # LRW names no speaker
                print(f"rejected: {name}: {row.reason}", file=sys.stderr)
        return SOME_FAILED if done.rejected else DONE


@dataclass(frozen=True)
class Train:
    """Train one run on prepared clips; a second call resumes, a finished run is left as it is."""

    data: Annotated[Path, arg(help="folder of prepared clips")]
    out: Annotated[Path, arg(help="folder of the run")]
    also: Annotated[
        Path | None, arg(help="second folder of prepared clips, from which train.mix of the "
                              "windows come")
    ] = None
    start: Annotated[Path | None, arg(help="run folder whose weights it begins with")] = None
    # What there is to choose from is known when the command runs, not to a type checker.
    profile: Annotated[Literal[*PROFILES], arg(help="sizes and lengths")] = "smoke"  # type: ignore[valid-type]
    row: Annotated[Literal[*ABLATION], arg(help="row of Table 3")] = "ours"  # type: ignore[valid-type]
    method: Annotated[Literal[*METHODS], arg(help="method of the paper's tables")] = "amie"  # type: ignore[valid-type]
    seed: Annotated[int, arg(help="of weights, batches and attention rates")] = 0
    devices: Annotated[int, arg(help="processes (DDP)")] = 1
    steps: Annotated[int | None, arg(help="instead of the profile's")] = None
    change: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(help="another setting of the profile, train.mix=0.5 (config.py); may be repeated"),
    ] = ()

    def run(self) -> int:
        """Train to the end."""
        given = {"devices": self.devices, "steps": self.steps}
        at_least(1, **{name: value for name, value in given.items() if value is not None})
        at_least(0, seed=self.seed)
        if self.seed >= 2**32:
            raise UserError(f"--seed {self.seed}: below 2^32")
        changes = changes_of(self.change)
        if taken := changes.keys() & ABLATION[self.row].keys():
            raise UserError(f"--change {min(taken)}: row {self.row!r} sets it itself")
        changes |= {} if self.steps is None else {"train.steps": self.steps}
        from amie_core.data.store import settings

        settings(self.data)  # refuses an unprepared folder before the slow imports below
        from amie_core.training.loop import train

        done = train(
            resolve(self.profile, self.row, changes), self.data, self.out, also=self.also,
            start=self.start, row=self.row, method=self.method, seed=self.seed,
            devices=self.devices,
        )  # fmt: skip
        print(
            f"{self.out}: {done['steps']} steps in {done['minutes']} min, "
            f"{done['frames_per_second']} frames/s, data wait {done['data_wait']:.1%}"
        )
        return DONE


@dataclass(frozen=True)
class Talk:
    """A face and a voice to a talking face: 25 frames/s, H.264 + AAC, as long as the sound."""

    face: Annotated[Path, arg(
        help="image of a face, or a video of one, which also tells how far its lips open"
    )]
    audio: Annotated[Path, arg(help="audio or video file")]
    out: Annotated[Path, arg(help="video to write, .mp4")]
    checkpoint: Annotated[
        Path | None, arg(help="run folder or .safetensors file; else the model that ships")
    ] = None
    size: Annotated[
        int | None, arg(help="the aligned face alone, so wide and high, px; else the whole picture")
    ] = None
    crop: Annotated[bool, arg(help="the model's bare picture, nothing of the original")] = False
    movement: Annotated[
        float, arg(help="how far lips and chin move; 1 is what the model says")
    ] = MOVEMENT
    keep_smile: Annotated[bool, arg(help="leave open lips of the picture as they are")] = False
    lend_teeth: Annotated[
        bool, arg(help="lend a sharp picture that shows few teeth or none a portrait's")
    ] = True
    face_index: Annotated[int | None, arg(help="which of several faces, 0 is the leftmost")] = None
    alive: Annotated[bool, arg(help="let the eyes blink and the head drift a little")] = False
    seed: Annotated[int, arg(help="of what --alive draws")] = 0
    device: Annotated[str, arg(help="auto, cpu or cuda")] = "auto"

    def run(self) -> int:
        """Write the video."""
        at_least(0, seed=self.seed)
        from amie_core.talking.talk import talk

        done = talk(
            self.face, self.audio, self.out, self.checkpoint, self.size,
            crop=self.crop, keep_smile=self.keep_smile, lend_teeth=self.lend_teeth,
            movement=self.movement, face_index=self.face_index, alive=self.alive,
            seed=self.seed, device=self.device,
        )  # fmt: skip
        print(f"{done.path}: {done.frames} frames, {done.seconds:.2f} s, from {done.checkpoint}")
        return DONE


@dataclass(frozen=True)
class Evaluate:
    """Every metric of a run on a split, beside the reference rows."""

    run_folder: Annotated[Path, arg(name="run", help="run folder or .safetensors file")]
    data: Annotated[Path, arg(help="folder of prepared clips")]
    split: Annotated[str, arg(help="of the manifest, e.g. test_seen")]
    out: Annotated[Path, arg(help="JSON file to write")]
    limit: Annotated[int | None, arg(help="at most so many clips, spread over the split")] = None
    sheet: Annotated[
        Path | None, arg(help="PNG to write: real and generated frames of the median clip")
    ] = None
    features: Annotated[
        bool, arg(help="identity similarity and Fréchet distance on VGG features too: slower")
    ] = False
    syncnet: Annotated[Path | None, arg(help="SyncNet's weight file, for LSE-C and LSE-D")] = None
    device: Annotated[str, arg(help="auto, cpu or cuda")] = "auto"

    def run(self) -> int:
        """Measure; 1 when some clips failed."""
        from amie_core.evaluation.contact_sheet import contact_sheet, writable
        from amie_core.evaluation.evaluate import evaluate, table

        if self.sheet is not None:
            writable(self.sheet)
            if self.sheet.resolve() == self.out.resolve():
                raise UserError(f"--sheet {self.sheet} would overwrite --out: choose another")
        result = evaluate(
            self.run_folder, self.data, self.split, self.out, device=self.device, limit=self.limit,
            features=self.features, syncnet=self.syncnet,
        )  # fmt: skip
        print(table(result))
        if self.sheet is not None:
            contact_sheet(self.run_folder, self.data, result, self.sheet)
        for clip in result["failed"]:
            where = f"{clip['speaker']}/{clip['utterance']}".lstrip("/")
            print(f"failed: {where}: {clip['reason']}", file=sys.stderr)
        return SOME_FAILED if result["failed"] else DONE


@dataclass(frozen=True)
class Doctor:
    """What is installed and usable here, and what each missing thing costs."""

    def run(self) -> int:
        """Print the report."""
        from amie_core.doctor import report

        return report()


Command = (
    Annotated[Fetch, subcommand("fetch")]
    | Annotated[Prepare, subcommand("prepare")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Talk, subcommand("talk")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Study, subcommand("study")]
    | Annotated[Doctor, subcommand("doctor")]
)


def parse(argv: Sequence[str]) -> Fetch | Prepare | Train | Talk | Evaluate | Study | Doctor:
    """The command of these arguments; UserError says in one line what is wrong with them."""
    import tyro

    said = io.StringIO()
    wide = {} if {"-h", "--help"} & set(argv) else {"COLUMNS": "2000"}  # no wrapping of messages
    for option, word in itertools.pairwise(argv):
        if option.startswith("--") and not word:
            raise UserError(f"{option} is empty: is a variable of the shell not set?")
    before = {name: os.environ.get(name) for name in wide}
    os.environ.update(wide)
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                Command, prog="amie", args=list(argv), config=(tyro.conf.DisallowNone,),
                description="Companion of the AMIE paper: talking faces from a face and a voice.",
            )  # fmt: skip
    except SystemExit as stop:
        if stop.code:
            for option, word in itertools.pairwise(argv):
                if option.startswith("--") and re.fullmatch(r"-[^-].*[./].*", word):
                    raise UserError(
                        f"{option} {word}: what begins with a dash is taken for an option; write "
                        f"./{word} for the file of that name"
                    ) from None
            raise UserError(_one_line(said.getvalue(), argv)) from None
        raise
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _one_line(box: str, argv: Sequence[str]) -> str:
    """The parser's framed message as one line, with where to read on."""
    lines = [line.strip("│ \t") for line in box.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("╭", "╰", "(default"))]
    text: list[str] = []
    for line in lines:
        if line.startswith(("For full helptext", "Argument helptext", "Got errors")):
            break  # what follows repeats the message in other words
        text.append(";" if set(line) == {"─"} else line.replace("(required)", "").rstrip("."))
    message = re.sub(r"\s*;[\s;]*$", "", " ".join(text))
    message = re.sub(r"\s+", " ", message).replace(" ;", ";")
    names = {name for name in ("fetch", "prepare", "train", "talk", "evaluate", "study", "doctor")
             if name in argv}
    command = next((word for word in argv if word in names), "")
    return f"{message or 'unusable arguments'}; see `{f'amie {command}'.strip()} --help`"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `amie`. Returns 0 done, 1 some clips or rows failed, 2 unusable input (one line)."""
    # Threads that wait sleep: spinning beside another process they cost more than they do. Read
    # when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file's name need not be Unicode
        sys.stdout.reconfigure(errors="backslashreplace")
    with _taking_leave():
        return _main(argv)


@contextlib.contextmanager
def _taking_leave() -> Iterator[None]:
    """Asked to end (SIGTERM; SIGHUP, its terminal closed), what is half written is taken away on
    the way out, as by ctrl-C. Not amid an import: a C extension that is interrupted there ends the
    process, or says that it cannot be imported.
    """

    def ended(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            asked.append(number)
        if _importing(frame) and len(asked) < PATIENCE:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            return
        raise KeyboardInterrupt if asked[-1] == signal.SIGINT else Ended

    asked: list[int] = []
    before: dict[int, Any] = {}
    if hasattr(signal, "setitimer"):
        usual = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL,
                 signal.SIGINT: signal.default_int_handler,
                 signal.SIGALRM: signal.SIG_DFL}  # fmt: skip
        with contextlib.suppress(ValueError):  # not in the main thread
            for which, own in usual.items():
                if signal.getsignal(which) is own:
                    signal.signal(which, ended)
                    before[which] = own
    try:
        yield
    finally:
        if signal.SIGALRM in before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, own in before.items():
            signal.signal(number, own)


PATIENCE = 3  # times asked, after which nothing is waited for


def _importing(frame: FrameType | None) -> bool:
    """Whether the main thread is amid an import."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


class Ended(KeyboardInterrupt):
    """The process was asked to end."""


def _main(argv: Sequence[str] | None) -> int:
    try:
        try:
            code = parse(sys.argv[1:] if argv is None else argv).run()
        except SystemExit as stop:  # --help
            code = int(stop.code or 0)
        if sys.stdout is not None:  # closed by the caller
            sys.stdout.flush()
        return code
    except UserError as error:
        return _say(str(error), UNUSABLE)
    except KeyboardInterrupt as stop:
        code = ENDED if isinstance(stop, Ended) else INTERRUPTED
        return _say("interrupted; a second call of prepare or train resumes", code)
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _say(f"{where}{error.strerror or error}; check path, rights and space", UNUSABLE)


def _say(message: str, code: int) -> int:
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(message.split()))
    print(f"amie: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
