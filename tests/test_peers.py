"""The compared methods: shapes, what their ideas demand of gradients, learning, resume, talking."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from tiny import TINY, learns, make_batch, short

from amie_core import config, losses
from amie_core.config import FACE_SIZE, METHODS, PEERS
from amie_core.data import store
from amie_core.errors import UserError
from amie_core.evaluation.evaluate import evaluate
from amie_core.model.talker import roll_out
from amie_core.peers import davs, obamanet, synthesizing
from amie_core.peers.parts import MOUTH, Shape, lip_region, looks, mouth
from amie_core.training import checkpoint
from amie_core.training.augment import MIRROR, mirrored
from amie_core.training.loop import train
from amie_core.training.method import MethodStep, method_of
from amie_core.training.windows import Batch, Windows


def make_step(name: str, **changes: object) -> MethodStep:
    torch.manual_seed(0)
    profile = config.with_changes(TINY, changes)
    method = method_of(name)
    return method.step(profile, method.networks(profile), Fabric(accelerator="cpu", devices=1), 0)


def weights(*modules: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for m in modules for p in m.parameters()])


@pytest.mark.parametrize("name", PEERS)
def test_steps_and_speaks(name: str) -> None:
    step = make_step(name)
    generator = step.networks.averaged
    batch = make_batch(TINY, hears=generator.hears)
    before = weights(generator)
    log = step(batch, 0)
    assert all(torch.isfinite(value).all() for value in log.values()) and "lip" in log
    assert not torch.equal(before, weights(generator))
    columns = batch.windows.shape[-1]
    sound = np.random.default_rng(0).normal(size=(7, 20, columns)).astype(np.float32)
    whole = np.stack(list(roll_out(generator, batch.identity[0], [sound])))
    assert whole.shape == (7, 32, 32, 3) and whole.dtype == np.uint8
    parts = np.stack(list(roll_out(generator, batch.identity[0], [sound[:6], sound[6:]])))
    assert np.abs(whole.astype(int) - parts).max() <= 1  # the same in chunks


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_pictures_of_another_size_than_a_power_of_two(name: str) -> None:
    size = 48
    step = make_step(name, **{"model.image_size": size})
    hears = step.networks.averaged.hears
    batch = make_batch(config.with_changes(TINY, {"model.image_size": size}), hears=hears)
    assert all(torch.isfinite(value).all() for value in step(batch, 0).values())


def movement(batch: Batch) -> float:
    """How far a window's lips are from the identity face's."""
    return float((batch.frames - batch.identity[:, None]).abs()[..., 17:27, 8:24].mean())


@pytest.mark.parametrize("name", [name for name in PEERS if name != "synthesizing"])
def test_overfits_one_clip(name: str, tiny_corpus: Path) -> None:
    """The lips of a window that moves, by heart: far nearer than the identity face's own."""
    changes = {"train.steps": 400, "train.lr": 4e-3, "train.warmup": 10, "train.batch": 1}
    step = make_step(name, **changes, **{"train.augment": False})
    hears = step.networks.generator.hears
    windows = Windows(tiny_corpus, step.profile, 0, hears=hears, progress=False)
    windows.weights = np.eye(len(windows.rows))[0]
    batch = max((windows.batch(i) for i in range(20)), key=movement)
    step.networks.fit(windows)
    assert learns(step, batch, below=0.5 * movement(batch), most=400)


@pytest.mark.parametrize("name", PEERS)
def test_resumed_is_the_uninterrupted_run(
    name: str, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: str) -> None:
        train(short(TINY, 10), tiny_corpus, tmp_path / folder, method=name, progress=False)

    run("whole")
    plain = MethodStep.__call__

    def stops(self: MethodStep, batch: object, step: int) -> dict[str, torch.Tensor]:
        if step == 9:  # after the checkpoint of step 8
            raise KeyboardInterrupt
        return plain(self, batch, step)

    with monkeypatch.context() as patch:
        patch.setattr(MethodStep, "__call__", stops)
        with pytest.raises(KeyboardInterrupt):
            run("cut")
    assert checkpoint.read_tensors(tmp_path / "cut" / "state.safetensors")[1]["step"] == 8
    run("cut")
    a, b = (
        checkpoint.read_tensors(tmp_path / n / "state.safetensors")[0] for n in ("whole", "cut")
    )
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)

    generator, meta = checkpoint.load_generator(tmp_path / "whole")
    assert (meta["method"], meta["row"]) == (name, name) and not generator.training
    folder = tmp_path / "whole" / "scores.json"
    result = evaluate(tmp_path / "whole", tiny_corpus, "test_unseen", folder, limit=1)
    assert result["row"] == name and result["rows"]["model"]["mean"]["psnr_rgb"]["mean"] > 5


