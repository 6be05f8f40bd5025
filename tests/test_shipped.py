"""The model that ships: what it is, that it is the file of its card, how a run becomes it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, shared_data
from standins import write_run

from amie_core import files
from amie_core.config import SPEECH_LEVEL
from amie_core.data import audio
from amie_core.talking.networks import ShippedNetworks
from amie_core.training import checkpoint

CARD = files.SHIPPED.with_name("MODEL_CARD.md")


def test_the_file_is_the_one_of_the_card() -> None:
    card = CARD.read_text()
    assert f"`{checkpoint.shipped_digest()}`" in card
    assert files.SHIPPED.stat().st_size <= 12 * 10**6
    for words in ("CC BY 4.0", "Cooke", "test_seen", "test_unseen", "amie train", "misuse"):
        assert words in card, words


def test_it_loads_and_says_what_it_is() -> None:
    generator, meta = checkpoint.load_generator(files.SHIPPED)
    assert meta["profile"] == "talk" and meta["model"]["compose"] == "landmarks"
    assert all(p.dtype == torch.float32 for p in generator.parameters())
    assert all(torch.isfinite(p).all() for p in generator.parameters())
    tensors, _ = checkpoint.read_tensors(files.SHIPPED)
    assert all(t.dtype == torch.float16 for t in tensors.values())
    checkpoint.load_fine_mask(files.SHIPPED)
    assert f"step {meta['step']}" in CARD.read_text().replace(",", "")


def test_it_knows_the_voices_that_it_learnt_again_and_no_others() -> None:
    """In sentences that it was not taught: the two speakers of many clips, then four of none."""
    known = ShippedNetworks().voices
    of = {"s1/bbaz7a": 0.034, "s4/brwm8s": 0.041, "s15/bbad8n": None, "s31/bgiq6p": None}
    for clip, size in of.items():
        heard = audio.stream_windows(shared_data("grid", f"{clip}.mpg"), level=SPEECH_LEVEL)
        hops = np.concatenate([part[:, audio.BEFORE : audio.BEFORE + audio.HOPS] for part in heard])
        share, found = known.recognised(hops.reshape(-1, 13))
        assert share == pytest.approx(float(size is not None), abs=0.03), clip
        assert size is None or found == pytest.approx(size, rel=0.03), clip


def test_it_is_package_data() -> None:
    assert '"weights/*"' in (ROOT / "pyproject.toml").read_text()


def test_export_is_the_run_in_half_precision_and_the_same_twice(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    out = tmp_path / "weights" / "talk.safetensors"
    first = checkpoint.ship(run, out)
    assert first == checkpoint.shipped_digest(out) == checkpoint.ship(run, out)
    (plain, meta), (half, header) = (checkpoint.load_generator(path) for path in (run, out))
    assert meta == header
    for a, b in zip(plain.parameters(), half.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-3, rtol=1e-3)


def test_the_card_s_table_is_what_was_measured() -> None:
    """Every speaker's line, and the means over speakers, from figures/talk_faces.json."""
    found: dict[str, dict[str, list[dict[str, float | None]]]] = {}
    measured = json.loads((ROOT / "figures" / "talk_faces.json").read_text())
    for name, told in measured["splits"].items():
        folder, split = name.rsplit(" ", 1)
        group = found.setdefault("studio" if folder == "elsewhere" else f"`{split}`", {})
        for speaker, clips in told["clips"].items():
            group.setdefault(speaker, []).extend(clips)
    names = ("correlation", "speech", "variance", "lmd", "psnr", "ssim", "inner", "auc", "auc_real")

    def mean(rows: list[dict[str, float | None]]) -> dict[str, float | None]:
        known = {n: [v for row in rows if (v := row[n]) is not None] for n in names}
        return {n: float(np.mean(v)) if v else None for n, v in known.items()}

    for group, speakers in found.items():
        each = {speaker: mean(clips) for speaker, clips in speakers.items()}
        lines = {f"| {group} {speaker} | {len(clips)} |": each[speaker]
                 for speaker, clips in speakers.items()}  # fmt: skip
        lines[f"| **{group}, mean over speakers** | |"] = mean(list(each.values()))
        for head, values in lines.items():
            cells = ("–" if v is None else f"{v:.2f}" for v in values.values())
            assert f"{head} {' | '.join(cells)} |" in CARD.read_text(), head
