"""What helps a voice that was never heard to move a mouth: changes to `training.motion`.

    python tests/benchmarks/bench_motion.py PREPARED [--elsewhere PREPARED] [--seeds 2]
        [--steps 400] [--rows NAME,…] [--json OUT]

Training speakers are left out in turn (four parts), Motion is fitted to the others, and the opening
of the lips that it hears in the sound of those left out is compared with theirs: landmarks alone,
no picture. Beside them val_unseen and val_seen, which no part trains on, and another corpus. Prints
a line a row and seed. Not a test: nothing is asserted.
"""

import argparse
import contextlib
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from amie_core import config
from amie_core.data import store
from amie_core.data.audio import HOPS
from amie_core.evaluation.metrics import lip_correlation
from amie_core.files import write_json
from amie_core.machine import progress_bar
from amie_core.model.lips import parted, relative
from amie_core.model.motion import CONTEXT, Motion
from amie_core.training import augment, motion

PARTS = (("s2", "s10", "s20"), ("s3", "s5", "s25"), ("s27", "s32"), ("s4",))
ROWS: dict[str, str] = {
    "ours": "as it ships: a frozen speech embedding beside the cepstra",
    "cepstra": "cepstra alone",
    "context 0": "cepstra alone, of the frame's own 20 hops (0.2 s, the paper's window)",
    "context 4": "cepstra alone, 0.16 s more at either side, not 0.32",
    "one voice": "cepstra alone, no vocal tract is made longer or shorter",
    "one microphone": "cepstra alone, sound as it is: no augmentation",
    "less its mean": "cepstra alone, each clip's without their mean where something is said",
}


class _Some:
    """What `motion.fit` asks of training.windows.Windows, of some clips."""

    def __init__(self, clips: list[store.PreparedClip]) -> None:
        self.clips, self.profile = clips, config.PROFILES["talk"]
        self.names = sorted({clip.speaker for clip in clips})

    def some(self) -> Iterator[tuple[int, store.PreparedClip]]:
        return ((self.names.index(clip.speaker), clip) for clip in self.clips)


def read(folder: Path, row: str, split: str | None = None) -> list[store.PreparedClip]:
    """Clips without their frames, as `amie train --profile talk` hears them."""
    rate = config.PROFILES["talk"].mfcc_rate
    files = store.clips(folder, split).to_dict("records")
    clips = [store.levelled(store.load_clip(folder, file, only=[]), rate) for file in files]
    if row == "less its mean":
        for clip in clips:
            said = np.pad(np.repeat(~clip.silent, HOPS), 8, constant_values=False)
            if said.any():
                clip.mfcc[:, 1:] -= clip.mfcc[said].mean(0)[1:]
    return clips


@contextlib.contextmanager
def changed(row: str, steps: int) -> Iterator[None]:
    """The training of one row."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(motion, "STEPS", steps))
        if row in ("one voice", "one microphone"):
            stack.enter_context(patch.object(motion, "UNKNOWN", 0.0))
        if row == "one microphone":
            stack.enter_context(patch.object(augment, "sound", lambda hops, *_, **__: hops))
        yield


def fitted(clips: list[store.PreparedClip], row: str, seed: int, steps: int) -> Motion:
    torch.manual_seed(seed)
    context = int(row.removeprefix("context ")) if "context" in row else CONTEXT
    made = Motion(context=context, speech=row == "ours")
    rows = torch.from_numpy(np.concatenate([clip.mfcc for clip in clips]))
    made.mean.copy_(rows.mean(0))
    made.std.copy_(rows.std(0) + 1e-3)
    with changed(row, steps):
        motion.fit(made, _Some(clips), seed, progress=False)  # type: ignore[arg-type]
    return made


@torch.inference_mode()
def heard(made: Motion, clips: list[store.PreparedClip]) -> dict[str, dict[str, float]]:
    """By speaker: correlation of the opening, over the clip and where something is said; by how
    much less the opening varies than a real one, where both are told in deviations."""
    found: dict[str, list[list[float]]] = defaultdict(list)
    for clip in clips:
        beyond = HOPS * made.context
        rows = clip.mfcc if made.told is None else store.rows(clip, made.hears, 16000, level=True)
        hops = torch.from_numpy(np.pad(rows, ((beyond, beyond), (0, 0)), mode="edge"))
        codes = made.codes(hops[None])
        opening = parted(made.displacements(made.coefficients(codes)))[0].numpy()
        real, said = relative(clip.landmarks)[1], ~clip.silent
        said[0] = False
        both = lip_correlation(opening[1:], real[1:]), lip_correlation(opening[said], real[said])
        values = [value if value is not None else np.nan for value in both]
        found[clip.speaker].append([*values, float(opening.std())])
    names = ("correlation", "speech", "deviation")
    return {speaker: dict(zip(names, np.nanmean(rows, 0).tolist(), strict=True))
            for speaker, rows in found.items()}  # fmt: skip


def measured(chosen: argparse.Namespace, row: str, seed: int) -> dict[str, dict[str, Any]]:
    """By group (unseen, val_seen, elsewhere) and speaker, means over the parts."""
    clips = read(chosen.data, row, "train")
    beside = {split: read(chosen.data, row, split) for split in ("val_unseen", "val_seen")}
    if chosen.elsewhere:
        beside["elsewhere"] = read(chosen.elsewhere, row)
    told: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    for part in progress_bar(PARTS, f"{row}, seed {seed}", unit="part"):
        made = fitted([c for c in clips if c.speaker not in part], row, seed, chosen.steps)
        groups = {"unseen": [c for c in clips if c.speaker in part], **beside}
        for group, those in groups.items():
            name = "unseen" if group == "val_unseen" else group
            for speaker, values in heard(made, those).items():
                told[name][speaker].append(values)
    return {group: {speaker: {key: float(np.mean([one[key] for one in values]))
                              for key in values[0]} for speaker, values in speakers.items()}
            for group, speakers in told.items()}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="prepared GRID")
    parser.add_argument("--elsewhere", type=Path, help="prepared clips of another corpus")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    runs = []
    for row in chosen.rows.split(","):
        for seed in range(chosen.seeds):
            groups = measured(chosen, row, seed)
            runs.append({"row": row, "words": ROWS[row], "seed": seed, "groups": groups})
            means = {group: [np.mean([one[key] for one in speakers.values()])
                             for key in ("correlation", "speech")]
                     for group, speakers in groups.items()}  # fmt: skip
            cells = "  ".join(f"{group} {a:.3f} {b:.3f}" for group, (a, b) in means.items())
            print(f"{row:16} seed {seed}  {cells}", flush=True)
            if chosen.json:
                write_json(chosen.json, {"steps": chosen.steps, "runs": runs})


if __name__ == "__main__":
    sys.exit(main())
