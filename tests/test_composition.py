"""Composed frames, augmentation, two corpora: what is kept, what moves, what the settings do."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, make_batch, make_step, short

from amie_core import config
from amie_core.config import ModelConfig
from amie_core.errors import UserError
from amie_core.model import Generator, composition
from amie_core.training import augment, checkpoint
from amie_core.training.loop import train
from amie_core.training.windows import Windows

BOXES = torch.tensor([[144, 224, 64, 192], [132, 212, 80, 208]])
COMPOSED = ("mouth", "warp")


def _generator(compose: str) -> Generator:
    torch.manual_seed(0)
    small = ModelConfig(
        image_size=32, width=8, max_width=16, audio_width=8, embedding=16, compose=compose
    )
    return Generator(small)


def test_the_region_is_the_mouth_and_chin_and_follows_the_box() -> None:
    where = composition.region(BOXES, 256)[:, 0]
    for area, (top, bottom, left, right) in zip(where, BOXES.tolist(), strict=True):
        y, x = (top + bottom) // 2, (left + right) // 2
        assert area[y, x] == 1 and area[y + 50, x] > 0.5  # the mouth, the chin
        assert area[y - 60].max() == 0 and area[:, x - 90].max() == 0  # nose, ears
    assert torch.allclose(where[1, :-12, 16:], where[0, 12:, :-16], atol=1e-5)
    assert torch.allclose(composition.region(BOXES, 64)[0, 0], where[0, ::4, ::4], atol=0.2)


@pytest.mark.parametrize("compose", COMPOSED)
def test_outside_the_region_a_frame_is_the_identity_frame(compose: str) -> None:
    generator = _generator(compose)
    torch.nn.init.normal_(generator.decoder.out.weight, std=0.5)
    face = torch.rand(2, 3, 32, 32)
    code = generator.identity(face, BOXES)
    frame = generator(code, torch.randn(2, 20, 13), face)
    outside = (code.region == 0).expand_as(face)
    assert torch.allclose(frame[outside], face[outside], atol=1e-5)
    assert (frame - face).abs()[~outside].mean() > 0.01


@pytest.mark.parametrize("compose", ["none", *COMPOSED])
def test_attention_dims_what_the_encoder_sees_and_not_what_is_shown(compose: str) -> None:
    generator, face = _generator(compose), torch.rand(2, 3, 32, 32)
    dimmed = generator.identity(face, BOXES, torch.full((2, 1, 32, 32), 0.2))
    plain = generator.identity(face, BOXES)
    assert torch.equal(dimmed.face, face) and not torch.equal(
        dimmed.skips.joined[0], plain.skips.joined[0]
    )
    untrained = generator(dimmed, torch.randn(2, 20, 13), face)
    assert torch.allclose(untrained, face, atol=1e-5)


def test_a_movement_takes_pixels_from_where_it_points() -> None:
    face = torch.rand(1, 3, 32, 32)
    flow = torch.zeros(1, 2, 32, 32)
    flow[:, 0] = 2 * 3 / 32  # three pixels from the right
    moved = composition.apply(face, composition.Change(torch.zeros_like(face), flow))
    assert torch.allclose(moved[..., :-3], face[..., 3:], atol=1e-4)
    still = composition.apply(face, composition.Change(torch.ones_like(face), None))
    assert torch.allclose(still, face + 1)


@pytest.mark.parametrize("compose", COMPOSED)
def test_a_composed_generator_learns_in_every_layer(compose: str) -> None:
    step = make_step(config.with_changes(TINY, {"model.compose": compose}))
    # The first step moves the last layer, which starts at zero; the second all the others.
    before = None
    for number in (8, 9):
        if number == 9:
            before = {n: p.clone() for n, p in step.amie.generator.named_parameters()}
        step(make_batch(TINY, number), number)
    still = [n for n, p in step.amie.generator.named_parameters() if torch.equal(p, before[n])]
    assert not still


def _place(picture: torch.Tensor) -> np.ndarray:
    """Centre of what is bright, in 256ths."""
    at = (torch.arange(len(picture)) + 0.5) * 256 / len(picture)
    weight = picture / picture.sum()
    return np.array([float((weight.sum(0) * at).sum()), float((weight.sum(1) * at).sum())])


def test_geometry_moves_pictures_lips_and_boxes_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = 128
    boxes = torch.tensor([[140, 220, 60, 188]] * 16)
    pictures = torch.zeros(16, 2, 3, size, size)
    pictures[:, :, :, 87:93, 59:65] = 1  # the middle of the box, at half size
    lips = pictures[:, :, 0, ::2, ::2].clone()
    points = torch.full((16, 2, 68, 2), 179.5) - torch.tensor([55.5, 0])
    views = augment.Views(pictures, lips, boxes, points)
    moved, lip, turned, marks = augment.geometry(views, np.random.default_rng(0))
    for k in range(16):
        top, bottom, left, right = turned[k].tolist()
        middle = np.array([(left + right) / 2, (top + bottom) / 2])
        assert np.abs(_place(moved[k, 0, 0]) - middle).max() < 3
        assert np.abs(_place(moved[k, 0, 0]) - 0.5 - marks[k, 0, 0].numpy()).max() < 1
        assert np.abs(_place(lip[k, 0]) - middle).max() < 5
        assert (bottom - top, right - left) == (80, 128)
    assert torch.equal(moved[:, 0], moved[:, 1])  # all pictures of a window alike
    assert len({tuple(box) for box in turned.tolist()}) > 8
    for name in ("SHIFT", "SCALE", "TURN"):
        monkeypatch.setattr(augment, name, 0.0)
    same = augment.geometry(views, np.random.default_rng(0))
    assert all(torch.allclose(new, old, atol=1e-3) for new, old in zip(same, views, strict=True))


def test_lighting_changes_clips_apart_and_their_pictures_alike() -> None:
    pictures = torch.rand(4, 1, 3, 32, 32).expand(4, 3, 3, 32, 32).clone() * 0.5 + 0.25
    nothing = torch.zeros(4, 1, 68, 2)
    views = augment.Views(pictures.clone(), nothing[..., 0], torch.zeros(4, 4).long(), nothing)
    lit = augment.lighting(views, np.random.default_rng(0)).pictures
    assert lit.min() >= 0 and lit.max() <= 1
    assert torch.allclose(lit[:, 0], lit[:, 2])
    assert all((lit[k] - pictures[k]).abs().mean() > 0.01 for k in range(4))


def test_two_corpora_share_the_windows(tiny_corpus: Path, tmp_path: Path) -> None:
    mixed = config.with_changes(TINY, {"train.mix": 0.25, "train.steps": 2})
    windows = Windows(tiny_corpus, mixed, 0, also=tiny_corpus, progress=False)
    half = len(windows.rows) // 2
    assert windows.weights[:half].sum() == pytest.approx(0.75)
    assert windows.weights.sum() == pytest.approx(1.0)
    assert windows.batch(0).frames.shape == (4, 3, 3, 32, 32)
    with pytest.raises(UserError, match="--also"):
        train(mixed, tiny_corpus, tmp_path / "one", progress=False)
    with pytest.raises(UserError, match="--also"):
        train(TINY, tiny_corpus, tmp_path / "two", also=tiny_corpus, progress=False)
    train(mixed, tiny_corpus, tmp_path / "run", also=tiny_corpus, progress=False)
    meta = checkpoint.read_tensors(tmp_path / "run" / checkpoint.GENERATOR)[1]
    assert meta["corpus"] == "synthetic+synthetic" and "+" in meta["data_digest"]


def test_a_run_begins_with_the_weights_of_another(tiny_corpus: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(short(TINY, 4), tiny_corpus, first, progress=False)
    warped = config.with_changes(TINY, {"model.compose": "warp", "train.lr": 0.0})
    train(short(warped, 1), tiny_corpus, second, start=first, progress=False)
    old, new = (checkpoint.read_tensors(run / checkpoint.STATE)[0] for run in (first, second))
    kept = [n for n in old if n.startswith(("networks.generator.", "networks.discriminator."))]
    assert kept and all(torch.equal(new[n][: len(old[n])], old[n]) for n in kept)
    assert len(new["networks.generator.decoder.out.weight"]) == 5
    assert checkpoint.read_tensors(second / checkpoint.GENERATOR)[1]["start"].startswith("first-")
    with pytest.raises(UserError, match="other settings"):  # not the run without a start
        train(short(warped, 1), tiny_corpus, second, progress=False)
    larger = config.with_changes(TINY, {"model.max_width": 32})
    with pytest.raises(UserError, match="other sizes"):
        train(short(larger, 1), tiny_corpus, tmp_path / "third", start=first, progress=False)
    torn = checkpoint.read_tensors(first / checkpoint.STATE)
    more = torn[0] | {"networks.generator.motion.told.mean": torch.zeros(3)}
    checkpoint.write_tensors(first / checkpoint.STATE, more, torn[1])
    with pytest.raises(UserError, match="has a part that this run's has not .*told.mean"):
        train(short(warped, 1), tiny_corpus, tmp_path / "fourth", start=first, progress=False)
    for changes in ({}, {"model.compose": "landmarks", "mfcc_rate": 5000}):
        heard = config.with_changes(TINY, {"model.speech_embedding": True} | changes)
        with pytest.raises(UserError, match="speech_embedding needs compose=landmarks"):
            train(short(heard, 1), tiny_corpus, tmp_path / "fifth", progress=False)
    with pytest.raises(UserError, match="not a run folder"):
        train(short(TINY, 1), tiny_corpus, tmp_path / "third", start=tmp_path, progress=False)


def test_later_settings_leave_the_keys_of_older_runs_alone() -> None:
    # As a run would be named if the settings that came later were none.
    base, digest = config.profile("grid"), "0123456789abcdef"
    plain = config.to_dict(base)
    assert plain["model"].pop("compose") == "none" and plain["train"].pop("mix") == 0
    assert not plain["train"].pop("geometry") and not plain["train"].pop("lighting")
    assert plain["train"].pop("identity_tries") == 1 and not plain.pop("level")
    assert not plain["train"].pop("lip_edges")
    assert plain["model"].pop("canvas") == 256 and plain["loss"].pop("inner") == 0
    assert plain["loss"].pop("gan_region") == "face" and plain["train"].pop("person") == ""
    assert plain["loss"].pop("sync_share") == 0 and not plain["model"].pop("speech_embedding")
    old = hashlib.sha256(json.dumps([plain, 0, digest], sort_keys=True).encode()).hexdigest()[:12]
    assert config.run_key(base, 0, digest) == old
    keys = {
        config.run_key(config.with_changes(base, {name: value}), 0, digest)
        for name, value in (
            ("model.compose", "warp"), ("train.geometry", True), ("train.lighting", True),
            ("train.mix", 0.5), ("train.steps", 5599), ("level", True), ("model.canvas", 112),
            ("loss.inner", 1.0), ("loss.gan_region", "lips"), ("train.identity_tries", 4),
            ("train.person", "s4"), ("loss.sync_share", 0.2), ("model.speech_embedding", True),
            ("train.lip_edges", True),
        )
    }  # fmt: skip
    assert len(keys | {old}) == 15