def test_a_method_has_its_own_key_and_amie_s_is_as_it_was(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    keys = {m: config.run_key(TINY, 0, "x", m) for m in METHODS}
    assert len(set(keys.values())) == len(METHODS) and keys["amie"] == config.run_key(TINY, 0, "x")
    with pytest.raises(UserError, match="unknown method"):
        train(TINY, tiny_corpus, tmp_path / "a", method="wav2lip")
    with pytest.raises(UserError, match="row 'b' is one of AMIE's"):
        train(TINY, tiny_corpus, tmp_path / "a", method="davs", row="b")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_begins_from_the_identity_face(method: str) -> None:
    """Grey, or half grey, would be behind before the first step."""
    generator = method_of(method).generator(TINY.model)
    batch = make_batch(TINY, hears=generator.hears)
    face = batch.identity[:1]
    with torch.inference_mode():
        made = torch.cat([*generator.roll(face, [batch.windows.flatten(0, 1)])])
    torch.testing.assert_close(made, face.expand_as(made))


def test_speech2vid_deblurs_after_and_apart() -> None:
    step, batch = make_step("speech2vid"), make_batch(TINY)
    g = step.networks.generator
    deblur = weights(g.deblur)
    step(batch, 0)
    assert torch.equal(deblur, weights(g.deblur))
    first = weights(g.identity_encoder, g.audio_encoder, g.spread, g.decoder)
    step(batch, step.turn)
    assert torch.equal(first, weights(g.identity_encoder, g.audio_encoder, g.spread, g.decoder))
    assert not torch.equal(deblur, weights(g.deblur))


def test_glance_leaves_the_face_and_moves_the_lips() -> None:
    step, batch = make_step("glance"), make_batch(TINY)
    torch.nn.init.normal_(step.networks.generator.out.weight, std=0.1)
    frames = step.networks.generator(batch.identity, batch.windows)
    changed = (frames - batch.identity[:, None]).abs().amax(dim=(0, 1, 2)) > 0
    rows, columns = lip_region(32)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[rows, columns] = True
    assert changed[inside].all() and not changed[~inside].any()


def test_glance_s_frames_of_a_block_are_made_together() -> None:
    """A 3-D decoder: the sound of one frame moves its neighbours too, but not the next block."""
    step, batch = make_step("glance"), make_batch(TINY)
    g = step.networks.generator.eval()
    torch.nn.init.normal_(g.out.weight, std=0.1)
    sound = torch.cat([batch.windows, batch.windows], 1)  # two blocks of three
    lips = g(batch.identity, sound)
    sound[:, 0] += 1
    moved = (g(batch.identity, sound) - lips).abs().amax(dim=(0, 2, 3, 4)) > 0
    assert moved.tolist() == [True, True, True, False, False, False]


def test_glance_s_correlation_judges_and_does_not_learn_from_generated_lips() -> None:
    step, batch = make_step("glance"), make_batch(TINY)
    seen: list[torch.Tensor] = []
    step._update_correlation = lambda real, batch: seen.append(real) or {}
    before = weights(step.networks.correlation)
    step(batch, 0)
    assert torch.equal(before, weights(step.networks.correlation))
    assert torch.equal(
        seen[0].flatten(0, 1), step.networks.generator.lips(batch.frames.flatten(0, 1))
    )


def test_davs_confuses_its_adversaries_and_they_do_not_help_it() -> None:
    """Confusion is 0 for a uniform guess alone, and its gradient reaches encoders alone."""
    assert float(davs.confusion(torch.zeros(4, 7))) == pytest.approx(0, abs=1e-6)
    assert float(davs.confusion(torch.randn(4, 7))) > 0.05
    step, batch = make_step("davs"), make_batch(TINY)
    n = step.networks
    step.rates["c"] = 0.0  # the adversaries stand still, whatever the generator's step does
    before = weights(n.speech_in_person, n.person_in_speech)
    person, speech = weights(n.person_code), weights(n.generator.audio_encoder)
    step(batch, 0)
    assert torch.equal(before, weights(n.speech_in_person, n.person_in_speech))
    assert not torch.equal(person, weights(n.person_code))
    assert not torch.equal(speech, weights(n.generator.audio_encoder))


def test_davs_contrast_pulls_together_what_is_of_one_moment() -> None:
    a = torch.nn.functional.normalize(torch.randn(6, 5), dim=1)
    assert float(davs.contrastive(a, a, -a)) == pytest.approx(0, abs=1e-6)
    assert float(davs.contrastive(a, -a, a)) > 2
    sounds = davs.sound_class(torch.randn(500, 20, 13) * 2, torch.zeros(13), torch.ones(13))
    assert int(sounds.min()) >= 0 and int(sounds.max()) < davs.SOUNDS and len(sounds.unique()) > 20


def test_atvgnet_composes_and_its_nets_learn_apart() -> None:
    step, batch = make_step("atvgnet"), make_batch(TINY)
    g = step.networks.generator
    g.shape.fit(batch.landmarks.flatten(0, 1))
    own, shapes = g.shape(batch.identity_landmarks), g.shape(batch.landmarks)
    frames, attention = g.draw(batch.identity, own, shapes)
    assert float(attention.detach().min()) >= 0 and float(attention.detach().max()) <= 1
    with torch.no_grad():
        g.decoder.out.bias[3] = -30.0  # no attention: the face itself
    assert torch.allclose(g.draw(batch.identity, own, shapes)[0], batch.identity[:, None])
    heard = g.heard_shapes(own, g.codes(batch.windows))
    heard.sum().backward()
    assert all(p.grad is None for p in g.decoder.parameters())
    assert all(p.grad is not None for p in g.lstm.parameters())


def test_atvgnet_s_shapes_are_principal_components() -> None:
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(400, 6, generator=random) * torch.tensor([9.0, 7, 5, 4, 3, 2])
    axes = torch.linalg.qr(torch.randn(136, 6, generator=random))[0]
    points = (100 + hidden @ axes.T).unflatten(1, (68, 2))
    shape = Shape(6)
    shape.fit(points)
    coefficients = shape(points)
    assert torch.allclose(coefficients.T @ coefficients / 400, torch.eye(6), atol=0.02)
    assert torch.allclose(coefficients.mean(0), torch.zeros(6), atol=0.01)


def test_a_change_of_coefficients_moves_points_as_their_axes_do() -> None:
    random = torch.Generator().manual_seed(0)
    shape = Shape(3, 20)
    points = 50 + torch.randn(300, 3, generator=random) @ torch.randn(3, 40, generator=random)
    shape.fit(points.unflatten(1, (20, 2)))
    known = shape(points.unflatten(1, (20, 2)))
    back = shape.mean_shape.view(20, 2) + shape.moved(known)
    assert torch.allclose(back, points.unflatten(1, (20, 2)), atol=1e-2)


def test_a_mirrored_mouth_is_the_same_mouth() -> None:
    points = torch.rand(5, 68, 2) * 255
    assert torch.allclose(mouth(mirrored(points)), mouth(points), atol=1e-4)
    assert torch.allclose(mouth(points + 7), mouth(points), atol=1e-4)


def test_shapes_err_by_px_and_not_by_axes() -> None:
    """An axis that hardly moves a point must not count as much as one that opens the mouth."""
    random = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(40, 3, generator=random))[0]
    hidden = torch.randn(500, 3, generator=random) * torch.tensor([9.0, 3.0, 0.05])
    shape = Shape(3, 20)
    shape.fit((hidden @ axes.T).unflatten(1, (20, 2)))
    assert torch.allclose(shape.px(), torch.tensor([9.0, 3.0, 0.05]), rtol=0.1)
    none, one = torch.zeros(3, 1, 3), torch.eye(3)[:, None]
    assert torch.allclose(
        shape.error(one, none), shape.px() ** 2 / (shape.px() ** 2).sum(), atol=1e-6
    )


