"""Every setting of an experiment, in frozen dataclasses; the profiles; Table 3 as deltas.

What the paper states is marked `stated`; all the rest was chosen (paper.LEDGER has the reasons).
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from amie_core.errors import UserError
from amie_core.files import from_json

FPS = 25  # pictures a second, GRID's and LRW's own
SAMPLE_RATE = 16_000  # Hz, of all sound inside the package
FACE_SIZE = 256  # stated: "Frames are aligned into 256×256 faces" (sec. 4.1)
LANDMARKS = 68
LIP_CROP = (80, 128)  # rows × columns of a lip box (Eq. 11) in the 256-px face
SPEECH_LEVEL = -16.2  # dBFS that `amie talk` brings speech to: the median of GRID's clips
MOVEMENT = 1.0  # `amie talk`: of real speech's movement
WINDOW = (20, 13)  # stated: hops × cepstra of one frame's MFCC window (sec. 4.1)
MFCC_RATES = (16_000, 5_000)  # Hz; 5000 is what the paper states


def later(default: Any) -> Any:
    """A field added after runs were made: at its default it does not change their key."""
    return field(default=default, metadata={"later": True})


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the networks: `width` channels at full size, doubled a level, up to `max_width`."""

    image_size: int = 64  # px, halved until 4 to 7 are left (64 to 4, 96 to 6)
    width: int = 16
    max_width: int = 128
    audio_width: int = 32
    embedding: int = 128  # length of an audio code, and of T's embeddings
    residual: bool = True  # the decoder's output is added to the identity face
    # Where the frame is put together: everywhere (the paper's), around the mouth and chin alone
    # (the rest is the identity frame), or there from the identity frame's own moved pixels.
    # By landmarks: the mouth of the identity frame is moved by landmarks, G paints inside the lips.
    compose: Literal["none", "mouth", "warp", "landmarks"] = later("none")
    canvas: int = later(FACE_SIZE)  # px at 256: side of the square around the mouth that G sees
    # Where landmarks move the mouth: a frozen embedding of speech is heard beside the cepstra.
    speech_embedding: bool = later(False)

    def __post_init__(self) -> None:
        whole = type(self.image_size) is int
        if not whole or self.image_size < 8 or self.coarsest << self._halvings != self.image_size:
            raise UserError(f"model.image_size={self.image_size}: px that can be halved until 4 to "
                            "7 are left are wanted, 64 or 96 for example")  # fmt: skip

    @property
    def _halvings(self) -> int:
        return self.image_size.bit_length() - 3  # 64 to 4 px: four

    @property
    def coarsest(self) -> int:
        """px of the last level."""
        return self.image_size >> self._halvings

    def widths(self) -> tuple[int, ...]:
        """Channels at image_size, image_size/2, … `coarsest` px."""
        levels = range(self._halvings + 1)
        return tuple(min(self.width * 2**level, self.max_width) for level in levels)


@dataclass(frozen=True)
class LossConfig:
    """Eq. 13 and what it is made of. The paper gives none of the λ."""

    gan: float = 0.04
    perceptual: float = 0.1  # λ1, Eq. 10
    lip: float = 8.0  # λ2, Eq. 11
    mi: float = 0.04  # λ3, Eq. 12; 0 leaves the term out
    # λ3 is set anew each step so that the MI term's gradient on the generated frames has this share
    # of the other terms': the same for DV and JS, whose scales differ. 0: λ3 is the constant above.
    mi_share: float = 0.2
    mi_from: float = 0.4  # share of training after which the MI term counts; T learns before it
    pixel: float = 2.0  # L1 over the whole frame; 0 is the paper's loss
    inner: float = later(0.0)  # L1 inside the lips alone, where few pixels lie
    objective: Literal["js", "dv"] = "js"
    critic_pairs: Literal["real", "generated"] = "real"  # real = the asymmetric strategy
    phi_layer: Literal["relu1_2", "relu2_2", "relu3_3"] = "relu2_2"
    phi_region: Literal["face", "lips"] = "lips"  # face is the paper's; lips cost a sixth
    critic_region: Literal["face", "lips"] = "lips"  # face is the paper's; T learns lips sooner
    gan_region: Literal["face", "lips"] = later("face")  # what D sees; lips are enlarged for it
    # Share, as of mi_share, of a sync expert's gradient: it has learnt from half of the training
    # clips before, and stays as it is. 0 is the paper's: there is none.
    sync_share: float = later(0.0)


