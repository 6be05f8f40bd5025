"""`amie study sample | analyse | simulate | power`: what the command line offers of a study."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg, subcommand

from amie_core.errors import UserError, at_least


@dataclass(frozen=True)
class Sample:
    """A ballot folder that any browser opens, and its key in a file apart."""

    runs: Annotated[
        tuple[str, ...],
        arg(help="what to compare: run folders, NAME=FOLDER, copied_identity, nearest_audio"),
    ]
    data: Annotated[Path, arg(help="folder of prepared clips")]
    split: Annotated[str, arg(help="of the manifest, e.g. test_seen")]
    out: Annotated[Path, arg(help="ballot folder to write; raters get it as a whole")]
    key: Annotated[Path | None, arg(help="its key, never for raters; else OUT.key.json")] = None
    trials: Annotated[int, arg(help="comparisons, without checks and repeated ones")] = 12
    choices: Annotated[int | None, arg(help="clips in each; else all runs, at most 3")] = None
    repeats: Annotated[int, arg(help="comparisons that come again at the end")] = 2
    size: Annotated[int, arg(help="width and height of the clips in px, even")] = 192
    seed: Annotated[int, arg(help="of the draw")] = 0
    device: Annotated[str, arg(help="auto, cpu or cuda")] = "auto"

    def run(self) -> int:
        """Write the ballot."""
        from amie_core.study.sample import sample

        key = sample(
            self.runs, self.data, self.split, self.out, self.key, trials=self.trials,
            choices=self.choices, repeats=self.repeats, size=self.size, seed=self.seed,
            device=self.device,
        )  # fmt: skip
        size = sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file())
        print(
            f"{self.out}: study {key['study']}, {len(key['trials'])} trials in "
            f"{len(key['forms'])} forms, methods {', '.join(key['methods'])}, {size / 1e6:.1f} MB; "
            f"key: {self.key or self.out.with_name(f'{self.out.name}.key.json')}"
        )
        print(key["power"])
        return 0


@dataclass(frozen=True)
class Analyse:
    """Shares, strengths and agreement from the raters' CSV files, as Table 4 has them."""

    key: Annotated[Path, arg(help="the ballot's key")]
    answers: Annotated[tuple[Path, ...], arg(help="CSV files of raters, or folders of them")]
    out: Annotated[Path | None, arg(help="JSON file to write")] = None
    simulated: Annotated[bool, arg(help="read simulated raters instead of people")] = False

    def run(self) -> int:
        """Analyse; 1 when a file or row was refused."""
        from amie_core.files import writable, write_json
        from amie_core.study.analysis import analyse, text, where
        from amie_core.study.answers import ENDINGS
        from amie_core.study.sample import read_key

        if self.out is not None and self.out.is_file():
            given = {self.key.resolve(), *(path.resolve() for path in self.answers)}
            out = self.out.resolve()
            below = not given.isdisjoint(out.parents)  # answers are looked for in folders below
            if out in given or (below and out.suffix.lower() in ENDINGS):
                raise UserError(f"{self.out} would overwrite its own input: choose another --out")
        if self.out is not None:
            writable(self.out, "--out")
        result = analyse(read_key(self.key), self.answers, simulated=self.simulated)
        if self.out is not None:
            write_json(self.out, result)
        print(text(result))
        for rater, why in result["raters"]["excluded"].items():
            print(f"left out by the rule: {rater}: {why}")
        for entry in result["told_back"]:
            print(f"told back: {where(entry['file'], entry['row'])}: {entry['what']}")
        for entry in result["refused"]:
            at = where(entry["file"], entry["row"])
            print(f"refused: {at}: {entry['reason']}", file=sys.stderr)
        return 1 if result["refused"] else 0


@dataclass(frozen=True)
class Simulate:
    """CSV files of simulated raters, marked as such: to try the analysis out."""

    key: Annotated[Path, arg(help="the ballot's key")]
    out: Annotated[Path, arg(help="folder to write to")]
    raters: Annotated[int, arg(help="how many")] = 42
    seed: Annotated[int, arg(help="of every choice")] = 0

    def run(self) -> int:
        """Write the files."""
        from amie_core.study.sample import read_key
        from amie_core.study.simulate import simulate

        at_least(0, seed=self.seed)
        paths = simulate(read_key(self.key), self.out, self.raters, seed=self.seed)
        print(f"{self.out}: {len(paths)} files of simulated raters; nobody voted")
        return 0


@dataclass(frozen=True)
class Power:
    """What so many raters and trials can show, before anybody is asked."""

    raters: Annotated[int, arg(help="how many; the paper had 42")] = 42
    trials: Annotated[int, arg(help="main trials that each rater answers")] = 12
    choices: Annotated[int, arg(help="methods in a trial; with 3, two of them get 2/3")] = 2

    def run(self) -> int:
        """Print it."""
        at_least(1, raters=self.raters, trials=self.trials)
        at_least(2, choices=self.choices)
        from amie_core.study.statistics import statement

        print(statement(self.raters, self.trials, kept=2 / self.choices))
        return 0


Do = (
    Annotated[Sample, subcommand("sample")]
    | Annotated[Analyse, subcommand("analyse")]
    | Annotated[Simulate, subcommand("simulate")]
    | Annotated[Power, subcommand("power")]
)


@dataclass(frozen=True)
class Study:
    """A user study (Table 4): make a ballot, analyse answers, simulate raters, plan its size."""

    do: Annotated[Do, arg(name="")]

    def run(self) -> int:
        """Do it."""
        return self.do.run()
