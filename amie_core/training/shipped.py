"""The model that ships: where it lies, and how a run becomes it.

    python -m amie_core.training.shipped RUN

writes the run's generator in half precision to `weights/`; its SHA-256 goes into the model card.
"""

import hashlib
import sys
from pathlib import Path

WEIGHTS = Path(__file__).parents[1] / "weights" / "talk.safetensors"
CARD = WEIGHTS.with_name("MODEL_CARD.md")


def digest(path: Path = WEIGHTS) -> str:
    """SHA-256 of the file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def export(run: str | Path, out: Path = WEIGHTS) -> str:
    """Write a run's averaged generator and fine mask in half precision; returns the SHA-256.

    Raises UserError when the run cannot be read or the file not be written.
    """
    from amie_core.training.checkpoint import read_tensors, resolve, write_tensors

    tensors, meta = read_tensors(resolve(run))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(out, {name: tensor.half() for name, tensor in tensors.items()}, meta)
    return digest(out)


if __name__ == "__main__":
    print(export(sys.argv[1]))
