"""A decoded video frame as a person sees it: upright, square pixels, 8-bit sRGB."""

import contextlib
import functools

import numpy as np
from jaxtyping import Float, UInt8, UInt16

# H.273's numbers for what a stream says of its colours.
BT709, BT2020_PRIMARIES, P3_PRIMARIES, UNSAID, PQ, HLG = 1, 9, 12, 2, 16, 18
HD = (1280, 576)  # px: a picture wider or higher than that, which says nothing, is BT.709
WHITE = 203.0  # cd/m²: an HDR picture's diffuse white, SDR's 1 (BT.2408, sec. 2.2)
PEAK = 1000.0  # cd/m² of the display that HLG is graded for, where the OOTF's exponent is 1.2
KNEE = 0.9  # of SDR's white: brighter light is rolled off instead of clipped
SDR_GAMMA = 2.4  # BT.1886
# FFmpeg's YCbCr matrices (H.273) that swscale knows, under its own numbers.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
# Linear RGB of other primaries to BT.709's (BT.2087; SMPTE EG 432-1).
TO_709 = {
    BT2020_PRIMARIES: [
        [1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187],
    ],
    P3_PRIMARIES: [
        [1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979],
    ],
}  # fmt: skip


def picture(frame, size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of a decoded frame (av.VideoFrame): what the file says of it is done.

    size: (width, height) in square pixels to scale it to, before it is turned. Turned and
    mirrored as the display matrix says; HDR (HLG, PQ) and wide gamuts brought to SDR.
    """
    matrix = MATRICES.get(frame.colorspace)
    hdr = frame.color_trc in (PQ, HLG)
    if matrix is None and frame.colorspace == UNSAID:
        if hdr:
            matrix = BT2020_PRIMARIES
        elif frame.width >= HD[0] or frame.height > HD[1]:
            matrix = BT709  # below that swscale's BT.601 holds
    wide = hdr or frame.color_primaries in TO_709
    seen = frame.reformat(*size, "rgb48le" if wide else "rgb24", src_colorspace=matrix)
    pixels = seen.to_ndarray()
    if wide:
        pixels = standard_range(pixels, frame.color_trc, frame.color_primaries)
    return upright(pixels, display_matrix(frame))


def display_matrix(frame) -> Float[np.ndarray, "2 2"] | None:
    """What the header does to a pixel's (x, y), times this; None for nothing."""
    from av.sidedata.sidedata import Type

    found = None
    for k in range(len(frame.side_data)):
        with contextlib.suppress(ValueError):  # PyAV does not know every kind (EXIF)
            if frame.side_data[k].type == Type.DISPLAYMATRIX:
                found = bytes(frame.side_data[k])
                break
    if found is None or len(found) < 36:
        return None
    return np.frombuffer(found, "<i4", 9).reshape(3, 3)[:2, :2] / 65536


def upright(
    pixels: UInt8[np.ndarray, "h w 3"], matrix: Float[np.ndarray, "2 2"] | None
) -> UInt8[np.ndarray, "a b 3"]:
    """The picture turned by quarters and mirrored as the matrix says, to the nearest quarter."""
    if matrix is None or not matrix.any():
        return pixels
    (a, b), (c, d) = matrix
    if abs(a) + abs(d) < abs(b) + abs(c):  # x' comes from y, y' from x
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def standard_range(
    pixels: UInt16[np.ndarray, "h w 3"], transfer: int, primaries: int
) -> UInt8[np.ndarray, "h w 3"]:
    """HDR or wide-gamut RGB of 16 bits as 8-bit sRGB: diffuse white is white, above it rolled off.

    HLG's OOTF is taken channel by channel, as FFmpeg's zscale does: one look-up a value.
    """
    light = _linear(transfer)[pixels] @ np.array(TO_709.get(primaries, np.eye(3)), np.float32).T
    over = np.maximum(light - KNEE, 0)
    light = np.minimum(light, KNEE) + (1 - KNEE) * -np.expm1(-over / (1 - KNEE))
    roots = np.sqrt(np.clip(light, 0, 1)) * (len(_encoded()) - 1)
    return _encoded()[roots.round().astype(np.int32)]


@functools.cache
def _linear(transfer: int) -> Float[np.ndarray, " 65536"]:
    """Light of each 16-bit value, 1 at diffuse white (BT.2100, tables 4 and 5; BT.1886)."""
    e = np.linspace(0, 1, 65536)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        p = e ** (1 / m2)
        light = 10000 / WHITE * (np.maximum(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1)
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(e <= 0.5, e * e / 3, (np.exp((e - c) / a) + b) / 12)
        light = PEAK / WHITE * scene**1.2
    else:
        light = e**SDR_GAMMA
    return light.astype(np.float32)


@functools.cache
def _encoded() -> UInt8[np.ndarray, " 4096"]:
    """8-bit values by the square root of light."""
    return (255 * np.linspace(0, 1, 4096) ** (2 / SDR_GAMMA)).round().astype(np.uint8)
