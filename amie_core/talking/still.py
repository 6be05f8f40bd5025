"""The still: any image file to upright RGB, the face in it, its mouth brought to rest."""

import importlib
import io
import itertools
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8

from amie_core.config import FACE_SIZE, FPS
from amie_core.data.alignment import scale
from amie_core.errors import UserError
from amie_core.machine import say

if TYPE_CHECKING:
    from PIL import Image

    from amie_core.data.landmarks import Detection
    from amie_core.model.own_teeth import Teeth

HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
LARGEST = 178  # megapixels: Pillow takes no more
GREY = 128  # what shows through a transparent image
SMALLEST = 24  # px between the eyes' centres: below, there is no mouth to be seen
BETWEEN_EYES = 76  # px at 256, of the template
SEEN, EVERY = 10, 5  # s at the beginning of a video that are looked at, every fifth frame
SOME = 10  # frames: fewer do not tell how far lips open
# Deviations of a mouth's opening, mouth widths: below the first it trembles; no speaker of GRID
# moves less than the second, nor one of anywhere more than the last.
STILL, LEAST, WIDEST = 0.015, 0.03, 0.12


@dataclass(frozen=True)
class Still:
    """A picture, and where its face is: landmarks in 256-px units, the similarity to those."""

    picture: UInt8[np.ndarray, "h w 3"]
    points: Float[np.ndarray, "68 2"]
    matrix: Float[np.ndarray, "2 3"]
    teeth: "Teeth | None" = None  # the speaker's own, of this picture or of another one
    # How far its lips open in a video in which it speaks: a deviation, in mouth widths.
    opens: float | None = None
    before: "Still | None" = None  # the same, where its lips were closed: before that

    @property
    def lip_box(self) -> tuple[int, int, int, int]:
        """The mouth's, in 256ths of the aligned face."""
        from amie_core.data.alignment import lip_box

        return lip_box(self.points[None])

    def aligned(self, size: int) -> UInt8[np.ndarray, "s s 3"]:
        """The aligned face as networks see it: by 256 px, as the training faces came."""
        from amie_core.data.alignment import warp

        return scale(warp(self.picture, self.matrix), size)

    def as_shown(self) -> "Still":
        """The same with the inner lips' landmarks, and the corners, where the picture shows them.

        Its teeth are those seen where the landmarks were, as in videos, where any are.
        """
        from amie_core.model.lip_edges import by_picture

        points = by_picture(self.aligned(FACE_SIZE), self.points)
        return replace(self.with_teeth(), points=points)

    def at_rest(self) -> "Still":
        """The same with its lips closed, where they are open; teeth that they show are kept."""
        from amie_core.talking.closed_lips import close_lips

        own = replace(self, teeth=None).with_teeth().teeth
        picture, points = close_lips(self.picture, self.points, self.matrix, own is not None)
        before = self.before if picture is self.picture else self
        return replace(self, picture=picture, points=points, teeth=self.teeth or own, before=before)

    def with_teeth(self) -> "Still":
        """The same with the teeth that it shows, where none are known."""
        from amie_core.model.own_teeth import shown

        return replace(self, teeth=self.teeth or shown(self.picture, self.points, self.matrix))


def open_still(path: Path, index: int | None = None, keep_smile: bool = False) -> Still:
    """The face of an image file, its lips closed unless `keep_smile` (UserError: none usable).

    A video's is that of its frame with the mouth most closed; its teeth are those of the frame that
    shows most of them (`watch`), and its lips will open as far as they do there.
    """
    from amie_core.model.own_teeth import skin_of

    teeth = opens = face = None
    try:
        _with_heic(path)  # FFmpeg would take one tile of it for a video
        try:
            image = read_image(path)
        except UserError:
            found = watch(path, index)
            if found is None:
                from amie_core.data.corpora import VIDEOS

                if path.suffix.lower() in VIDEOS:
                    why = "cannot be read as a video: give another file"
                    raise UserError(f"{path} {why}") from None
                raise
            image, teeth, opens, face = found
            if opens is not None:
                say(f"{path}: the lips will open as far as they do there, --movement changes it")
        still = replace(find_face(image, index, face, path), opens=opens).as_shown()
        if teeth is not None:
            skin = skin_of(still.aligned(FACE_SIZE), still.points)
            still = replace(still, teeth=teeth.under(skin))
    except UserError as error:
        where = "" if str(error).startswith(str(path)) else f"{path}: "
        raise UserError(f"{where}{error}") from None
    return still.with_teeth() if keep_smile else still.at_rest()


