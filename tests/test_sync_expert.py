"""A frozen sync expert: what it learns, from which clips, what it tells G, and that it stays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import TINY, make_batch, make_step

from amie_core import config, losses
from amie_core.data import corpora, store
from amie_core.evaluation import sync_judge
from amie_core.training import checkpoint, sync_expert
from amie_core.training.loop import train
from amie_core.training.windows import Windows

EXPERT = config.with_changes(TINY, {"loss.sync_share": 0.2})


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_expert, "BATCH", 12)


def test_loss_is_a_softmax_over_own_and_other_sounds() -> None:
    own, others = torch.tensor([0.5, -0.25]), torch.tensor([[0.5, 0.5], [0.0, 0.25]])
    scores = 3.0 * torch.cat([own[:, None], others], 1)
    wanted = torch.nn.functional.cross_entropy(scores, torch.zeros(2, dtype=torch.long))
    assert torch.allclose(losses.sync(own, others, torch.tensor(3.0)), wanted)
    same = losses.sync(torch.zeros(2), torch.zeros(2, 4), torch.tensor(3.0))
    assert same.item() == pytest.approx(np.log(5), abs=1e-6)  # who tells nothing apart


def test_expert_learns_to_tell_own_sounds_apart(tiny_corpus: Path) -> None:
    torch.manual_seed(0)
    changes = {"train.unroll": 5, "train.augment": False}
    profile = config.with_changes(EXPERT, changes)
    windows = Windows(tiny_corpus, profile, 0, progress=False)
    expert = sync_expert.made(profile)
    mean, std = windows.standardisation()
    expert.audio.mean.copy_(mean)
    expert.audio.std.copy_(std)
    sync_expert.fit(expert, windows, steps=200)
    batches = [windows.batch(step) for step in range(10)]
    right = [sync_expert.heard(expert, b, b.frames).accuracy.item() for b in batches]
    swapped = [sync_expert.heard(expert, b, b.frames.flip(0)).accuracy.item() for b in batches]
    assert np.mean(right) > 0.5 > np.mean(swapped)  # one of six by chance
    assert not any(p.requires_grad for p in expert.parameters()) and not expert.training


def test_expert_and_judge_learn_from_different_clips(
    tiny_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(use: str) -> set[str]:
        seen: set[str] = set()
        load = store.load_clip

        def noted(folder: Path, row: object, **more: object) -> store.PreparedClip:
            clip = load(folder, row, **more)  # type: ignore[arg-type]
            seen.add(f"{clip.speaker}/{clip.utterance}")
            return clip

        with monkeypatch.context() as patch:
            patch.setattr(store, "load_clip", noted)
            if use == "judge":
                sync_judge.train_judge(tiny_corpus, 32, steps=8, progress=False, beside_expert=True)
            else:
                windows = Windows(tiny_corpus, EXPERT, 0, progress=False, resident_bytes=0)
                seen.clear()
                expert = sync_expert.made(EXPERT)
                expert.audio.std.fill_(1.0)
                sync_expert.fit(expert, windows, steps=8)
        return seen

    table = store.clips(tiny_corpus, "train")
    names = {f"{s}/{u}" for s, u in zip(table["speaker"], table["utterance"], strict=True)}
    its = {name for name in names if corpora.of_expert(*name.split("/"))}
    assert its and its < names
    learnt, judged = drawn("expert"), drawn("judge")
    assert learnt and learnt <= its
    assert judged and judged <= names - its


def test_its_gradient_has_its_share_and_leaves_it_alone() -> None:
    step, batch = make_step(EXPERT), make_batch(EXPERT)
    expert = step.amie.expert
    assert expert is not None
    before = {name: value.clone() for name, value in expert.state_dict().items()}
    step(batch, 0)  # G's first frames are the identity face
    log = step(batch, 1)
    assert log["lambda_sync"] > 0 and log["sync"] > 0
    assert all(torch.equal(before[n], v) for n, v in expert.state_dict().items())
    assert all(p.grad is None for p in expert.parameters())

    shown = torch.rand_like(batch.frames).requires_grad_()
    of_sync, _ = step._of_expert(batch, shown, torch.ones_like(shown))
    assert of_sync.norm().item() == pytest.approx(0.2 * shown.numel() ** 0.5, rel=1e-4)
    # What it asks for lowers its own loss.
    told = sync_expert.heard(expert, batch, shown).loss
    nearer = sync_expert.heard(expert, batch, shown - 1e-3 * of_sync / of_sync.abs().max()).loss
    assert nearer < told


def test_a_run_without_it_has_none_and_one_with_it_resumes(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_step(TINY).amie.expert is None
    monkeypatch.setattr(sync_expert, "STEPS", 4)
    whole = train(EXPERT, tiny_corpus, tmp_path / "whole", progress=False)
    assert "sync_accuracy_real" in whole["last"]

    save, saved = checkpoint.write_tensors, []

    def killed(path: Path, *rest: object) -> None:
        save(path, *rest)  # type: ignore[arg-type]
        saved.append(path)
        if len(saved) == 2:  # the whole state and the generator, at the fourth step
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_tensors", killed)
        with pytest.raises(KeyboardInterrupt):
            train(EXPERT, tiny_corpus, tmp_path / "parts", progress=False)
    train(EXPERT, tiny_corpus, tmp_path / "parts", progress=False)
    a, b = (
        checkpoint.read_tensors(tmp_path / run / checkpoint.STATE)[0] for run in ("whole", "parts")
    )
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert any("expert" in name for name in a)
    shipped = checkpoint.read_tensors(tmp_path / "whole" / checkpoint.GENERATOR)[0]
    assert not any("expert" in name for name in shipped)
