"""Readers fed with damaged files: `python tests/fuzz.py READER SEED COUNT`, a line of JSON each.

A reader may answer or refuse with a UserError of one line; anything else is a finding. It runs in
a process of its own, so that a crash or a hang of a decoder is seen from outside (test_faults).
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from media import noise, write_media  # noqa: E402
from peak_memory import peak_bytes  # noqa: E402

from amie_core.errors import UserError  # noqa: E402

INTERESTING = [
    b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x01",
    b"-1", b"1e999", b"nan", b"\xe9", b"\n", b",", b'"', b"{", b"]",
]  # fmt: skip


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four of: bytes changed, cut, a part zeroed, doubled, left out, a strange number."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        n = len(out)
        if not n:
            break
        # Headers decide most: half of the places lie in the first 512 bytes.
        at = int(rng.integers(min(n, 512) if rng.random() < 0.5 else n))
        size = int(rng.integers(1, max(2, n // 4)))
        match int(rng.integers(6)):
            case 0:
                for k in rng.integers(0, n, int(rng.integers(1, 33))):
                    out[k] = int(rng.integers(256))
            case 1:
                del out[at:]
            case 2:
                out[at : at + size] = bytes(len(out[at : at + size]))
            case 3:
                out[at:at] = out[at : at + size]
            case 4:
                del out[at : at + size]
            case 5:
                word = INTERESTING[int(rng.integers(len(INTERESTING)))]
                out[at : at + len(word)] = word
    return bytes(out)


def media_reader(suffix: str, codec: str, sound: str) -> Callable[[Path], tuple[str, Callable]]:
    def make(folder: Path) -> tuple[str, Callable]:
        from amie_core.data.video import read_video

        rng = np.random.default_rng(0)
        frames = rng.integers(0, 255, (12, 64, 96, 3), dtype=np.uint8)
        rate = 44100 if sound == "mp2" else 16000 if sound != "libopus" else 48000
        write_media(folder / f"a{suffix}", frames, noise(0.5), codec=codec, sound=sound, rate=rate)

        def read(path: Path) -> None:
            for _ in read_video(path).frames:
                pass

        return f"a{suffix}", read

    return make


def sound_reader(suffix: str, sound: str) -> Callable[[Path], tuple[str, Callable]]:
    def make(folder: Path) -> tuple[str, Callable]:
        from amie_core.data.sound import load_audio

        write_media(folder / f"a{suffix}", audio=noise(0.4), sound=sound)
        return f"a{suffix}", load_audio

    return make


def picture_reader(suffix: str) -> Callable[[Path], tuple[str, Callable]]:
    def make(folder: Path) -> tuple[str, Callable]:
        from PIL import Image

        from amie_core.talking.still import read_image

        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"a{suffix}")
        return f"a{suffix}", read_image

    return make


def prepared(folder: Path) -> tuple[str, Callable]:
    from amie_core.data import store

    rng = np.random.default_rng(0)
    jpeg, offsets = store.encode(rng.integers(0, 255, (3, 256, 256, 3), dtype=np.uint8))
    store.write_clip(folder / "a.npz", {
        "name": np.array(["s", "u", "train"]), "jpeg": jpeg, "offsets": offsets,
        "landmarks": np.zeros((3, 68, 2), np.float32), "lip_box": np.arange(4),
        "mfcc": np.zeros((28, 13), np.float32), "silent": np.zeros(3, bool),
        "audio": np.zeros(1920, np.int16), "words": np.array(["bin"]),
        "word_times": np.array([[0.0, 1.0]]),
    })  # fmt: skip
    return "a.npz", lambda path: store.load_clip(path.parent, path.name)


MANIFEST = (
    "speaker,utterance,split,status,reason,frames,seconds,file,width,height,landmarks,fps_in\n"
    + "s1,bbaf2n,train,ok,,75,3.0,clips/s1/bbaf2n.npz,360,288,mesh,25.0\n" * 3
)


SOURCES = "speaker,utterance,path,size,time,digest\ns1,a,/x/a.mpg,12,34,ab\n"


def text_reader(name: str, content: str, read: Callable) -> Callable[[Path], tuple[str, Callable]]:
    def make(folder: Path) -> tuple[str, Callable]:
        (folder / name).write_text(content)
        return name, read

    return make


def manifest(path: Path) -> None:
    from amie_core.data import store

    store.clips(path.parent)


def splits(path: Path) -> None:
    from amie_core.data import corpora

    (path.parent / "s1").mkdir(exist_ok=True)
    (path.parent / "s1" / "a.mpg").touch()
    corpora.corpus("grid", path.parent)


def came_from(path: Path) -> None:
    from amie_core.data import origins

    origins.read(path.parent)


def corpus_json(path: Path) -> None:
    from amie_core.data import store

    store.settings(path.parent)


def aligned(path: Path) -> None:
    from amie_core.data import corpora

    corpora.words(corpora.video_source("s1", "a", "train", path.with_suffix(".mpg")))


def weights(folder: Path) -> tuple[str, Callable]:
    from standins import write_run

    from amie_core.training.checkpoint import load_generator, resolve

    file = resolve(write_run(folder / "run"))
    (folder / "a.safetensors").write_bytes(file.read_bytes())
    return "a.safetensors", load_generator


READERS: dict[str, Callable[[Path], tuple[str, Callable]]] = {
    "mpg": media_reader(".mpg", "mpeg1video", "mp2"),
    "mp4": media_reader(".mp4", "libx264", "aac"),
    "webm": media_reader(".webm", "libvpx", "libopus"),
    "avi": media_reader(".avi", "mpeg4", "pcm_s16le"),
    "wav": sound_reader(".wav", "pcm_s16le"),
    "m4a": sound_reader(".m4a", "aac"),
    "flac": sound_reader(".flac", "flac"),
    "jpg": picture_reader(".jpg"),
    "png": picture_reader(".png"),
    "tif": picture_reader(".tif"),
    "npz": prepared,
    "manifest": text_reader("manifest.csv", MANIFEST, manifest),
    "splits": text_reader("splits.csv", "speaker,utterance,split\ns1,a,train\n", splits),
    "sources": text_reader("sources.csv", SOURCES, came_from),
    "json": text_reader("corpus.json", '{"version": 1, "mfcc_rate": 16000}', corpus_json),
    "align": text_reader("a.align", "0 23750 sil\n23750 29500 bin\n", aligned),
    "safetensors": weights,
}


def findings(reader: str, seed: int, count: int) -> Iterator[dict]:
    """What each damaged file led to: "read", "refused", or the finding."""
    rng = np.random.default_rng([seed, len(reader), sum(reader.encode())])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, read = READERS[reader](folder)
        data = (folder / file).read_bytes()
        for number in range(count):
            (folder / file).write_bytes(mutated(data, rng))
            begin, said = time.perf_counter(), "read"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(folder / file)
            except UserError as error:
                text = str(error)
                said = "refused"
                if file not in text or len(text.splitlines()) != 1:
                    said = f"names no file or has lines: {text!r}"
            except Exception as error:  # what is looked for
                said = f"{type(error).__name__}: {str(error)[:200]}"
                if os.environ.get("FUZZ_TRACE"):
                    raise
            yield {"number": number, "said": said, "seconds": time.perf_counter() - begin}
        yield {"number": count, "said": "end", "seconds": 0.0, "bytes": peak_bytes()}


if __name__ == "__main__":
    out = io.TextIOWrapper(os.fdopen(os.dup(1), "wb"), line_buffering=True)
    with contextlib.redirect_stdout(io.StringIO()):  # readers may speak
        for one in findings(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])):
            print(json.dumps(one), file=out)