class Watched(NamedTuple):
    """What the first seconds of a video show of a face."""

    frame: UInt8[np.ndarray, "h w 3"]  # the one whose mouth is most closed
    teeth: "Teeth | None"  # of the one that shows most of them
    opens: float | None  # deviation of the opening, mouth widths; None where nobody seems to speak
    face: "Detection"  # where it is in that frame


def watch(path: Path, index: int | None = None) -> Watched | None:
    """The first seconds of a video; None where the file is none.

    index: which face of the first frame that shows it, counted from the left; the largest where
    None. In later frames it is the one nearest to where it was. UserError: no such face is seen.
    """
    from amie_core.data.alignment import lip_opening, similarity, transform
    from amie_core.data.faces import backend, locate, of_still, rivals
    from amie_core.data.landmarks import SURE
    from amie_core.data.video import read_video
    from amie_core.model.lips import mouth_width
    from amie_core.model.own_teeth import most, shown

    finder, best, least, teeth, place = backend(), None, np.inf, None, None
    look = finder.detect
    seen: list[np.ndarray] = []
    there: list[int] = []
    spoken: list[bool] = []
    try:
        video = read_video(path)
        said = _said(video.audio)[::EVERY]
        for number, frame in enumerate(itertools.islice(video.frames, 0, SEEN * FPS, EVERY)):
            if frame is None:  # damaged
                continue
            faces = of_still(frame, finder) if place is None else rivals(look(frame))
            there.append(len(faces))
            face = _chosen(faces, index) if place is None else _nearest(faces, place)
            if face is None:
                continue
            points, score = locate(frame, finder, face)
            if score < SURE:
                continue
            if place is None and len(faces) > 1:  # whom one detector does not see the other may
                look = getattr(finder, "every", look)
                if index is None:
                    _largest_of(faces, path)
            place = face
            matrix = similarity(points[None])
            aligned = transform(points, matrix)
            seen.append(aligned)
            spoken.append(bool(said[number]))
            opening = lip_opening(aligned[None])[0] / mouth_width(aligned)
            if opening < least:
                best, least, where = frame, opening, face
            teeth = most([teeth, shown(frame, aligned, matrix)])
    except UserError:
        pass  # no video, or none from here on
    if best is not None:
        return Watched(best, teeth, opens_in(np.stack(seen), np.array(spoken)), where)
    if not there:
        return None
    asked = "" if index is None else f" number {index} (at most {max(there)} in a frame)"
    raise UserError(f"no face{asked} is seen in its first {SEEN} s: give one that shows a face")


def _said(audio: Float[np.ndarray, " samples"] | None) -> Bool[np.ndarray, " n"]:
    """In which frames of the first seconds of a video something is heard."""
    from amie_core.data.audio import is_silent
    from amie_core.data.sound import frame_count

    said = np.zeros(SEEN * FPS, bool)
    if audio is not None and len(audio):
        n = min(frame_count(len(audio)), len(said))
        said[:n] = ~is_silent(audio, n)
    return said


def _largest_of(faces: "list[Detection]", path: Path | None) -> int:
    """Its place among several, from the left; says how to choose another."""
    index = max(range(len(faces)), key=lambda k: faces[k].side)
    where = "" if path is None else f"{path}: "
    say(f"{where}{len(faces)} faces: taking the largest, --face-index {index} (0 is leftmost)")
    return index


def _chosen(faces: "list[Detection]", index: int | None) -> "Detection | None":
    """Number `index` of the faces, the largest where None; None where there is no such one."""
    if index is None:
        return max(faces, key=lambda face: face.side, default=None)
    return faces[index] if 0 <= index < len(faces) else None


def _nearest(faces: "list[Detection]", place: "Detection") -> "Detection | None":
    """The face nearest to where it was, None where none lies there."""
    middle = np.add(place.box[:2], place.box[2:]) / 2

    def away(face: "Detection") -> float:
        return float(np.abs(np.add(face.box[:2], face.box[2:]) / 2 - middle).max())

    found = min(faces, key=away, default=None)
    return found if found is not None and away(found) < place.side / 2 else None


def opens_in(
    points: Float[np.ndarray, "n 68 2"], said: Bool[np.ndarray, " n"]
) -> float | None:
    """How far lips open in frames of an aligned face: a deviation, in mouth widths.

    said: whether something is heard in them: where there are enough such frames they count alone.
    None where frames are few or the mouth only trembles.
    """
    from amie_core.model.lips import relative

    if len(points) < SOME:
        return None
    opening = relative(points)[1]
    found = float(opening[said].std() if said.sum() >= SOME else opening.std())
    return float(np.clip(found, LEAST, WIDEST)) if found >= STILL else None


