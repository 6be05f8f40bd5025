"""A face speaking with a mouth moved by its landmarks (`compose="landmarks"`), on arrays.

What is learnt is behind `MouthNetworks`: torch's modules (`model.mouth`), or the same networks as
they ship for ONNX Runtime (`talking.networks`), which start in a tenth of the time.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.lib.stride_tricks import sliding_window_view

from amie_core.config import FACE_SIZE, WINDOW
from amie_core.data import alignment, audio
from amie_core.data.audio import BEFORE, HOPS
from amie_core.model import lips
from amie_core.model.contrast import contrast, stronger
from amie_core.model.manner import manner_of
from amie_core.model.teeth import Bank
from amie_core.model.voices import SAID, Voices

SURVEYED = 250  # frames, the first ten seconds, that tell how far a voice would move the mouth
EVERY = 4  # px of the canvas, between the places where the movement is worked out
ASKED = 0.96  # makes the known voices of val_seen move as far as their own (s1 1.02, s4 1.30)
# Deviation of the opening, in mouth widths, that an unknown voice is taken to have: GRID's training
# speakers have .033 to .066, s31 of val_unseen .078. The smaller, the nearer are most; with this
# s31 still moves, by the pictures of its clips in talk_faces.json, with .48 of its own variance.
USUAL = 0.056
# Of a frame, by how much an unknown voice's mouth moves earlier than it is told to. Voices of
# another recording chain than GRID's are heard late: the mouths of each of the studio's four move
# .4 to .8 of a frame later than theirs did, after their recordings' sound is put right by what the
# judge hears (the mean of a talker's clips), and follow best with this: .750, .738 as told, .745
# with .2, .749 with .6. GRID's unheard ones lose (.846 for .863), but whoever brings a voice brings
# none of GRID's, and late lips are noticed sooner than early ones (ITU-R BT.1359: sound that is
# 45 ms early, or 125 ms late).
EARLIER = 0.4
SOONER, LATER = 1, 5  # frames before what is said, and after it, that are no pause
SETS_OUT = 4  # frames in which a mouth goes from where its picture shows it to rest
# Frames (after LATER) in which an unknown voice says nothing, until the mouth goes back to where
# its picture shows it; frames in which it does.
LONG, BACK = 20, 8
MIDDLE = 0.4  # what a canvas's tint is brought to before it is seen
# How much lighter than G paints it what lies between the lips is made: by L1 it learns what is
# there mostly, not the mean of dark and teeth. Unheard voices (training speakers left out, and s31,
# four clips each) have .092 dB of PSNR without, .098 with 1.04, .101 with 1.08, .100 with 1.12.
LIGHTER = 1.08
SHADE = 0.5  # of the light on the face: what may be added to it at most
FADE = 0.4  # of half a canvas: where shade fades out

Maps = tuple[np.ndarray, ...]  # of a canvas; what they are is the networks' own affair


class Strokes(NamedTuple):
    """What G paints, before the face's light falls on it."""

    colours: Float[np.ndarray, "3 s s"]  # 0 … 1
    shade: Float[np.ndarray, "3 s s"]  # -1 … 1


@runtime_checkable
class MouthNetworks(Protocol):
    """The networks of a generator that moves a mouth by its landmarks."""

    @property
    def image_size(self) -> int:
        """Px of the canvas's picture."""

    @property
    def canvas(self) -> int:
        """Side of the square around the mouth that is its canvas, px at 256."""

    @property
    def bank(self) -> Bank:
        """Teeth of real mouths."""

    @property
    def voices(self) -> Voices:
        """Those that are known."""

    @property
    def hears(self) -> "audio.Hears":
        """What the windows of its sound hold."""

    @property
    def context(self) -> int:
        """Frames before and after one whose sound is heard with it."""

    def hear(self, windows: Float[np.ndarray, "_ 20 c"]) -> Float[np.ndarray, "n 31 2"]:
        """Displacements, in deviations of the opening, of n frames in a row; `context` windows more
        stand at each end.
        """

    def code(self, windows: Float[np.ndarray, "n 20 13"]) -> Float[np.ndarray, "n c q q"]:
        """What the decoder is told of the sound of n frames."""

    def see(self, face: Float[np.ndarray, "1 3 s s"]) -> Maps:
        """What the decoder takes of a canvas."""

    def outline(self, corners: Float[np.ndarray, "1 16"]) -> Float[np.ndarray, "1 c q q"]:
        """The code of the inner lips' shape."""

    def paint(
        self, previous: Float[np.ndarray, "1 3 s s"], code: Float[np.ndarray, "1 c q q"], maps: Maps
    ) -> Strokes:
        """A frame, from the one before."""


