"""A corpus, a method, a metric and a row of the ablation, added from outside and used to the end.

Nothing of the package is edited: each is one entry of a public dict (CONTRIBUTING.md names them).
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch.nn.functional as F
from lightning_fabric import Fabric
from media import drawn, write_media
from tiny import TINY, short
from torch import Tensor, nn

from amie_core import cli, config, losses
from amie_core.config import ModelConfig, Profile
from amie_core.data import corpora, store
from amie_core.data.prepare import prepare
from amie_core.data.raw_clip import Source
from amie_core.errors import UserError
from amie_core.evaluation import evaluate, metrics
from amie_core.evaluation.metrics import Definition
from amie_core.experiments import ablation, comparison
from amie_core.experiments.cells import Cell
from amie_core.model.talker import Talker
from amie_core.training import checkpoint, method
from amie_core.training.loop import train
from amie_core.training.method import Method, MethodStep, Networks
from amie_core.training.windows import Batch

# A corpus: SPEAKER-UTTERANCE.mp4 in one folder, held out by a word in the name.


def read_films(root: Path) -> Iterable[Source]:
    """The clips below a folder."""
    for path in corpora.files_in(root):
        speaker, utterance = path.stem.split("-")
        split = "test_seen" if utterance.startswith("new") else "train"
        yield corpora.video_source(speaker, utterance, split, path)


# A method: the sound lightens and darkens the still face.


class Glow(Talker):
    """One number a window, added to the face."""

    def __init__(self, sizes: ModelConfig) -> None:
        super().__init__()
        self.hear = nn.Linear(20 * 13, 1)

    def forward(self, face: Tensor, windows: Tensor) -> Tensor:
        """Frames (b, k, 3, s, s) of faces and their windows."""
        return (face[:, None] + self.hear(windows.flatten(2))[..., None, None]).clamp(0, 1)

    def roll(self, face: Tensor, windows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Chunk by chunk."""
        for chunk in windows:
            yield self(face, chunk[None])[0]


class GlowNetworks(Networks):
    """Nothing but the generator."""

    def __init__(self, profile: Profile) -> None:
        super().__init__()
        self.generator = Glow(profile.model)
        self.average()


