"""SyncNet's input and arithmetic, identity similarity, Fréchet distance, reasons for skipping."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from amie_core.data.store import PreparedClip
from amie_core.errors import UserError
from amie_core.evaluation import syncnet
from amie_core.evaluation.network_metrics import NetworkMetrics

# python_speech_features 0.6, `mfcc(wave, 16000)` of `sweep`: hops 0, 30, 60; cepstra 0, 1, 2, 12.
PSF = [[17.3822, 2.5217, 3.2822, 2.656], [17.8269, 13.2921, -9.885, 30.4488],
       [19.364, 12.8813, -11.7396, 0.6598]]  # fmt: skip


def sweep() -> np.ndarray:
    t = np.arange(16_000) / 16_000
    wave = 8000 * np.sin(2 * np.pi * (200 + 300 * t) * t) * np.sin(2 * np.pi * 3 * t)
    return (wave + 500 * np.sin(2 * np.pi * 3100 * t)).astype(np.int16)


def test_cepstra_are_those_that_syncnet_knows() -> None:
    found = syncnet.cepstra(sweep())
    assert found.shape == (99, 13)
    assert found[[0, 30, 60]][:, [0, 1, 2, 12]] == pytest.approx(np.array(PSF), abs=2e-4)


def test_weights_are_read_without_running_anything(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = syncnet.SyncNet()
    shapes = {name: tuple(t.shape) for name, t in net.state_dict().items()}  # as published
    assert shapes["netcnnaud.18.weight"] == (512, 256, 5, 4) and len(shapes) == 102
    assert shapes["netcnnlip.18.weight"] == (512, 256, 1, 6, 6)
    assert shapes["netfclip.3.weight"] == shapes["netfcaud.3.weight"] == (1024, 512)
    with torch.inference_mode():
        assert net.eval().see(torch.zeros(1, 3, 5, 224, 224)).shape == (1, 1024)
        assert net.hear(torch.zeros(1, 1, 13, 20)).shape == (1, 1024)
    file = tmp_path / "syncnet_v2.model"
    torch.save(net.state_dict(), file)
    assert torch.equal(syncnet.load(file).netfclip[0].weight, net.netfclip[0].weight)
    old = {k: v for k, v in net.state_dict().items() if "num_batches" not in k}
    torch.save(old, file)  # as old versions of torch wrote it
    syncnet.load(file)
    torch.save(dict(list(old.items())[1:]), file)
    with pytest.raises(UserError, match="lacks netcnnaud.0.weight"):
        syncnet.load(file)
    torch.save(SimpleNamespace(code="anything"), file)
    with pytest.raises(UserError, match="not SyncNet's weights"):
        syncnet.load(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="not SyncNet's weights"):
        syncnet.load(file)
    with pytest.raises(UserError, match="no such file"):
        syncnet.load(tmp_path / "none")


class Stub(syncnet.SyncNet):
    """Embeds a stack by its first frame's grey, sound by its first cepstrum: sync is exact."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def see(self, frames: torch.Tensor) -> torch.Tensor:
        return frames[:, 0, 0, 0, :1].repeat(1, 2)

    def hear(self, cepstra: torch.Tensor) -> torch.Tensor:
        return cepstra[:, 0, 0, :1].repeat(1, 2)


@pytest.mark.parametrize("late", [0, 3])
def test_lse_finds_the_offset(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.random.default_rng(0).integers(20, 230, 60)
    hops = np.zeros((60 * 4, 13), np.float32)
    hops[:, 0] = np.repeat(np.roll(grey, late), 4)
    monkeypatch.setattr(syncnet, "cepstra", lambda wave: hops)
    frames = np.broadcast_to(grey[:, None, None, None], (60, 8, 8, 3)).astype(np.uint8)
    found = syncnet.lse(Stub(), frames, np.zeros(60 * 640, np.int16))
    assert found is not None and found.offset == -late
    assert found.distance < 15 < found.confidence  # the clip's ends meet no sound
    assert syncnet.lse(Stub(), frames[:5], np.zeros(5 * 640, np.int16)) is None


def clip(seed: int, n: int = 40) -> PreparedClip:
    """A still of 16 random patches, with noise."""
    random = np.random.default_rng(seed)
    face = random.integers(0, 256, (4, 4, 3)).repeat(8, 0).repeat(8, 1)
    frames = (face[None] + random.normal(0, 6, (n, 32, 32, 3))).clip(0, 255).astype(np.uint8)
    hops = random.normal(size=(4 * n + 16, 13)).astype(np.float32)
    return PreparedClip(
        "s", f"u{seed}", "test", frames, np.zeros((n, 68, 2), np.float32), (140, 220, 64, 192),
        hops, np.zeros(n, bool), np.zeros(640 * n, np.int16),
    )  # fmt: skip


def test_features_tell_faces_apart_and_skipped_rows_say_why() -> None:
    clips = [clip(seed) for seed in range(4)]
    own, other = NetworkMetrics(True, None), NetworkMetrics(True, None)
    for k, each in enumerate(clips):
        own(each, each.frames)
        other(each, clips[(k + 1) % 4].frames)
    near, far = own.values(), other.values()
    for name in ("lse_d", "lse_c"):
        assert near[name]["skipped"] == syncnet.ABSENT and "rows" not in near[name]
    identity = near["identity_cosine_vgg"]["rows"]
    assert (
        identity["real_frames"]["mean"] > 0.9 > far["identity_cosine_vgg"]["rows"]["model"]["mean"]
    )
    assert identity["model"]["mean"] == pytest.approx(identity["real_frames"]["mean"], abs=0.02)
    frechet = near["frechet_vgg"]["rows"]
    assert frechet["model"]["mean"] == pytest.approx(frechet["real_frames"]["mean"])
    none = NetworkMetrics(False, None)
    assert none(clips[0], clips[0].frames) == {}
    assert all("skipped" in found for found in none.values().values())
