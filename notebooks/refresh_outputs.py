"""Run notebooks at their defaults and keep the outputs that belong into the repository.

`python notebooks/refresh_outputs.py FILE...`, or `make outputs` for all. Kept: text, tables,
pictures, clips. Dropped: progress bars, what goes to stderr, and all metadata but tags.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def _worth_keeping(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    bar = any("widget" in kind for kind in data)
    live = 'src="http://127.0.0.1' in str(data.get("text/html", ""))  # a page served while it ran
    return not bar and not live and output.get("name") != "stderr"


def clean(notebook: nbformat.NotebookNode) -> None:
    """Take out, in place, what differs from run to run or names the machine."""
    notebook.metadata = nbformat.from_dict(KERNEL)
    for cell in notebook.cells:
        cell.metadata = {key: value for key, value in cell.metadata.items() if key == "tags"}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _worth_keeping(output)]


def refresh(path: Path) -> None:
    """Run a notebook in its own folder and write it back with its outputs, whole or not at all.

    A cell that fails raises nbclient's CellExecutionError and leaves the file as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=place).execute()
    clean(notebook)
    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    part.replace(path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        refresh(Path(name).resolve())
        print(f"{name}: {Path(name).stat().st_size / 1000:.0f} kB")