def find_face(
    image: UInt8[np.ndarray, "h w 3"], index: int | None = None, face: "Detection | None" = None,
    path: Path | None = None,
) -> Still:
    """The face of a picture: number `index` from the left, or the largest of several (it says so);
    or `face`, where it is known.

    A face on its side is found as well. path: of the picture, for what is said. UserError: no face,
    no such index, a face upside down, too small to show a mouth, or whose mouth is cut off.
    """
    import cv2

    from amie_core.data.alignment import transform
    from amie_core.data.faces import aligned, backend, of_still, on_its_head, picked

    if face is None:
        faces = of_still(image, backend())
        if index is None and len(faces) > 1:
            index = _largest_of(faces, path)
        face = picked(faces, index)
    points, matrix = aligned(image, face, backend(), FACE_SIZE)[1:]
    if on_its_head(image, [face], backend()):
        raise UserError("the face is upside down: turn the image by 180°")
    eyes = BETWEEN_EYES / float(np.hypot(*matrix[:, 0]))
    if eyes < SMALLEST:
        raise UserError(
            f"the face is too small ({eyes:.0f} px from eye to eye): give a larger image of it "
            f"(at least {SMALLEST} px)"
        )
    mouth = transform(points[48:68].astype(np.float64), cv2.invertAffineTransform(matrix))
    if (mouth < 0).any() or (mouth >= image.shape[1::-1]).any():
        raise UserError("the mouth lies outside the picture: give one that shows the whole face")
    return Still(image, points, matrix)


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """Any still as upright 8-bit sRGB: EXIF orientation and colour profile applied, transparency
    over grey, 16 bits and floats as dark as they are.

    Raises UserError when the file is no readable image.
    """
    from PIL import Image, ImageOps

    _with_heic(path)
    try:
        # Pillow warns of large pictures that it reads all the same.
        large = warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning)
        with large, Image.open(path) as file:
            file.load()
            image: Image.Image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I") or image.mode == "F":  # 16 bits or more a pixel
                image = Image.fromarray(_eight_bits(np.asarray(image)))
            if image.mode in ("P", "PA"):
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            image = _standard_colours(image, file.info.get("icc_profile"))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, (GREY,) * 3), image)
            return np.asarray(image.convert("RGB"))
    except Image.DecompressionBombError:
        raise UserError(
            f"{path} has more than {LARGEST} megapixels: give it smaller; a face needs one or two"
        ) from None
    except (OSError, ValueError, SyntaxError) as error:
        if (deep := _deep_tiff(path)) is not None:
            return deep
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a readable image ({reason}): give a PNG or JPEG") from None


def _with_heic(path: str | Path) -> None:
    """Let Pillow read phones' HEIC where pillow-heif is installed; say what to do where not."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return  # said by the one who reads it
    if head[4:8] != b"ftyp" or head[8:12] not in HEIC:
        return
    try:  # not declared: its wheels carry a GPL encoder
        heif = importlib.import_module("pillow_heif")
    except ImportError:
        raise UserError(
            f"{path} is a HEIC picture: pip install pillow-heif to read it, or save it as JPEG"
        ) from None
    heif.register_heif_opener()


def _standard_colours(image: "Image.Image", profile: bytes | None) -> "Image.Image":
    """The picture in sRGB (Display P3, Adobe RGB, CMYK … as its ICC profile says)."""
    from PIL import ImageCms

    if not profile or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(
            image, own, ImageCms.createProfile("sRGB"), outputMode=mode
        ) or image  # fmt: skip
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile, or one of another mode


def _eight_bits(values: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Deep pixels as 8 bits: floats up to 1 are whole numbers of white; else by the smallest of
    8, 16 and 32 bits that holds them, 16 for 16-bit pixels whatever they hold.
    """
    deep = values.astype(np.float64)
    top = deep[np.isfinite(deep)].max(initial=0)
    deep = np.nan_to_num(deep, posinf=top, neginf=0.0)
    whole = 65535.0 if values.dtype == np.uint16 else 255.0
    if values.dtype.kind == "f" and np.quantile(deep, 0.99) <= 1.5:  # lights may be brighter
        whole = 1.0
    elif top > whole:
        whole = 65535.0 if top <= 65535 else top
    return (deep * (255 / whole)).round().clip(0, 255).astype(np.uint8)


def _deep_tiff(path: str | Path) -> UInt8[np.ndarray, "h w 3"] | None:
    """A TIFF of several deep channels, which Pillow does not read; None for anything else."""
    import cv2

    if Path(path).suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, cv2.error):
        return None
    if found is None or found.dtype == np.uint8:
        return None
    eight = _eight_bits(found)
    eight = np.stack([eight] * 3, -1) if eight.ndim == 2 else eight[..., 2::-1]
    return np.ascontiguousarray(eight)
