"""What each part of the picture's side brings to the model that ships: single changes to `talk`.

    python tests/benchmarks/bench_picture.py PREPARED [--rows NAME,…] [--seeds 3] [--steps 400]
        [--elsewhere PREPARED] [--portraits PREPARED]
    python tests/benchmarks/bench_picture.py PREPARED --teeth

Every cell is a training of G under one change. Its mouths are moved by the landmarks of the real
clips of val_seen and val_unseen, and of another corpus, so that nothing of how sound moves a mouth
is in the figures: what is compared is what is painted. The rows of portraits need `amie prepare
--corpus portraits`. A cell is deposited in figures/cells/talk as it is finished, and not made
again; several processes may work side by side. Prints a line a cell. `--teeth`: the model that
ships, without and with the speaker's own teeth from another clip. Not a test: nothing is asserted.
"""

import argparse
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import rows
import torch
from bench_faces import JUDGE_SIZE, OPEN, inner_energy, mean
from torch import Tensor

from amie_core import config, machine
from amie_core.data import audio, store
from amie_core.data.alignment import (
    filled,
    lip_opening,
    mouth_square,
    pixels,
    sample,
    scale,
    transform,
)
from amie_core.errors import UserError
from amie_core.evaluation import metrics, sync_judge
from amie_core.evaluation.reference_rows import Measured
from amie_core.files import SHIPPED
from amie_core.model import mouth, own_teeth, speaking
from amie_core.model.composition import Change
from amie_core.model.generator import IdentityCode
from amie_core.model.lips import INNER, MOVED, mouth_width
from amie_core.model.mouth import MouthGenerator, tint
from amie_core.model.own_teeth import Teeth
from amie_core.model.painter import Painter
from amie_core.model.sync import SyncNetwork
from amie_core.perceptual import Phi
from amie_core.talking.still import Still
from amie_core.training import motion
from amie_core.training.checkpoint import load_generator
from amie_core.training.loop import train
from amie_core.training.windows import Windows


class Rolled(MouthGenerator):
    """A generator that puts its frame together otherwise: in torch, as it learnt to."""

    def shown(
        self, made: Change, composed: np.ndarray, details: np.ndarray, place: np.ndarray
    ) -> speaking.Painted:
        """What `Painter` takes of a frame; details: what is known of teeth."""
        raise NotImplementedError

    def rolled(
        self, still: Still, places: np.ndarray, windows: np.ndarray
    ) -> Iterator[speaking.Painted]:
        """As `speaking.drawn`, frame by frame."""
        matrix = mouth_square(still.lip_box, self.canvas)
        seen = sample(still.picture, pixels(matrix, self.image_size), self.image_size)
        seen = seen.astype(np.float32) / 255
        details = self.bank.details(speaking.tint(seen))
        face = torch.from_numpy(seen).permute(2, 0, 1)[None]
        own, there = (transform(points, matrix) for points in (still.points, places))
        mouths = self.mouths(face, *(torch.from_numpy(points)[None] for points in (own, there)))
        heard = self.audio(torch.from_numpy(windows.copy()))[None] + mouths.codes
        code, previous = self.identity(face), face
        for k, place in enumerate(places):
            worn = code._replace(face=mouths.bases[:, k], region=mouths.inner[:, k])
            made = self.change(worn, heard[:, k], previous)
            previous = self.compose(worn, made).clamp(0, 1)
            laid = details.laid(there[k], mouth_width(own))
            yield self.shown(made, _picture(previous), laid, place)


def _picture(one: Tensor) -> np.ndarray:
    return one[0].permute(1, 2, 0).numpy()


class Added(Rolled):
    """What is painted is added to what is moved: no teeth before lips, no dark before teeth."""

    def change(self, identity: IdentityCode, audio: Tensor, previous: Tensor) -> Change:
        made = super().change(identity, audio, previous)
        light = tint(identity.face) / speaking.MIDDLE
        return made._replace(colours=2 * made.colours - light)  # either way from nothing

    def compose(self, identity: IdentityCode, made: Change) -> Tensor:
        return identity.face + made.shade + identity.region * made.colours

    def shown(
        self, made: Change, composed: np.ndarray, details: np.ndarray, place: np.ndarray
    ) -> speaking.Painted:
        return speaking.Painted(place, composed + details, _picture(made.shade))