class Said(NamedTuple):
    """What a mouth does in frames in a row."""

    moves: Float[np.ndarray, "n 31 2"]  # from where it is at rest, in mouth widths
    windows: Float[np.ndarray, "n 20 c"]
    begun: Float[np.ndarray, " n"]  # 0 while the mouth is as its picture shows it, then to 1


class Painted(NamedTuple):
    """A frame: landmarks (256ths of the face); colours in [0, 1] and shade of its canvas."""

    points: Float[np.ndarray, "68 2"]
    colours: Float[np.ndarray, "s s 3"]
    shade: Float[np.ndarray, "s s 3"]
    begun: float = 1.0  # `Said.begun`


def tint(canvas: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, " 3"]:
    """Mean colour of a canvas, nearly all of it skin: what light falls on the teeth as well."""
    return canvas.mean((0, 1)).clip(min=0.05)


def inside(points: Float[np.ndarray, "n 68 2"], size: int) -> Float[np.ndarray, "n s s"]:
    """1 between the inner lips, 0 outside; landmarks in 256ths of the picture."""
    return alignment.filled(points[:, lips.INNER], size).astype(np.float32) / 255


def around(size: int) -> Float[np.ndarray, "s s"]:
    """1 in the middle of a canvas, 0 at its edges, soft between: where shade may lie."""
    at = ((np.arange(size) * 2 + 1) / size - 1).astype(np.float32)
    return lips.smoothstep((1 - np.sqrt(at[:, None] ** 2 + at**2)) / FADE)


def corners(points: Float[np.ndarray, "68 2"], width: float) -> Float[np.ndarray, "1 16"]:
    """The inner lips' shape as the networks are told of it; width: of the mouth at rest."""
    shape = points[lips.INNER] - points[lips.INNER].mean(0)
    return (shape / width * 4).reshape(1, -1).astype(np.float32)


class Mover:
    """A canvas whose landmarks are moved."""

    def __init__(
        self, canvas: Float[np.ndarray, "s s 3"], own: Float[np.ndarray, "68 2"], unit: float
    ) -> None:
        self.canvas, size = canvas, len(canvas)
        self.coarse = size // EVERY
        places = (np.arange(self.coarse) + 0.5) * (FACE_SIZE / self.coarse) - 0.5
        self.flow = lips.Flow(own, np.stack(np.meshgrid(places, places), -1).reshape(-1, 2), unit)
        self.pixels = np.stack(np.meshgrid(*[np.arange(size)] * 2), -1).astype(np.float32)

    def __call__(self, new: Float[np.ndarray, "68 2"]) -> Float[np.ndarray, "s s 3"]:
        """The canvas with its landmarks, in 256ths, elsewhere."""
        size = len(self.canvas)
        found = self.flow(new).reshape(self.coarse, self.coarse, 2) * np.float32(size / FACE_SIZE)
        source = self.pixels + cv2.resize(found, (size, size), interpolation=cv2.INTER_LINEAR)
        edge = cv2.BORDER_REPLICATE
        # Both coordinates in one map leave the second empty, which cv2's stubs do not know.
        return cv2.remap(self.canvas, source, None, cv2.INTER_LINEAR, borderMode=edge)  # type: ignore[call-overload]