@dataclass(frozen=True)
class AttentionConfig:
    """Dynamic attention (sec. 3.3): rates as stated, the phases chosen."""

    enabled: bool = True
    high: tuple[float, float] = (0.7, 0.9)  # stated
    low: tuple[float, float] = (0.1, 0.3)  # stated
    hold: float = 0.1  # share of training at the high rate
    final: float = 0.4  # share of training at rate 1 at the end ("the last few epochs")


@dataclass(frozen=True)
class TrainConfig:
    """The loop."""

    steps: int = 1000
    batch: int = 16  # windows a step
    unroll: int = 4  # frames generated one after the other in a window
    judged: int = 2  # frames of a window that φ and D see each step (T and the L1 terms see all)
    identity_gap: int = 10  # frames between a window and the identity face drawn from its clip
    identity_tries: int = later(1)  # frames drawn for it, of which the most closed mouth is taken
    min_gap: int = 5  # frames: nearer negatives share audio with the frame (20 hops are 5 frames)
    teacher: tuple[float, float] = (0.5, 0.1)  # chance that a window starts from the real frame
    lr: float = 5e-4  # G and D
    lr_critic: float = 3e-4  # T
    betas: tuple[float, float] = (0.5, 0.999)
    lr_mask: float = 2e-3  # the fine mask, three layers learnt from scratch
    critic_updates: int = 1  # of T for one of G
    warmup: int = 50  # steps of linear warm-up; then the rate stands still
    decay: float = 0.4  # last share of training, in which it falls to `lr_end` × lr (cosine)
    lr_end: float = 0.1
    clip: float = 1.0  # gradient norm
    ema: float = 0.995  # averaged weights; the average begins again where the decay does
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # method.precision_of
    compile: bool = False
    augment: bool = True  # colour and mirror
    geometry: bool = later(False)  # windows shifted, scaled and turned a little
    lighting: bool = later(False)  # stronger colour, contrast, light from one side, blur
    lip_edges: bool = later(False)  # inner lips where pictures show them, not where landmarks are
    mix: float = later(0.0)  # share of windows from a second corpus
    speaker_power: float = 0.5  # a speaker with n clips is drawn with weight n**power
    person: str = later("")  # whom a method of one person learns; empty: who has the most frames
    checkpoint_every: int = 200  # steps
    log_every: int = 20


@dataclass(frozen=True)
class Profile:
    """One scale of the whole companion."""

    name: str
    corpus: str  # "synthetic" or one of data.corpora.CORPORA
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    mfcc_rate: int = 16_000
    level: bool = later(False)  # speech brought to SPEECH_LEVEL before MFCC, as `amie talk` does
    identities: int = 16  # of the embedded corpus
    utterances: int = 8
    evaluate_clips: int | None = None  # at most so many of a split; None: all


