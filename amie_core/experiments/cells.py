"""Cells of Tables 2 and 3: one row (or compared method), one seed; trained, measured, deposited.

A cell's deposit is a small JSON in figures/cells/PROFILE, with a strip of frames beside it. Tables
and figures are drawn from deposits alone, so what was measured once need not be trained again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from amie_core import config
from amie_core.config import (
    ABLATION,
    LENGTH_ROWS,
    LENGTH_SEEDS,
    LENGTHS,
    Profile,
)
from amie_core.errors import UserError
from amie_core.files import from_json, results_dir, workspace
from amie_core.paper import REPLICATION

STRIP = 8  # frames of the shown utterance
REAL, JUDGE = "real.json", "judge.safetensors"
SHOWN_RULE = (
    "the clip of the first test split whose copied first frame has the median LMD: a rule of the "
    "data alone"
)


@dataclass(frozen=True)
class Cell:
    """One training: a row of Table 3 or a compared method, at a profile's cell scale.

    steps: another length than the table's, for the length curve; tested: a prepared corpus that it
    is measured on instead of its own, as the paper's Table 2 does.
    """

    profile: str
    name: str
    seed: int
    steps: int | None = None
    tested: Path | None = None

    @property
    def row(self) -> str:
        """The row of Table 3 that it is; "ours" for a compared method."""
        return self.name if self.name in ABLATION else "ours"

    @property
    def method(self) -> str:
        """The method that it trains."""
        own, _ = config.cell_variants(self.profile).get(self.name, (self.name, {}))
        return "amie" if own in ABLATION else own

    @property
    def settings(self) -> Profile:
        """Resolved settings (UserError for an unknown profile or name)."""
        config.profile(self.profile)
        scale = config.cell_changes(self.profile, self.name)
        if self.steps is not None:
            scale = scale | {"train.steps": self.steps}
        return config.resolve(self.profile, self.row, scale)

    @property
    def key(self) -> str:
        """12 hex digits of settings, name and seed, whatever the data."""
        return config.run_key(self.settings, self.seed, self.name)

    @property
    def deposit(self) -> Path:
        """Where its result lies."""
        length = "" if self.steps is None else f"_{self.steps}"
        return deposits(self.table) / f"{self.name}_{self.seed}{length}.json"

    @property
    def table(self) -> str:
        """The name of the tables that it stands in: grid, or grid-on-folder if tested elsewhere."""
        return table_name(self.profile, self.tested)


def table_name(profile: str, tested: Path | None = None) -> str:
    """What names a profile's tables, deposits and figures (UserError: `tested` not prepared)."""
    from amie_core.data import store

    return profile if tested is None else f"{profile}-on-{store.settings(tested).get('corpus')}"


def deposits(table: str) -> Path:
    """The folder of the deposits of tables of that name."""
    return results_dir(table) / "cells" / table


def planned(
    profile: str, names: list[str] | None = None, seeds: int | None = None,
    tested: Path | None = None,
) -> list[Cell]:  # fmt: skip
    """The cells of a table, seed by seed: the profile's seeds, or the first `seeds` numbers.

    Names of variants that other profiles have are left out.
    """
    numbers = config.cell_seeds(profile) if seeds is None else tuple(range(seeds))
    rows = offered(profile, names or [*ABLATION])
    return [Cell(profile, name, seed, tested=tested) for seed in numbers for name in rows]


def offered(profile: str, names: list[str]) -> list[str]:
    """These names without variants that other profiles have."""
    elsewhere = {name for variants in config.CELL_VARIANTS.values() for name in variants}
    return [n for n in names if n not in elsewhere or n in config.cell_variants(profile)]


def planned_lengths(profile: str) -> list[Cell]:
    """The cells of the length curve, shortest first; the table's own length is the table's cell."""
    own = Cell(profile, LENGTH_ROWS[0], 0).settings.train.steps
    return [
        Cell(profile, name, seed, None if steps == own else steps)
        for steps in LENGTHS.get(profile, ())
        for seed in config.cell_seeds(profile)[:LENGTH_SEEDS]
        for name in LENGTH_ROWS
    ]


def planned_replication(profile: str) -> list[Cell]:
    """The cells of `paper.REPLICATION`, seed by seed: of GRID, whose first study it goes on."""
    if profile != "grid":
        return []
    rows = {
        (seed, row)
        for again in REPLICATION
        for pair in again.asked()[1].pairs
        for row in pair
        for seed in again.seeds
    }
    return [Cell(profile, row, seed) for seed, row in sorted(rows)]


def read(cell: Cell, data: Path | None = None) -> dict[str, Any] | None:
    """A cell's deposit, if it was made with these settings (and from this prepared corpus)."""
    from amie_core.data import store

    found = _made(cell.deposit, cell.key)
    if found is None:
        return None
    if cell.tested is not None and found.get("tested_digest") != store.digest(cell.tested):
        return None
    return found if data is None or found["data_digest"] == store.digest(data) else None


def _made(path: Path, key: str) -> dict[str, Any] | None:
    """A deposit, if it is there and was made with the settings that `key` names."""
    try:
        found = from_json(path.read_text())
    except (OSError, ValueError):
        return None
    return found if found.get("key") == key else None


def real(table: str) -> dict[str, Any]:
    """What the real clips say of themselves (UserError where no cell has been deposited)."""
    path = deposits(table) / REAL
    try:
        return from_json(path.read_text())
    except (OSError, ValueError):
        raise UserError(f"{path}: no results of profile {table} yet: give its data") from None


def strips(table: str, names: list[str], seed: int) -> dict[str, UInt8[np.ndarray, "s w 3"]]:
    """The shown utterance's frames, real first, then of each cell that has been deposited.

    A deposit of other settings, an earlier length for example, is none.
    """
    from PIL import Image

    profile, _, _ = table.partition("-on-")
    files = {"real": deposits(table) / REAL}
    for name in offered(profile, names):
        path = deposits(table) / f"{name}_{seed}.json"
        if _made(path, Cell(profile, name, seed).key):
            files[name] = path
    files = {name: path.with_suffix(".jpg") for name, path in files.items()}
    return {n: np.asarray(Image.open(path)) for n, path in files.items() if path.is_file()}


def run_folder(cell: Cell, data: Path) -> Path:
    """The folder of the cell's training."""
    from amie_core.data import store

    key = config.run_key(cell.settings, cell.seed, cell.name + store.digest(data))
    return workspace() / "runs" / "cells" / f"{cell.profile}-{cell.name}-{cell.seed}-{key}"