@pytest.mark.parametrize("cuts", [[7], [1, 6], [3, 1, 3]])
@pytest.mark.parametrize("ahead", [0, 1])
def test_looks_end_a_delay_after_their_frame_however_a_clip_is_cut(
    cuts: list[int], ahead: int
) -> None:
    line = torch.arange(7.0)[:, None]
    found = torch.cat([*looks(line.split(cuts), 3, ahead)])[..., 0].tolist()
    wanted = [[min(max(t + d, 0), 6) for d in (-2 + ahead, -1 + ahead, ahead)] for t in range(7)]
    assert found == wanted


def test_sda_hears_samples_and_their_order(tiny_corpus: Path) -> None:
    step = make_step("sda")
    windows = Windows(tiny_corpus, step.profile, 0, hears="wave", progress=False)
    step.networks.fit(windows)
    clip = windows.load(0)
    found = windows.all.sound[: 4 * len(clip.frames) + 16]
    np.testing.assert_array_equal(found, store.rows(clip, "wave", 16000, level=False))
    every = windows.all.sound
    assert float(step.networks.generator.audio_encoder.std) == pytest.approx(
        float(every.std()) + 1e-3
    )
    batch = windows.batch(0)
    assert batch.windows.shape[2:] == batch.negatives.shape[2:] == (20, 160)
    one = batch.windows[0, :1]
    heard, quiet, backwards = step.networks.generator.audio_encoder(
        torch.cat([one, one / 100, one.flatten(1).flip(1).view_as(one)])
    )
    assert not torch.allclose(heard, quiet) and not torch.allclose(heard, backwards)