PROFILES: dict[str, Profile] = {
    "smoke": Profile(
        "smoke", "synthetic", evaluate_clips=8, identities=12,
        train=TrainConfig(steps=320, batch=8, ema=0.98, log_every=10, checkpoint_every=80),
    ),
    "grid": Profile("grid", "grid", train=TrainConfig(steps=5600)),
    # The model that ships (weights/MODEL_CARD.md): for any face and voice.
    "talk": Profile(
        "talk", "grid", level=True,
        model=ModelConfig(compose="landmarks", canvas=112, speech_embedding=True),
        loss=LossConfig(inner=10.0, gan=0.3, gan_region="lips", perceptual=0.3),
        attention=AttentionConfig(enabled=False),
        train=TrainConfig(steps=1200, batch=8, geometry=True, lighting=True, identity_tries=4,
                          lip_edges=True),
    ),
    "lrw": Profile(
        "lrw",
        "lrw",
        model=ModelConfig(image_size=256, width=8, max_width=256, embedding=256),
        loss=LossConfig(phi_region="face"),
        train=TrainConfig(steps=200_000, batch=32, unroll=6, judged=6, ema=0.999, lr=2e-4,
                          lr_critic=1e-4, checkpoint_every=2000, compile=True),
        evaluate_clips=500,  # one of each word: all 25,000 would take a day a cell
    ),
}  # fmt: skip
# A rehearsal, any profile's name with a number of steps (lrw-20): every path in minutes. It is no
# result, so what it makes stays in the workspace.
REHEARSAL: dict[str, Any] = {
    "train.batch": 2, "train.unroll": 2, "train.judged": 1, "train.warmup": 2, "train.ema": 0.9,
    "train.log_every": 2, "train.compile": False, "evaluate_clips": 3,
    "loss.phi_region": "lips",  # on a whole face of 256² φ alone takes four fifths of a CPU's step
}  # fmt: skip

# The methods that can be trained, by the names of the paper's tables; then those of its section 2
# that stand in none.
RELATED = {
    "sda": "Vougioukas et al. [2018]",
    "obamanet": "Kumar et al. [2017]",
    "synthesizing": "Suwajanakorn et al. [2017]",
}
METHODS = {
    "speech2vid": "Chung et al. [2017]",
    "glance": "Chen et al. [2018]",
    "davs": "Zhou et al. [2019]",
    "atvgnet": "Chen et al. [2019]",
    **RELATED,
    "amie": "AMIE (Ours)",
}
PEERS = tuple(name for name in METHODS if name != "amie")

# Table 3, one row a delta to "ours" (rows by the paper's own letters). The 2×2×2 of
# objective × critic pairs × attention lacks one cell in the paper: dv_real_off is ours.
ABLATION: dict[str, dict[str, Any]] = {
    "baseline": {"loss.mi": 0.0, "attention.enabled": False},
    "a": {"loss.objective": "dv", "loss.critic_pairs": "generated", "attention.enabled": False},
    "b": {"loss.mi": 0.0},
    "c": {"loss.objective": "dv", "loss.critic_pairs": "generated"},
    "d": {"loss.critic_pairs": "generated", "attention.enabled": False},
    "e": {"loss.critic_pairs": "generated"},
    "f": {"loss.objective": "dv"},
    "g": {"attention.enabled": False},
    "ours": {},
    "dv_real_off": {"loss.objective": "dv", "attention.enabled": False},
}

# Every cell of Tables 2 and 3 (a row or a compared method, and a seed) has the same budget. The
# smoke profile's only shows that everything runs.
CELL_SCALE: dict[str, dict[str, Any]] = {
    "smoke": {
        "model.image_size": 32, "train.steps": 12, "train.batch": 8, "train.warmup": 5,
        "train.ema": 0.9, "evaluate_clips": 3,
    },
    "grid": {
        "train.steps": 1200, "train.batch": 8, "train.ema": 0.98, "train.lr_critic": 5e-4,
        "model.audio_width": 16,
    },
    "lrw": {"train.steps": 50_000},
}  # fmt: skip
# The learning rate of each method on GRID, the best of the same three on the validation splits
# (figures/README.md has the table); a method that is not named has the profile's.
CELL_TUNED: dict[str, dict[str, dict[str, Any]]] = {
    "grid": {
        name: {"train.lr": lr}
        for lr, names in (
            (2.5e-4, ("speech2vid", "glance", "atvgnet", "sda", "synthesizing")),
            (1e-3, ("obamanet",)),
        )
        for name in names
    }
}
# A method under other settings, a line of its own in the tables of a profile: method, settings.
CELL_VARIANTS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "grid": {"synthesizing_s4": ("synthesizing", {"train.person": "s4"})}
}
CELL_SEEDS = {"smoke": (0, 1), "grid": tuple(range(8)), "lrw": (0, 1, 2)}
# The length curve: some rows trained once more, for so many steps each (the table's own length is
# one of them), with the first so many of the seeds.
LENGTHS: dict[str, tuple[int, ...]] = {"grid": (400, 1200, 2800, 5600)}
LENGTH_ROWS, LENGTH_SEEDS = ("baseline", "b", "g", "ours"), 3


