"""The model that ships, run by ONNX Runtime: the numbers of torch, without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from media import noise, write_media

from amie_core import files
from amie_core.data import alignment, audio
from amie_core.errors import UserError
from amie_core.model.speaking import MouthNetworks, painted
from amie_core.talking.networks import ShippedNetworks
from amie_core.training import checkpoint, export


def test_it_paints_what_torch_paints() -> None:
    networks, (generator, meta) = ShippedNetworks(), checkpoint.load_generator(files.SHIPPED)
    assert networks.meta == meta and isinstance(networks, MouthNetworks)
    assert isinstance(generator, MouthNetworks)
    random = np.random.default_rng(0)
    face = (random.random((256, 256, 3)) * 255).astype(np.uint8)
    assert networks.hears == generator.hears == "speech"
    rows = audio.speech_rows(noise(12 / 25), 12)
    heard = audio.windows(rows, 12)
    both = (painted(one, face, alignment.TEMPLATE, [heard[:5], heard[5:]])
            for one in (networks, generator))  # fmt: skip
    for ours, theirs in zip(*both, strict=True):
        assert np.allclose(ours.points, theirs.points, atol=1e-3)
        assert np.abs(ours.colours - theirs.colours).max() < 1e-3
        assert np.abs(ours.shade - theirs.shade).max() < 1e-3
    for name, kept in networks.bank._asdict().items():
        assert np.array_equal(kept, getattr(generator.bank, name)), name


def test_its_graphs_are_those_of_the_code_and_name_no_machine(tmp_path: Path) -> None:
    made = export.export(files.SHIPPED, tmp_path / "graphs.safetensors")
    assert made.read_bytes() == files.NETWORKS.read_bytes()
    assert str(ROOT).encode() not in made.read_bytes() and files.NETWORKS.stat().st_size < 200_000


def test_talking_with_it_needs_no_torch(tmp_path: Path) -> None:
    face, sound = tmp_path / "face.png", tmp_path / "sound.wav"
    from PIL import Image

    from amie_core.data.synthetic.corpus import draw_clip

    Image.fromarray(next(iter(draw_clip(1, 1).frames))).save(face)
    write_media(sound, audio=noise(0.4), sound="pcm_s16le")
    code = (
        "import sys; sys.modules['torch'] = None; from amie_core.talking.talk import talk; "
        f"print(talk({str(face)!r}, {str(sound)!r}, {str(tmp_path / 'a.mp4')!r}, size=64, "
        "alive=True, progress=False).frames)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "10", done.stderr


def test_graphs_that_are_missing_damaged_or_anothers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing or damaged"):
        ShippedNetworks(graphs=tmp_path / "absent.safetensors")
    part = tmp_path / "part.safetensors"
    part.write_bytes(files.NETWORKS.read_bytes()[:5000])
    with pytest.raises(UserError, match="missing or damaged"):
        ShippedNetworks(graphs=part)
    tensors, meta = checkpoint.read_tensors(files.NETWORKS)
    other, older = tmp_path / "other.safetensors", meta.copy()
    del older["of"]
    for header in (meta | {"of": meta["of"] | {"commit": "another"}}, older):
        checkpoint.write_tensors(other, tensors, header)
        with pytest.raises(UserError, match="is of another model"):
            ShippedNetworks(graphs=other)


def test_a_model_without_a_moved_mouth_has_no_graphs(tmp_path: Path) -> None:
    from standins import write_run

    with pytest.raises(UserError, match="compose=landmarks"):
        export.export(checkpoint.resolve(write_run(tmp_path / "run")), tmp_path / "graphs")