class Masked(Rolled):
    """Where it is painted is learnt: a mask channel, which begins at the inner lips of landmarks.

    `colours` has the mask as a fourth channel.
    """

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__(settings)
        self.decoder.out = torch.nn.utils.skip_init(torch.nn.Conv2d, settings.width, 7, 3, 1, 1)
        for weights in self.decoder.out.parameters():
            torch.nn.init.zeros_(weights)

    def change(self, identity: IdentityCode, audio: Tensor, previous: Tensor) -> Change:
        code = torch.cat([audio, self.image_encoder(previous)[-1]], dim=1)
        raw = self.decoder(code, identity.skips).float()
        light = tint(identity.face)
        shade = speaking.SHADE * torch.tanh(raw[:, 3:6]) * self.around * light
        mask = torch.sigmoid(FIRM * (2 * identity.region - 1) + raw[:, 6:]) * self.around
        colours = torch.sigmoid(raw[:, :3]) * (light / speaking.MIDDLE)
        return Change(torch.cat([colours, mask], 1), None, shade)

    def compose(self, identity: IdentityCode, made: Change) -> Tensor:
        colours, mask = made.colours.split([3, 1], 1)
        return torch.lerp(identity.face + made.shade, colours, mask)

    def shown(
        self, made: Change, composed: np.ndarray, details: np.ndarray, place: np.ndarray
    ) -> speaking.Painted:
        colours = _picture(made.colours)
        colours[..., :3] += details
        return speaking.Painted(place, colours, _picture(made.shade))


FIRM = 3.0  # logit that the mask begins with inside the inner lips, and less outside


class Covering(Painter):
    """`Painter` of `Masked`: it covers where the mask says, not where landmarks do."""

    def _paint(self, part: np.ndarray, painted: speaking.Painted) -> None:
        assert self.teeth is None  # of G's own canvas alone
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        laid = cv2.warpAffine(painted.colours, self.to_square, self.square, flags=how)
        colours, mask = laid[..., :3] * np.float32(255), laid[..., 3:].clip(0, 1)
        rows, columns = self.spot
        spot = part[rows, columns]
        spot[:] = (spot + mask * (colours - spot) + 0.5).clip(0, 255)


@dataclass(frozen=True)
class Row(rows.Row):
    """Also: how many portraits are half of what is seen; G."""

    portraits: int = 0
    generator: type[MouthGenerator] = MouthGenerator


ROWS = {
    "ours": Row("as it ships: 112 of 256 px around the mouth, seen at 64", {}),
    "canvas_168": Row("a square of 168 px", {"model.canvas": 168}),
    "whole_face": Row("the whole face at 64 px", {"model.canvas": config.FACE_SIZE}),
    "no_inner": Row("no weight on the inside of the mouth", {"loss.inner": 0.0}),
    "no_mi": Row("no MI term: T teaches nothing", {"loss.mi": 0.0}),
    "attention": Row("with dynamic attention", {"attention.enabled": True}),
    "plain": Row("pictures as they are: light, place and turn unchanged",
                 {"train.lighting": False, "train.geometry": False}),
    "added": Row("what is painted covers nothing: it is added to what is moved", {}, 0, Added),
    "mask": Row("where it is painted is learnt, from the inner lips on", {}, 0, Masked),
    "px_96": Row("112 px around the mouth, seen at 96", {"model.image_size": 96}),
    "canvas_168_px_96": Row("a square of 168 px, seen at 96",
                            {"model.canvas": 168, "model.image_size": 96}),
    "sync": Row("a frozen sync expert beside T", {"loss.sync_share": 0.2}),
    **{f"portraits_{n}": Row(f"half of what is seen: {n} portraits", {"train.mix": 0.5}, n)
       for n in (100, 200, 300, 400, 500)},
}  # fmt: skip
SPLITS = ("val_seen", "val_unseen")
EVERY = 5  # every fifth frame is compared
FEW = 5  # clips of a speaker, of --teeth
COLUMNS = {
    "psnr": "dB at 256² over the copied frame's",
    "ssim": "at 256² over the copied frame's",
    "inside": "mean error between the inner lips where they are open, of 255",
    "detail": "gradient energy there, over the real one's",
    "phi": "φ's distance over the square around the mouth, over the copied frame's",
    "auc": "of a judge that has learnt from clips that no sync expert sees; the sound levelled",
}