def in_context(
    chunks: Iterable[Float[np.ndarray, "_ 20 c"]], reach: int
) -> Iterator[Float[np.ndarray, "_ 20 c"]]:
    """Windows in a row, cut anew so that a part of n + 2 `reach` tells all of its n middle frames.

    What is beyond sounds like the first hop and the last.
    """
    kept: np.ndarray | None = None
    for chunk in filter(len, map(np.asarray, chunks)):
        if kept is None:
            rows = np.pad(chunk[0], ((HOPS * reach, 0), (0, 0)), mode="edge")
            kept = audio.windows(rows, reach)
        kept = np.concatenate([kept, chunk])
        if len(kept) > 2 * reach:
            yield kept
            kept = kept[len(kept) - 2 * reach :]
    if kept is not None:
        rows = np.pad(kept[-1], ((0, HOPS * reach), (0, 0)), mode="edge")
        yield np.concatenate([kept, audio.windows(rows, reach + 1)[1:]])


def says(windows: Float[np.ndarray, "n 20 c"]) -> Bool[np.ndarray, " n"]:
    """Whether something is said within 60 ms of each frame."""
    return windows[:, 6:14, 0].max(1) > SAID


def said_near(windows: Float[np.ndarray, "n 20 c"]) -> Float[np.ndarray, " n"]:
    """1 in frames in which something is said and near them, 0 in pauses, soft between."""
    wide = np.pad(says(windows), (LATER + 1, SOONER + 1), mode="edge")
    near = sliding_window_view(wide, LATER + SOONER + 1).any(1)
    return sliding_window_view(near, 3).mean(1, dtype=np.float32)


