"""What benchmarks of single changes share: rows, their command line, a deposit for every cell."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amie_core import machine
from amie_core.experiments.cells import deposits
from amie_core.files import alone, commit, write_json


@dataclass(frozen=True)
class Row:
    """What is changed: in words, of the settings."""

    words: str
    changes: dict[str, Any]


def parser_of(words: str, rows: Mapping[str, Row]) -> argparse.ArgumentParser:
    """The arguments of every such benchmark; words: its docstring."""
    parser = argparse.ArgumentParser(description=words.split("\n")[0])
    parser.add_argument("data", type=Path, help="prepared GRID")
    parser.add_argument("--rows", default=",".join(rows))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    return parser


def read(parser: argparse.ArgumentParser, rows: Mapping[str, Row]) -> argparse.Namespace:
    """What was asked for, `rows` as a list of names; unknown ones are refused."""
    chosen = parser.parse_args()
    chosen.rows = chosen.rows.split(",")
    if unknown := set(chosen.rows) - set(rows):
        parser.error(f"no row {min(unknown)}: choose from {', '.join(rows)}")
    return chosen


def told(
    name: str, row: Row, seed: int, steps: int, digest: str, columns: dict[str, str]
) -> dict[str, Any]:
    """What a cell was and where it was made."""
    return {
        "row": name, "words": row.words, "changes": row.changes, "seed": seed, "steps": steps,
        "data_digest": digest, "commit": commit(), "machine": machine.processor(),
        "columns": columns,
    }  # fmt: skip


def make(
    folder: str, chosen: argparse.Namespace, cell: Callable[[str, int], dict[str, Any]]
) -> None:
    """Deposit the cells that are not there yet in figures/cells/`folder`; a line a cell."""
    for seed in range(chosen.seeds):
        for name in chosen.rows:
            path = deposits(folder) / f"{name}_{seed}.json"
            with alone(path):
                if not path.is_file():
                    write_json(path, cell(name, seed))
            print(path.name, flush=True)