def test_sda_s_noise_is_the_same_every_time_and_moves_the_picture() -> None:
    step, batch = make_step("sda"), make_batch(TINY, hears="wave")
    g = step.networks.generator.eval()
    torch.nn.init.normal_(g.decoder.out.weight, std=0.1)
    with torch.inference_mode():
        first, again = (torch.cat([*g.roll(batch.identity[:1], [batch.windows[0]])])
                        for _ in range(2))  # fmt: skip
        quiet = g.codes(batch.windows[0], torch.zeros(3, 10))
        loud = g.codes(batch.windows[0], torch.ones(3, 10))
        a, b = (g.draw(batch.identity[:1], g.states(codes[None])) for codes in (quiet, loud))
    assert torch.equal(first, again) and not torch.allclose(a, b)


def test_sda_s_upper_half_has_no_pixel_loss_and_its_judges_learn_apart() -> None:
    step, batch = make_step("sda"), make_batch(TINY, hears="wave")
    before = weights(step.judges)
    step.rates["d"] = 0.0
    log = step(batch, 0)
    assert torch.equal(before, weights(step.judges))  # G's step does not move them
    half = batch.frames[..., 16:, :], batch.identity[:, None, :, 16:, :].expand(-1, 3, -1, -1, -1)
    assert float(log["pixel"]) == pytest.approx(float((half[0] - half[1]).abs().mean()), rel=1e-4)


def test_obamanet_is_shown_no_mouth_but_its_outline() -> None:
    step, batch = make_step("obamanet"), make_batch(TINY)
    g, other = step.networks.generator, batch.identity.clone()
    rows, columns = lip_region(32)
    other[..., rows, columns] = 1 - other[..., rows, columns]
    points = batch.landmarks[:, 0, MOUTH]
    assert torch.equal(g.asked(batch.identity, points), g.asked(other, points))
    assert not torch.equal(g.asked(other, points), g.asked(other, points + 9))


def test_an_outline_is_on_its_points_and_on_the_way_between_them_and_nowhere_else() -> None:
    turn = torch.arange(12) * (torch.pi / 6)
    outer = torch.stack([turn.cos(), turn.sin()], 1) * 60 + 128
    inner = torch.stack([turn[:8].cos(), turn[:8].sin()], 1) * 20 + 128
    drawn = obamanet.outline(torch.cat([outer, inner])[None], 256)[0, 0]
    x, y = outer.round().long().T
    assert float(drawn[y, x].min()) > 0.85
    between = ((outer[0] + outer[11]) / 2).round().long()  # the contour is closed
    assert float(drawn[between[1], between[0]]) > 0.85
    assert float(drawn[128, 128 + 40]) < 1e-3 and float(drawn[5, 5]) < 1e-3


