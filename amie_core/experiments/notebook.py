"""What the notebooks share: checked parameters, the prepared corpus and the trained run of them."""

import ast
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from amie_core import config, machine
from amie_core.config import Profile, run_key
from amie_core.data.raw_clip import Source
from amie_core.errors import UserError
from amie_core.files import alone, commit, workspace

if TYPE_CHECKING:
    from amie_core.experiments.cells import Cell
    from amie_core.model import Generator

ASKED = ("davs", "atvgnet", "ours")  # the methods of the paper's Table 4
INJECTED = "# Parameters"  # first line of the cell that papermill puts behind the parameters cell


def injected_names(cells: list[str]) -> set[str]:
    """Names that papermill's injected cell assigns; `cells` are the sources run so far (`In`)."""
    assigned = [
        node
        for cell in cells
        if cell.startswith(INJECTED)
        for node in ast.parse(cell).body
        if isinstance(node, ast.Assign)
    ]
    return {name.id for node in assigned for name in node.targets if isinstance(name, ast.Name)}


@dataclass(frozen=True)
class Settings:
    """The parameters of a notebook. A misspelt or unusable one is refused.

    profile: smoke, grid or lrw, or the rehearsal of one (lrw-20: 20 small steps);
    data: folder of the raw corpus, empty for the embedded one;
    seed: of training and of sampling.
    """

    profile: str = "smoke"
    data: str = ""
    seed: int = 0
    needs_data: ClassVar[bool] = True

    @classmethod
    def of(cls, namespace: Mapping[str, Any]) -> "Settings":
        """The settings in a notebook's globals (UserError for unknown or unusable ones).

        papermill itself accepts any name: here a name that is no field is an error.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = injected_names(list(namespace.get("In", []))) - set(names)
        if unknown:
            raise UserError(f"unknown parameter {min(unknown)!r}: this notebook has {names}")
        values = {name: namespace[name] for name in names if name in namespace}
        for field in dataclasses.fields(cls):
            value = values.get(field.name, field.default)
            if type(value) is not field.type:
                wanted = getattr(field.type, "__name__", field.type)
                raise UserError(f"{field.name} must be {wanted}, it is {value!r}")
        return cls(**values)

    def __post_init__(self) -> None:
        config.profile(self.profile)
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed {self.seed}: a whole number from 0, below 2^32")
        if self.data and not Path(self.data).is_dir():
            raise UserError(f"no folder {self.data!r}: data is the folder of the raw corpus")
        if not self.data and self.scale.corpus != "synthetic" and self.needs_data:
            raise UserError(f"profile {self.profile} needs data=FOLDER of {self.scale.corpus}")

    @property
    def scale(self) -> Profile:
        """The profile itself."""
        return config.profile(self.profile)

    @property
    def corpus(self) -> str:
        """The corpus that these settings read: the profile's, or any folder given to smoke."""
        drawn = self.scale.corpus == "synthetic"
        return "folder" if self.data and drawn else self.scale.corpus


@dataclass(frozen=True)
class TableSettings(Settings):
    """Parameters of the notebooks that show many runs.

    seeds: how many, 0 for the profile's own number; test_data: folder of prepared clips of another
    corpus to measure on, empty for the test splits of its own. Without `data`, a profile of another
    corpus than the embedded one is shown from deposited results alone.
    """

    seeds: int = 0
    test_data: str = ""
    needs_data: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seeds < 0:
            raise UserError(f"seeds {self.seeds}: how many, 0 for the profile's own number")
        config.cell_seeds(self.profile)

    @property
    def trains(self) -> bool:
        """Whether there is a corpus to train on what is missing."""
        return bool(self.data) or self.scale.corpus == "synthetic"

    @property
    def tested(self) -> Path | None:
        """The other corpus that runs are measured on."""
        return Path(self.test_data).resolve() if self.test_data else None

    @property
    def table(self) -> str:
        """What names the tables of these settings (UserError: `test_data` is not prepared)."""
        from amie_core.experiments.cells import table_name

        return table_name(self.profile, self.tested)

    def planned(self, names: Sequence[str] = ()) -> "list[Cell]":
        """The cells of these rows (all of Table 3 where none is named)."""
        from amie_core.experiments import cells

        return cells.planned(self.profile, list(names), self.seeds or None, self.tested)


def sources(settings: Settings) -> list[Source]:
    """The raw clips of these settings."""
    from amie_core.data.corpora import corpus

    scale = settings.scale
    drawn = {"identities": scale.identities, "utterances": scale.utterances}
    return corpus(settings.corpus, settings.data or None, **drawn)


def prepared_folder(settings: Settings) -> Path:
    """Where the prepared corpus of these settings lies, or will: one folder of clips each."""
    from amie_core.data.synthetic.corpus import drawing

    scale = settings.scale

    def named(source: str) -> Path:
        return workspace() / "prepared" / f"{settings.corpus}-{source}-{scale.mfcc_rate}"

    if not settings.data:
        return named(f"{scale.identities}x{scale.utterances}-{drawing()}")
    root = Path(settings.data).resolve()
    own = f"{root.name}-{hashlib.sha256(str(root).encode()).hexdigest()[:6]}"
    return named(own if _elsewhere(named(root.name), root) else root.name)