class GlowStep(MethodStep):
    """L1 over the frame."""

    def __init__(self, profile: Profile, networks: Networks, fabric: Fabric, seed: int) -> None:
        super().__init__(profile, networks, fabric, seed)
        self.optimizers = {"g": self.adam(networks.generator.parameters())}

    def update(self, batch: Batch, step: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Learn from a batch."""
        frames = self.networks.generator(batch.identity, batch.windows)
        self.apply("g", loss := F.l1_loss(frames, batch.frames))
        boxes = batch.lip_boxes.repeat_interleave(frames.shape[1], 0)
        lip = losses.lip(batch.frames.flatten(0, 1), frames.flatten(0, 1), boxes)
        return {"g": loss, "lip": lip}


# A metric: how much lighter the frames are than the real ones.


def lightness(frames: np.ndarray, real: np.ndarray) -> float:
    """Grey levels."""
    return float(frames.mean() - real.mean())


@pytest.fixture
def extended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The four entries, and what tables call them."""
    add = monkeypatch.setitem
    add(corpora.CORPORA, "films", read_films)
    add(method.MAKERS, "glow", lambda: Method(Glow, GlowNetworks, GlowStep))
    add(metrics.DEFINITIONS, "lightness", Definition("grey levels, generated − real", lightness))
    add(config.ABLATION, "no_lip", {"loss.lip": 0.0})
    add(comparison.CELLS, "glow", "Glow")
    add(ablation.METRICS, "lightness", ("lightness, real = 0", 0))
    add(ablation.LABELS, "no_lip", "Ours − Eq. 11")
    add(ablation.AGAINST, "no_lip", "ours")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three films of a drawn face, half a second each."""
    root = tmp_path_factory.mktemp("films")
    frames, sound = drawn(1, 50)
    for k, name in enumerate(("ann-old1", "ann-old2", "ann-new1")):
        part = sound[k * 12 * 640 : (k * 12 + 13) * 640]
        write_media(root / f"{name}.mp4", frames[k * 12 : k * 12 + 13], part)
    return root


def deposit(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """A cell's deposit, as far as tables of rows and methods read it."""
    splits = {result["split"]: {"clips": result["rows"]["model"]["clips"]}}
    return {"name": name, "seed": 0, "corpus": "synthetic", "splits": splits}


@pytest.mark.usefixtures("extended")
def test_one_of_each_from_raw_clips_to_tables(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path / "work"))
    monkeypatch.setenv("TQDM_DISABLE", "1")
    # Corpus: its own reader, the package's preparation.
    data = tmp_path / "prepared"
    done = prepare("films", films, data, jobs=1)
    assert (done.ok, done.rejected) == (3, 0) and store.settings(data)["corpus"] == "films"
    assert list(store.read_manifest(data)["split"]) == ["test_seen", "train", "train"]

    # Method: trained, kept, loaded and resumed by its name.
    run = tmp_path / "glow"
    trained = train(short(TINY, 2), data, run, method="glow", progress=False)
    assert trained["steps"] == 2
    generator, made_with = checkpoint.load_generator(run)
    assert isinstance(generator, Glow) and made_with["method"] == "glow"

    # Row: a delta to "ours", with a key of its own; a cell of it can be planned.
    settings = config.for_row(short(TINY, 1), "no_lip")
    row = tmp_path / "no_lip"
    train(settings, data, row, row="no_lip", progress=False)
    assert Cell("smoke", "no_lip", 0).settings.loss.lip == 0
    assert Cell("smoke", "no_lip", 0).key != Cell("smoke", "ours", 0).key
    assert (Cell("smoke", "glow", 0).method, Cell("smoke", "glow", 0).row) == ("glow", "ours")

    # Metric: in every clip, in the means, in the printed table, in the short one.
    found = {
        name: evaluate.evaluate(folder, data, "test_seen", progress=False)
        for name, folder in (("glow", run), ("no_lip", row))
    }
    result = found["glow"]
    assert (result["method"], found["no_lip"]["row"]) == ("glow", "no_lip")
    assert result["definitions"]["lightness"] == "grey levels, generated − real"
    (clip,) = result["rows"]["model"]["clips"]
    assert np.isfinite(clip["lightness"])
    assert result["rows"]["model"]["mean"]["lightness"]["mean"] == pytest.approx(clip["lightness"])
    assert result["rows"]["real_frames"]["mean"]["lightness"]["mean"] == 0
    assert "\nlightness " in evaluate.table(result)
    assert "lightness" in evaluate.results(result).columns

    # Tables 2 and 3: a line for the method, a line for the row, a column for the metric.
    cells = [deposit(name, result) for name, result in found.items()]
    table2 = comparison.table(cells, {"rows": {}}, comparison.TABLE[2], "test_seen")
    assert table2.loc["Glow", "seeds"] == "0" and "one seed" in table2.loc["Glow"].iloc[1]
    table3 = ablation.table(cells, "test_seen").set_index(["label", "metric"])
    assert np.isfinite(table3.loc[("Ours − Eq. 11", "lightness"), "mean"])


def test_names_that_were_not_added_are_refused_with_those_that_were(tmp_path: Path) -> None:
    for name, known in (("films", corpora.CORPORA), ("glow", method.MAKERS)):
        with pytest.raises(UserError, match=f"unknown .*{name}.*{', '.join(known)}"):
            corpora.corpus(name, tmp_path) if name == "films" else method.method_of(name)
    with pytest.raises(UserError, match="unknown row 'no_lip'"):
        config.for_row(TINY, "no_lip")


def test_keys_stand_whatever_is_added(request: pytest.FixtureRequest) -> None:
    cells = [Cell("grid", name, 0) for name in (*config.ABLATION, *config.PEERS)]
    before = [*(cell.key for cell in cells), config.run_key(TINY, 0, "x")]
    request.getfixturevalue("extended")
    assert before == [*(cell.key for cell in cells), config.run_key(TINY, 0, "x")]


def test_the_command_line_offers_what_the_dicts_hold() -> None:
    offered = {
        name: set(re.findall(r"'([\w-]+)'", str(get_type_hints(kind)[name])))
        for kind, name in ((cli.Prepare, "corpus"), (cli.Train, "method"), (cli.Train, "row"))
    }
    assert offered["corpus"] == {"synthetic", "portraits", *corpora.CORPORA}
    assert offered["method"] == set(config.METHODS) == set(method.MAKERS)
    assert offered["row"] == set(config.ABLATION)