def settings_of(row: str, steps: int) -> config.Profile:
    # What Motion hears has no part here; without it G begins as it did in the first of these cells.
    # Nor had those lips on their edges, which a whole face at 64 px cannot have.
    unheard = {"model.speech_embedding": False, "train.steps": steps, "train.lip_edges": False}
    return config.resolve("talk", "ours", ROWS[row].changes | unheard)


class _Kept:
    """The training clips laid out, kept from one cell to the next that sees them alike."""

    def __init__(self) -> None:
        self.lay, self.known = Windows._lay, (None, None)

    def __call__(self, windows: Windows, indices: Any, *rest: Any, **more: Any) -> Any:
        key = windows.profile.model.canvas, windows.size, len(windows.rows)
        if self.known[0] != key:
            self.known = key, self.lay(windows, indices, *rest, **more)
        return self.known[1]


def some(portraits: Path, number: int, folder: Path) -> Path:
    """A prepared folder of the first pictures alone, those of no use among them."""
    pictures = store.read_manifest(portraits)
    if len(pictures) < number:
        raise UserError(f"{portraits}: {len(pictures)} pictures, not {number}")
    folder.mkdir()
    pictures.iloc[:number].to_csv(folder / "manifest.csv", index=False)
    shutil.copy(portraits / "corpus.json", folder)
    (folder / "clips").symlink_to((portraits / "clips").resolve())
    return folder


def trained(row: str, seed: int, steps: int, data: Path, portraits: Path | None) -> MouthGenerator:
    """G of one cell; its Motion, which nothing here asks, has not learnt."""
    with (
        TemporaryDirectory() as folder,
        patch.object(motion, "fit", lambda *_, **__: {}),
        patch.object(mouth, "MouthGenerator", ROWS[row].generator),
    ):
        also = None
        if number := ROWS[row].portraits:
            if portraits is None:
                raise UserError(f"row {row} needs --portraits")
            also = some(portraits, number, Path(folder) / "portraits")
        run = Path(folder) / "run"
        train(settings_of(row, steps), data, run, also=also, seed=seed,
              progress=sys.stderr.isatty())  # fmt: skip
        made = load_generator(run)[0]
    assert isinstance(made, MouthGenerator)
    return made


@torch.inference_mode()
def shown(made: MouthGenerator, clip: store.PreparedClip, teeth: Teeth | None) -> np.ndarray:
    """The clip's first frame with the mouth where the clip's own frames have it."""
    still = Still(clip.frames[0], clip.landmarks[0], np.eye(2, 3)).at_rest()
    if teeth is not None:
        teeth = teeth.under(own_teeth.skin_of(still.picture, still.points))
    places = np.repeat(still.points[None], len(clip.frames), 0)
    places[:, MOVED] = clip.landmarks[:, MOVED]
    painter = (Covering if isinstance(made, Masked) else Painter)(
        still.picture, np.eye(2, 3), still.points, made.canvas, made.image_size, teeth
    )
    sound = audio.windows(clip.mfcc, len(clip.frames))
    if isinstance(made, Rolled):
        drawn = made.rolled(still, places, sound)
    else:
        always = np.ones(len(places), np.float32)
        drawn = speaking.drawn(made, still.picture, still.points, [(places, sound, always)])
    return np.stack([painter.frame(one) for one in drawn])