def rehearsed(name: str) -> tuple[str, int] | None:
    """The profile and the steps of a rehearsal's name, lrw-20; None for any other name."""
    base, _, steps = name.rpartition("-")
    return (base, int(steps)) if base in PROFILES and re.fullmatch("[1-9][0-9]*", steps) else None


def profile(name: str) -> Profile:
    """The profile of that name, or its rehearsal (UserError when there is none)."""
    if rehearsal := rehearsed(name):
        changes = {"name": name} | REHEARSAL | {"train.steps": rehearsal[1]}
        return with_changes(PROFILES[rehearsal[0]], changes)
    if name not in PROFILES:
        raise UserError(f"unknown profile {name!r}: choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


def brief(settings: Profile) -> bool:
    """Whether a run only shows that everything runs, so that what measures it is brief too."""
    return settings.name == "smoke" or rehearsed(settings.name) is not None


def cell_variants(name: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """The cells of a profile, or of its rehearsal, that are a method under other settings."""
    rehearsal = rehearsed(name)
    return CELL_VARIANTS.get(rehearsal[0] if rehearsal else name, {})


def cell_changes(name: str, cell: str) -> dict[str, Any]:
    """What the cells of a method, or of a variant of one, change in a profile or its rehearsal."""
    rehearsal = rehearsed(name)
    base = rehearsal[0] if rehearsal else name
    method, own = cell_variants(name).get(cell, (cell, {}))
    changes = CELL_SCALE[base] | CELL_TUNED.get(base, {}).get(method, {}) | own
    return changes | REHEARSAL | {"train.steps": rehearsal[1]} if rehearsal else changes


def cell_seeds(name: str) -> tuple[int, ...]:
    """The seeds of a profile's tables; a rehearsal has the first alone."""
    rehearsal = rehearsed(name)
    base = rehearsal[0] if rehearsal else name
    if base not in CELL_SEEDS:
        raise UserError(f"profile {base} has no tables: choose one of {', '.join(CELL_SEEDS)}")
    return CELL_SEEDS[base][:1] if rehearsal else CELL_SEEDS[base]


def with_changes(base: Profile, changes: dict[str, Any]) -> Profile:
    """A profile with dotted settings changed, e.g. {"train.steps": 10} (UserError if unknown)."""
    for key, value in changes.items():
        target, part, name = _place(base, key)
        changed = dataclasses.replace(target, **{name: value})
        base = dataclasses.replace(base, **{part: changed}) if part else changed
    return base


def _place(base: Profile, key: str) -> tuple[Any, str, str]:
    """Whose setting it is, the part's name (empty: the profile's own), the setting's."""
    part, _, name = key.rpartition(".")
    target = getattr(base, part, None) if part else base
    if not dataclasses.is_dataclass(target) or name not in {
        entry.name for entry in dataclasses.fields(target)
    }:
        raise UserError(f"unknown setting {key!r} (settings read like train.steps)")
    return target, part, name


UNFIT = object()  # no value of a setting, as None is of some


def changes_of(words: Iterable[str]) -> dict[str, Any]:
    """Changes as a command line tells them: train.mix=0.5, train.teacher=[0.5,0.1] (UserError: an
    unknown setting, or no value of it).
    """
    found: dict[str, Any] = {}
    for word in words:
        key, _, text = word.partition("=")
        target, _, name = _place(PROFILES["smoke"], key)
        kind = get_type_hints(type(target))[name]
        try:
            told = from_json(text)
        except ValueError:
            told = text
        fitting = _fitting(told, kind)
        if fitting is UNFIT:  # a name may read like a number
            fitting = _fitting(text, kind)
        if fitting is UNFIT:
            wanted = kind.__name__ if isinstance(kind, type) else str(kind)
            raise UserError(f"{word}: {key} wants {wanted.removeprefix('typing.')}")
        if key in ("name", "corpus"):
            raise UserError(f"{word}: {key} is the profile's own: choose another --profile")
        _within(word, key, fitting)
        found[key] = fitting
    return found


# What memory grows by: beyond MOST a machine would be out of it, and end what else runs on it.
LARGE, MOST = ("batch", "unroll", "width", "max_width", "audio_width", "embedding"), 4096
BELOW_1 = ("ema", "betas", "mi_share", "sync_share")  # at 1 nothing is learnt


def _within(word: str, key: str, value: Any) -> None:
    """Refuse numbers that a training would run through and be worth nothing (UserError)."""
    part, _, name = key.rpartition(".")
    for number in value if isinstance(value, tuple) else (value,):
        if type(number) is int:
            least = 0 if name in ("warmup", "identity_gap") else 1
            most = FACE_SIZE if name == "canvas" else MOST if name in LARGE else math.inf
        elif type(number) is float:
            free = name == "clip" or (part == "loss" and name not in ("mi_from", *BELOW_1))
            least, most = 0, math.inf if free else 1
        else:
            continue
        if number < least:
            raise UserError(f"{word}: {key} must be at least {least}")
        if number > most or (number == most and name in BELOW_1):
            edge = "below" if name in BELOW_1 else "at most"
            raise UserError(f"{word}: {key} must be {edge} {most}")
        if name == "clip" and number == 0:
            raise UserError(f"{word}: {key} must be above 0: no gradient would be left")


def _fitting(value: Any, kind: Any) -> Any:
    """The value as that type has it, UNFIT where it is none."""
    origin, kinds = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value if value in kinds else UNFIT
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(kinds):
            return UNFIT
        parts = tuple(map(_fitting, value, kinds))
        return UNFIT if UNFIT in parts else parts
    if kinds:  # one of several
        return next((one for k in kinds if (one := _fitting(value, k)) is not UNFIT), UNFIT)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        return UNFIT
    return value


def for_row(base: Profile, row: str) -> Profile:
    """The profile of one row of Table 3 (UserError when there is no such row)."""
    if row not in ABLATION:
        raise UserError(f"unknown row {row!r}: choose one of {', '.join(ABLATION)}")
    return with_changes(base, ABLATION[row])


def resolve(name: str, row: str = "ours", changes: dict[str, Any] | None = None) -> Profile:
    """A profile by its name, with dotted settings changed, as a row of Table 3 has it.

    UserError: unknown profile, row or setting.
    """
    return for_row(with_changes(profile(name), changes or {}), row)


def to_dict(settings: Any) -> dict[str, Any]:
    """Plain, JSON-ready settings (tuples become lists)."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def from_dict(kind: type, values: dict[str, Any]) -> Any:
    """A flat settings dataclass from `to_dict`'s output (lists become tuples again)."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def run_key(settings: Profile, seed: int, data_digest: str, method: str = "amie") -> str:
    """12 hex digits that name a run: a hash of its resolved settings, seed, data and method."""
    what = [_told(settings), seed, data_digest, *([] if method == "amie" else [method])]
    text = json.dumps(what, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _told(settings: Any) -> dict[str, Any]:
    """`to_dict` without the fields added later that are at their defaults."""
    plain = to_dict(settings)
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if dataclasses.is_dataclass(value):
            plain[entry.name] = _told(value)
        elif entry.metadata.get("later") and value == entry.default:
            del plain[entry.name]
    return plain