def _elsewhere(folder: Path, root: Path) -> bool:
    """Whether a prepared folder has clips of another root, which are there still (not moved)."""
    from amie_core.data import origins

    paths = (Path(origin.path) for origin in origins.read(folder).values() if origin.path)
    return any(
        not path.is_relative_to(root) and path.exists()
        and not path.resolve().is_relative_to(root)
        for path in paths
    )  # fmt: skip


def prepared(settings: Settings) -> Path:
    """The prepared corpus of these settings; made, or resumed, when it is not complete."""
    from amie_core.data.prepare import prepare

    scale = settings.scale
    root = Path(settings.data).resolve() if settings.data else None
    out = prepared_folder(settings)
    with alone(out):
        prepare(
            settings.corpus, root, out, mfcc_rate=scale.mfcc_rate,
            identities=scale.identities, utterances=scale.utterances,
        )  # fmt: skip
    return out


def trained(settings: Settings) -> Path:
    """The run of these settings; trained, or resumed, when it is not finished."""
    from amie_core.data.store import digest
    from amie_core.training.loop import train

    data = prepared(settings)
    key = run_key(settings.scale, settings.seed, digest(data))
    out = workspace() / "runs" / f"{settings.profile}-ours-{settings.seed}-{key}"
    with alone(out):
        train(settings.scale, data, out, seed=settings.seed)
    return out


def deposited(settings: TableSettings, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Deposited cells of these rows (all of Table 3 where none is named); makes what is missing.

    Several at a time, one a core, where there is a corpus to train on.
    """
    from amie_core.experiments import run_cell

    data = prepared(settings) if settings.trains else None
    return run_cell.make_all(settings.planned(names), data, workers=machine.cores())


def replicated(settings: TableSettings) -> "tuple[list[dict[str, Any]], int]":
    """Deposited cells of the replication, and how many it has: none on another corpus."""
    from amie_core.experiments import cells

    planned = [] if settings.test_data else cells.planned_replication(settings.profile)
    return [cell for cell in map(cells.read, planned) if cell is not None], len(planned)


def compared(settings: Settings) -> list[str]:
    """What a study of these settings compares, in words that `study.sample` takes.

    The three methods of the paper's Table 4, each the run of its cell; trained where it is not.
    """
    from amie_core.experiments import run_cell
    from amie_core.experiments.cells import Cell

    data = prepared(settings)
    cells = [Cell(settings.profile, name, settings.seed) for name in ASKED]
    return [f"{cell.name}={run_cell.trained(cell, data)[0]}" for cell in cells]


def ballot(
    settings: Settings, split: str, trials: int = 12
) -> tuple[Path, dict[str, Any]]:
    """A ballot folder of these settings in the workspace, and its key; made where it is not there.

    `trials`: at most, as many as the split has clips.
    """
    from amie_core.data.store import clips, digest
    from amie_core.study.sample import read_ballot, read_key, sample

    words, data = compared(settings), prepared(settings)
    trials = min(trials, len(clips(data, split)))
    asked = json.dumps([words, digest(data), split, trials, settings.seed])
    name = f"{settings.profile}-{hashlib.sha256(asked.encode()).hexdigest()[:12]}"
    folder = workspace() / "study" / name
    key = folder.with_name(f"{name}.key.json")
    with alone(folder):
        if key.is_file() and not folder.is_dir():
            raise UserError(f"{folder} is gone, its key is there: where it went to raters put it "
                            f"back, else remove {key} and run this again")  # fmt: skip
        if not key.is_file():
            shutil.rmtree(folder, ignore_errors=True)  # without its key a ballot is worth nothing
            sample(words, data, split, folder, key, trials=trials, size=160, seed=settings.seed)
    if read_ballot(folder)["study"] != read_key(key)["study"]:
        raise UserError(f"{key} is not the key of {folder}: remove both and run this again")
    return folder, read_key(key)


def provenance_of(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where a table of cells comes from: profile, corpus, seeds, commits, hours, machine.

    UserError where there is no cell.
    """
    if not found:
        raise UserError("no cell of these settings is deposited yet: give the corpus as `data`")
    trained_on = found[0].get("trained_on")
    steps = sorted({cell["training"]["steps"] for cell in found})
    return {
        "profile": found[0]["profile"],
        "corpus": trained_on or found[0]["corpus"],
        **({"tested": found[0]["corpus"]} if trained_on else {}),
        "split": next(iter(found[0]["splits"])),
        "seeds": sorted({cell["seed"] for cell in found}),
        "steps": steps if len(steps) > 1 else steps[0],  # several: of the length curve
        "size": found[0]["image_size"],
        "runs": len(found),
        "hours": round(sum(cell["training"]["minutes"] for cell in found) / 60, 2),
        "machine": sorted({cell["machine"] for cell in found}),
        "commit": sorted({cell["commit"] for cell in found}),
    }


def provenance(settings: Settings, split: str = "", **more: Any) -> dict[str, Any]:
    """What stands beside every number shown: profile, corpus, split, seed, commit."""
    return {
        "profile": settings.profile,
        "corpus": settings.corpus,
        "split": split,
        "seed": settings.seed,
        "commit": commit(),
        **more,
    }


def untrained(settings: Settings) -> "Generator":
    """G of these settings before its first step."""
    import torch

    from amie_core.model import Generator

    torch.manual_seed(settings.seed)
    return Generator(settings.scale.model).eval()
