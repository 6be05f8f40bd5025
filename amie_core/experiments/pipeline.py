"""The paper's pipeline as its boxes: links, what one training step did to each, tables of them.

`observe` runs that step, `boxes`, `equations` and `core` are tables, `pipeline_drawing` draws them.
Links lead from figures/ and notebooks/ alike: both lie directly in the repository.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

import amie_core
from amie_core import config, paper
from amie_core.config import Profile
from amie_core.losses import crop_lips
from amie_core.show.figures import Shown, markdown
from amie_core.training.amie import Amie, AmieStep
from amie_core.training.method import launch_fabric
from amie_core.training.windows import Batch

PACKAGE = Path(amie_core.__file__).parent
NOTEBOOKS = {
    "01": "01_preprocessing", "02": "02_mutual_information", "03": "03_training",
}  # fmt: skip


@dataclass(frozen=True)
class Box:
    """A box of the drawing: what it is in the paper, the file that holds it, who shows it."""

    name: str
    kind: str  # input, loss, or the network that it belongs to
    paper: str  # section or equations
    what: str
    file: str  # in amie_core/
    notebook: str  # of NOTEBOOKS

    @property
    def code(self) -> str:
        """Link to the file."""
        return f"../amie_core/{self.file}"

    @property
    def shown(self) -> str:
        """Link to the notebook."""
        return f"../notebooks/{NOTEBOOKS[self.notebook]}.ipynb"


BOXES = {box.name: box for box in (
    Box("MFCC window", "input", "sec. 4.1", "what is heard around the frame: a_i",
        "data/audio.py", "01"),
    Box("identity face", "input", "sec. 3.1, 4.1", "who speaks: I_f, one aligned frame",
        "data/faces.py", "01"),
    Box("previous frame", "input", "sec. 3.1", "G's own last frame, detached",
        "training/amie.py", "03"),
    Box("fine mask", "G", "sec. 3.3", "dynamic attention: dims the lips of the identity face",
        "model/attention.py", "03"),
    Box("audio encoder", "G", "sec. 3.1", "the window to a code, spread to a map",
        "model/generator.py", "03"),
    Box("identity encoder", "G", "sec. 3.1", "the face to maps of every size",
        "model/generator.py", "03"),
    Box("image encoder", "G", "sec. 3.1", "the previous frame to a map",
        "model/generator.py", "03"),
    Box("frame decoder", "G", "sec. 3.1", "the three codes to the frame",
        "model/generator.py", "03"),
    Box("D", "D", "sec. 3.1", "frame discriminator: do frame and sound belong together?",
        "model/discriminator.py", "03"),
    Box("T", "T", "sec. 3.1, 3.2", "the critic of AMIE, trained on real pairs alone",
        "model/critic.py", "02"),
    Box("φ", "φ", "sec. 3.4", "feature extraction network, never trained here",
        "perceptual.py", "03"),
    Box("lip crop", "φ", "sec. 3.4", "corp(·), the lip box of frame and generated frame",
        "losses.py", "03"),
    Box("Eq. 7", "loss", "sec. 3.2", "Jensen-Shannon objective, raised by T on real pairs",
        "mutual_information/objectives.py", "02"),
    Box("Eq. 9", "loss", "sec. 3.4", "L_GAN of D and of G", "losses.py", "03"),
    Box("Eq. 10", "loss", "sec. 3.4", "L_perc", "losses.py", "03"),
    Box("Eq. 11", "loss", "sec. 3.4", "L_lip", "losses.py", "03"),
    Box("Eq. 12", "loss", "sec. 3.4", "L_mi: minus Eq. 7 on generated pairs", "losses.py", "03"),
    Box("Eq. 13", "loss", "sec. 3.4", "the full objective of G", "losses.py", "03"),
)}  # fmt: skip

STEPS = {"d": "D's step, Eq. 9", "t": "T's step, Eq. 7", "g": "G's step, Eq. 13",
         "mask": "the mask's, sec. 3.3"}  # fmt: skip
MOVED, PASSED, UNTOUCHED = "moved", "passed on", "untouched"


@dataclass(frozen=True)
class Observed:
    """What one training step did.

    shapes: what goes into and comes out of each network, without the batch; effect: by step (of
    STEPS) and network, whether the step's gradient moved it, was only passed on by it, or left it.
    """

    shapes: dict[str, tuple[tuple[int, ...], ...]]
    effect: dict[str, dict[str, str]]


def _shape(value: Any) -> tuple[int, ...]:
    """Of a tensor, or of the last of several, without the batch."""
    return tuple((value if isinstance(value, Tensor) else value[-1]).shape[1:])


def observe(profile: Profile, batch: Batch, seed: int = 0) -> Observed:
    """Run the first training step of a profile on a batch, and write down what happens."""
    profile = config.with_changes(profile, {"train.compile": False})
    torch.manual_seed(seed)
    fabric = launch_fabric(profile, 1)
    amie = Amie(profile)
    fabric.to_device(amie)
    step = AmieStep(profile, amie, fabric, seed)
    parts: dict[str, nn.Module] = {
        "identity encoder": amie.generator.identity_encoder,
        "audio encoder": amie.generator.audio_encoder,
        "image encoder": amie.generator.image_encoder,
        "frame decoder": amie.generator.decoder,
        "fine mask": amie.fine_mask,
        "D": amie.discriminator,
        "T": amie.critic,
        "φ": step.phi or nn.Identity(),
    }
    networks = {"G": "frame decoder", "mask": "fine mask", "D": "D", "T": "T", "φ": "φ"}
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
    effect: dict[str, dict[str, str]] = {}
    passed: set[str] = set()

    def written(name: str, _: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        made = made[0] if name == "fine mask" else made  # its coverage; the logits are the loss's
        shapes.setdefault(name, (_shape(given[0]), _shape(made)))
        for out in made if isinstance(made, tuple) else (made,):
            if name in networks.values() and out.requires_grad:
                out.register_hook(lambda _: passed.add(name))

    for name, part in parts.items():
        part.register_forward_hook(partial(written, name))
    apply = step.apply

    def watched(which: str, loss: Tensor) -> None:
        # G's gradient goes through D, T and φ before G's own backward pass, since the last update.
        before = {part: [p.clone() for p in parts[part].parameters()] for part in parts}
        apply(which, loss)
        effect[which] = {
            name: MOVED if any(map(_differ, before[part], parts[part].parameters()))
            else PASSED if part in passed else UNTOUCHED
            for name, part in networks.items()
        }  # fmt: skip
        passed.clear()

    step.apply = watched  # type: ignore[method-assign, assignment]  # watched, and called here
    step(batch, 0)
    # The decoder's first layer joins the identity's last map too, which is convolved apart.
    code, made = shapes["frame decoder"]
    shapes["frame decoder"] = (code[0] + shapes["identity encoder"][1][0], *code[1:]), made
    shapes["spread"] = shapes["audio encoder"][1], _shape(amie.generator.audio(batch.windows[:, 0]))
    shapes["MFCC window"], shapes["previous frame"], shapes["identity face"], shapes["lip crop"] = (
        (_shape(batch.windows[:, 0]),), (_shape(batch.before),), (_shape(batch.identity),),
        (_shape(batch.identity), _shape(crop_lips(batch.identity, batch.lip_boxes))),
    )  # fmt: skip
    return Observed(shapes, effect)


def _differ(one: Tensor, other: Tensor) -> bool:
    return not torch.equal(one, other)


def size(shape: Iterable[int]) -> str:
    """A shape as it is read: 3×64×64."""
    return "×".join(map(str, shape))


def _link(text: str, target: str) -> str:
    return f"[{text}]({target})"


def _table(name: str, rows: Iterable[Mapping[str, Any]]) -> Shown:
    table = pd.DataFrame(list(rows))
    return Shown(name, [("text/markdown", markdown(table.set_index(table.columns[0])))])


def boxes(seen: Observed) -> Shown:
    """The boxes of the drawing as a table, with the same links (some pages strip a drawing's)."""
    return _table("the boxes of the drawing, with links", (
        {
            "box": f"**{box.name}**",
            "in the paper": box.paper,
            "what it is": box.what,
            "in → out": " → ".join(size(shape) or "1" for shape in seen.shapes.get(box.name, ())),
            "file": _link(f"`{box.file}`", box.code),
            "shown in": _link(box.notebook, box.shown),
        }
        for box in BOXES.values()
    ))  # fmt: skip


def _file_of(where: str) -> str:
    """The file, in amie_core/, that defines a dotted name; "" where another package does."""
    module, _, name = where.rpartition(".")
    home = getattr(import_module(module), name).__module__ or ""
    path = PACKAGE.parent / (home.replace(".", "/") + ".py")
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else ""


def equations() -> Shown:
    """The numbered equations of the paper: what computes each here, and which notebook shows it."""

    def row(e: paper.Equation) -> dict[str, str]:
        name, file = e.where.rpartition(".")[2], _file_of(e.where)
        notebook = NOTEBOOKS["02" if e.number <= 8 else "03"]
        return {
            "equation": f"**Eq. {e.number}**",
            "what it says": e.what,
            "here": _link(f"`{name}` in `{file}`", f"../amie_core/{file}") if file
            else f"`{e.where}`",
            "shown in": _link(notebook, f"../notebooks/{notebook}.ipynb"),
        }  # fmt: skip

    return _table("the equations of the paper, with links", map(row, paper.EQUATIONS))


# Files of model/ that are not the paper's: of the model that ships.
OURS = {
    "motion", "speech_embedding", "mouth", "interiors", "lips", "teeth", "own_teeth",
    "lent_teeth", "voices", "speaking", "painter", "sync", "manner", "lip_line", "lip_edges",
    "contrast",
}  # fmt: skip


def core_files() -> list[Path]:
    """The files that are the paper, in the order in which they are best read."""
    first = ("model/generator.py", "model/attention.py", "model/critic.py",
             "model/discriminator.py", "mutual_information/objectives.py", "losses.py",
             "perceptual.py", "training/amie.py")  # fmt: skip
    rooms = (PACKAGE / "model", PACKAGE / "mutual_information")
    rest = [path for room in rooms for path in sorted(room.glob("*.py")) if path.stem not in OURS]
    return list(dict.fromkeys([*(PACKAGE / name for name in first), *rest]))


def core(lines: Mapping[Path, int]) -> Shown:
    """The paper's own files as a table: their lines as counted, what they say of themselves."""
    computed: dict[str, list[str]] = {}
    for e in paper.EQUATIONS:
        computed.setdefault(_file_of(e.where), []).append(str(e.number))

    def row(path: Path, count: int) -> dict[str, Any]:
        name = path.relative_to(PACKAGE).as_posix()
        says = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        return {
            "file": _link(f"`{name}`", f"../amie_core/{name}"),
            "lines": count,
            "equations": ", ".join(computed.get(name, [])),
            "what it says of itself": says.split("\n\n")[0].replace("\n", " "),
        }

    rows = [row(path, count) for path, count in lines.items()]
    return _table("the files that are the paper, and their lines",
                  [*rows, {"file": "**all**", "lines": sum(lines.values()), "equations": "",
                           "what it says of itself": ""}])  # fmt: skip