def test_synthesizing_finds_again_what_it_has_kept(tiny_corpus: Path) -> None:
    step = make_step("synthesizing")
    windows = Windows(tiny_corpus, step.profile, 0, progress=False)
    step.networks.fit(windows)
    g, speaker = step.networks.generator, int(step.networks.speaker)
    lengths = windows.rows["frames"].to_numpy()
    assert lengths[windows.speakers == speaker].sum() == max(
        lengths[windows.speakers == s].sum() for s in set(windows.speakers.tolist())
    )
    clip = windows.load(int(np.flatnonzero(windows.speakers == speaker)[0]))
    shape = g.shape(mouth(torch.from_numpy(clip.landmarks[:1]).float()))
    rows, columns = lip_region(32)
    own = torch.from_numpy(clip.frames[:1, rows, columns]).permute(0, 3, 1, 2).float() / 255
    found = g.texture(shape, 32)
    apart = (found - own).abs().mean()
    others = g.textures[: int(g.count)].float() / 255
    assert float(apart) < 0.5 * float((others - own).abs().mean())
    face = torch.rand(1, 3, 32, 32)
    drawn = g.draw(face, shape[None])[0]
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[rows, columns] = False
    assert torch.equal(drawn[..., outside], face[..., outside])


def test_synthesizing_learns_whom_it_is_told_to(tiny_corpus: Path) -> None:
    windows = Windows(tiny_corpus, TINY, 0, progress=False)
    names = windows.rows["speaker"]
    for name in names.unique():
        step = make_step("synthesizing", **{"train.person": name})
        step.networks.fit(windows)
        number = int(step.networks.speaker)
        assert (windows.speakers == number).tolist() == (names == name).tolist()
    step = make_step("synthesizing", **{"train.person": "nobody"})
    with pytest.raises(UserError, match=r"train\.person: no training clip is of .*'nobody'"):
        step.networks.fit(windows)


def test_synthesizing_overfits_one_clip_as_far_as_retrieval_goes(tiny_corpus: Path) -> None:
    """It draws nothing, so the lips that it finds by the true shapes are the best it can do."""
    changes = {"train.steps": 400, "train.lr": 4e-3, "train.warmup": 10, "train.batch": 1}
    step = make_step("synthesizing", **changes, **{"train.augment": False})
    windows = Windows(tiny_corpus, step.profile, 0, progress=False)
    step.networks.fit(windows)
    own = np.flatnonzero(windows.speakers == int(step.networks.speaker))
    windows.weights = np.eye(len(windows.rows))[own[0]]
    g = step.networks.generator

    def bound(batch: Batch, of: Batch) -> float:
        best = g.draw(batch.identity, g.shape(mouth(of.landmarks))[:, :2])
        return float(losses.lip(batch.frames[0, :2], best[0], batch.lip_boxes.repeat(2, 1)))

    batches = [windows.batch(i) for i in range(20)]
    bounds = [bound(batch, batch) for batch in batches]
    others = [bound(batch, of) for batch, of in zip(batches, batches[1:], strict=False)]
    assert np.mean(bounds) < 0.9 * np.mean(others)  # the mouths that it is asked for
    at = int(np.argmin(bounds))
    assert learns(step, batches[at], below=1.05 * bounds[at], most=400)


def test_synthesizing_learns_from_its_one_person_alone() -> None:
    step, batch = make_step("synthesizing"), make_batch(TINY)
    step.networks.speaker.fill_(7)  # nobody in this batch
    before = weights(step.networks.generator.sound)
    step(batch, 0)
    assert torch.equal(before, weights(step.networks.generator.sound))
    assert synthesizing.EVERYBODY not in batch.speakers.tolist()


def test_mirrored_landmarks_change_sides() -> None:
    from amie_core.data.alignment import TEMPLATE

    assert sorted(MIRROR) == list(range(68))
    there = torch.from_numpy(TEMPLATE.copy())
    assert torch.allclose(mirrored(mirrored(there)), there)
    assert (mirrored(there) - there).abs().max() < 4  # the template is near symmetric
    assert float(mirrored(there)[36, 0]) == FACE_SIZE - 1 - float(there[45, 0])