class Beginning:
    """`Said.begun`, part by part; always: whatever is heard."""

    def __init__(self, always: bool) -> None:
        self.always, self.begun, self.silent = always, 0.0, LONG

    def __call__(self, near: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """near: not 0 in frames in which something is said and near them."""
        out = np.empty(len(near), np.float32)
        for k, something in enumerate(near > 0):
            out[k] = self.begun
            self.silent = 0 if something else self.silent + 1
            sets_out = self.always or self.silent < LONG
            self.begun += 1 / SETS_OUT if sets_out else -1 / BACK
            self.begun = min(max(self.begun, 0.0), 1.0)
        return out


def heard(
    networks: MouthNetworks,
    windows: Iterable[Float[np.ndarray, "_ 20 c"]],
    opens: float | None = None,
) -> Iterator[Said]:
    """What a mouth does, part by part.

    Movements are as large as the voice moves its own mouth, or as a video of the face says that it
    does: `opens`, a deviation of the opening, in mouth widths (`talking.still.opens_in`).

    How a voice's own size comes about of what is heard: `model.manner`, learnt of what is said in
    the first ten seconds. Until something is said, and in long pauses, the mouth is as its picture
    shows it; from there it goes to rest. With a voice that is known it goes there at once and
    stays, since what it does in pauses is known as well.
    """
    reach, count = networks.context + 1, 0  # a frame beyond is told as well
    assert reach > LATER  # else pauses would hang on how the sound is cut
    parts = ((networks.hear(part), part[reach:-reach], said_near(part)[reach:-reach])
             for part in in_context(windows, reach))  # fmt: skip
    first: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for one in parts:
        first.append(one)
        count += len(one[1])
        if count >= SURVEYED:
            break
    if not first:
        return
    own = np.concatenate([middle for _, middle, _ in first])[:SURVEYED]  # however it is cut
    sound = own[:, BEFORE : BEFORE + HOPS].reshape(-1, own.shape[2])
    known, far = networks.voices.recognised(sound)
    size = np.float32(far**known * USUAL ** (1 - known) if opens is None else opens)

    def earlier(told: Float[np.ndarray, "n_and_2 31 2"]) -> Float[np.ndarray, "n 31 2"]:
        return told[1:-1] + np.float32(EARLIER * (1 - known)) * (told[2:] - told[1:-1])

    moves = np.concatenate([earlier(told) for told, _, _ in first])[:SURVEYED]
    manner, begins = manner_of(moves[says(own)], size, known), Beginning(always=known > 0.5)
    for told, middle, near in chain(first, parts):
        begun = begins(near)
        yield Said(manner(earlier(told), near) * begun[:, None, None], middle, begun)


def painted(
    networks: MouthNetworks,
    face: UInt8[np.ndarray, "256 256 3"],
    points: Float[np.ndarray, "68 2"],
    windows: Iterable[Float[np.ndarray, "_ 20 c"]],
    movement: float = 1.0,
    opens: float | None = None,
    given: Float[np.ndarray, "68 2"] | None = None,
    sharper: np.float32 | None = None,
) -> Iterator[Painted]:
    """What each frame shows of a face at rest, and where its landmarks are.

    movement: how much farther the mouth moves than the voice moves its own, or than `opens` says
    (`heard`); given: the landmarks before the lips were closed, where they were not always;
    sharper: `contrast.contrast` of the picture before that (None: of `face`).
    """
    rest = lips.closed(points)
    away = ((points if given is None else given) - rest).astype(np.float32)
    farther, width = np.float32(movement * ASKED), lips.mouth_width(rest)

    def laid(said: Said) -> Float[np.ndarray, "n 68 2"]:
        moves = said.moves * farther
        there = lips.to_edges(lips.laid(rest, moves), lips.parted(moves), width)
        return there + (1 - said.begun)[:, None, None] * away

    told = heard(networks, windows, opens)
    return drawn(networks, face, points, ((laid(said), *said[1:]) for said in told), sharper)


def drawn(
    networks: MouthNetworks,
    face: UInt8[np.ndarray, "256 256 3"],
    points: Float[np.ndarray, "68 2"],
    places: Iterable[tuple[Float[np.ndarray, "n 68 2"], np.ndarray, Float[np.ndarray, " n"]]],
    sharper: np.float32 | None = None,
) -> Iterator[Painted]:
    """The same, of landmarks that are told part by part with `Said.windows` and `begun`.

    sharper: `contrast.contrast` (None: of `face`).
    """
    matrix = alignment.mouth_square(alignment.lip_box(points[None]), networks.canvas)
    size = networks.image_size
    seen = alignment.sample(face, alignment.pixels(matrix, size), size).astype(np.float32) / 255
    own = alignment.transform(points, matrix)
    width = lips.mouth_width(own)
    mover = Mover(seen, own, FACE_SIZE / networks.canvas)
    light = tint(seen)
    details, soft = networks.bank.details(light), around(size)[..., None]
    maps = networks.see(_planes(seen * (MIDDLE / light)))
    previous = seen
    if sharper is None:
        sharper = contrast(face, points)
    for there, windows, begun in places:
        codes = networks.code(windows[..., : WINDOW[1]])[:, None]
        for place, code, share in zip(there, codes, begun, strict=True):
            if share == 0:  # nothing is painted over the picture
                nothing, previous = np.zeros_like(seen), seen
                yield Painted(place, nothing, nothing, 0.0)
                continue
            canvas = alignment.transform(place, matrix)
            base, open_ = mover(canvas), inside(canvas[None], size)[0][..., None]
            code = code + networks.outline(corners(canvas, width))
            made = networks.paint(_planes(previous), code, maps)
            light = tint(base)
            shade = SHADE * made.shade.transpose(1, 2, 0) * soft * light
            colours = made.colours.transpose(1, 2, 0) * (light * np.float32(LIGHTER / MIDDLE))
            previous = (base + shade) * (1 - open_) + colours * open_
            colours = stronger(colours + details.laid(canvas, width), open_, sharper)
            yield Painted(place, colours, shade, float(share))


def _planes(picture: Float[np.ndarray, "s s 3"]) -> Float[np.ndarray, "1 3 s s"]:
    """As networks see it."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