@torch.inference_mode()
def far(phi: Phi, clip: store.PreparedClip, a: np.ndarray, b: np.ndarray) -> float:
    """φ's squared distance over 112 px around the mouth, mean over frames."""
    top, bottom, left, right = clip.lip_box
    y, x = (np.clip((low + high) // 2, 56, 200) for low, high in ((top, bottom), (left, right)))
    seen = [phi(torch.from_numpy(f[:, y - 56 : y + 56, x - 56 : x + 56]).permute(0, 3, 1, 2) / 255)
            for f in (a, b)]  # fmt: skip
    return float((seen[0] - seen[1]).square().mean())


def measured(
    made: MouthGenerator, clip: store.PreparedClip, phi: Phi, teeth: Teeth | None = None,
    judge: SyncNetwork | None = None,
) -> dict[str, float | None]:  # fmt: skip
    """The columns of one clip."""
    some = slice(1, None, EVERY)
    every = shown(made, clip, teeth)
    frames, real, points = every[some], clip.frames[some], clip.landmarks[some]
    still = np.repeat(clip.frames[:1], len(real), axis=0)
    there = Measured(points, np.ones(len(points), bool))
    wide = np.flatnonzero(lip_opening(points) >= OPEN)
    within = filled(points[wide][:, INNER], config.FACE_SIZE) > 127
    off = np.abs(frames[wide].astype(np.float32) - real[wide])
    energy, real_energy = inner_energy(frames, there), inner_energy(real, there)
    auc = None
    if judge is not None:
        small = np.stack([scale(frame, JUDGE_SIZE) for frame in every])
        auc = sync_judge.judged(judge, small, clip).auc
    return {
        "psnr": metrics.psnr_rgb(frames, real) - metrics.psnr_rgb(still, real),
        "ssim": metrics.ssim_gaussian_rgb(frames, real) - metrics.ssim_gaussian_rgb(still, real),
        "inside": float(off[within].mean()) if within.any() else None,
        "detail": energy / real_energy if energy and real_energy else None,
        "phi": far(phi, clip, frames, real) / far(phi, clip, still, real),
        "auc": auc,
    }


def cell(row: str, seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """What is deposited of a cell: by split and speaker, means over clips."""
    data, rate = chosen.data, config.PROFILES["talk"].mfcc_rate
    made, phi = trained(row, seed, chosen.steps, data, chosen.portraits), Phi()
    judge = sync_judge.judge_of(data, JUDGE_SIZE, beside_expert=True)
    looked = [(data, split, split) for split in SPLITS]
    if chosen.elsewhere:
        looked.append((chosen.elsewhere, None, "elsewhere"))
    splits: dict[str, dict[str, dict[str, float | None]]] = {}
    for folder, split, name in looked:
        found: dict[str, list[dict[str, float | None]]] = defaultdict(list)
        files = store.clips(folder, split).to_dict("records")
        for file in machine.progress_bar(files, f"{row}, seed {seed}, {name}", unit="clip"):
            clip = store.levelled(store.load_clip(folder, file), rate)
            # Levelled, another corpus sounds as the judge has heard none.
            heard = judge if folder == data else None
            found[clip.speaker].append(measured(made, clip, phi, judge=heard))
        splits[name] = {speaker: mean(clips, COLUMNS) for speaker, clips in found.items()}
    digests = [data] + ([chosen.portraits] if ROWS[row].portraits else [])
    digest = "+".join(map(store.digest, digests))
    where = rows.told(row, ROWS[row], seed, chosen.steps, digest, COLUMNS)
    return where | {"portraits": ROWS[row].portraits, "splits": splits}


def compare_teeth(data: Path) -> None:
    """Print what the teeth of a speaker's next clip bring to the model that ships."""
    made, phi = load_generator(SHIPPED)[0], Phi()
    assert isinstance(made, MouthGenerator)
    for split in SPLITS:
        for speaker, part in store.clips(data, split).groupby("speaker"):
            clips = [store.levelled(store.load_clip(data, row), config.PROFILES["talk"].mfcc_rate)
                     for row in part.to_dict("records")[:FEW]]  # fmt: skip
            teeth = [most_teeth(clip) for clip in clips]
            for words, theirs in (("without", [None] * len(clips)), ("with", teeth)):
                found = mean([measured(made, clip, phi, theirs[(k + 1) % len(clips)])
                              for k, clip in enumerate(clips)], COLUMNS)  # fmt: skip
                cells = "  ".join(f"{n} {v:.3f}" for n, v in found.items() if v is not None)
                print(f"{split} {speaker} {words:8}{cells}", flush=True)


def most_teeth(clip: store.PreparedClip) -> Teeth | None:
    """Of every fifth frame, as `still.watch` looks for them."""
    return own_teeth.most(
        own_teeth.shown(frame, points, np.eye(2, 3))
        for frame, points in zip(clip.frames[::EVERY], clip.landmarks[::EVERY], strict=True)
    )


def main() -> None:
    parser = rows.parser_of(__doc__, ROWS)
    parser.add_argument("--elsewhere", type=Path, help="prepared clips of another corpus")
    parser.add_argument("--portraits", type=Path, help="prepared portraits")
    parser.add_argument("--teeth", action="store_true", help="compare with a speaker's own teeth")
    chosen = rows.read(parser, ROWS)
    if chosen.teeth:
        return compare_teeth(chosen.data)
    kept = _Kept()
    # A method of Windows, so that it is bound as one.
    with patch.object(Windows, "_lay", lambda *given, **more: kept(*given, **more)):
        rows.make("talk", chosen, lambda row, seed: cell(row, seed, chosen))


if __name__ == "__main__":
    sys.exit(main())
