"""The booth of notebook 00: samples, uploads, errors, and a click in a real JupyterLab."""

import base64
import io
import re
from datetime import UTC, datetime
from pathlib import Path

import av
import pytest
from media import drawn
from PIL import Image

from amie_core.talking.booth import SAMPLES, Booth, samples


@pytest.fixture
def booth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Booth:
    monkeypatch.setenv("AMIE_WORKSPACE", str(tmp_path))
    return Booth()


def _clip(booth: Booth) -> av.container.InputContainer:
    data = re.search(r'src="data:video/mp4;base64,([^"]+)"', booth.clip.value)
    assert data, booth.problem.value
    return av.open(io.BytesIO(base64.b64decode(data[1])))


def _upload(name: str, content: bytes) -> tuple[dict, ...]:
    return ({"name": name, "content": memoryview(content), "type": "", "size": len(content),
             "last_modified": datetime.now(UTC)},)  # fmt: skip


def test_samples_are_drawn_once(booth: Booth, tmp_path: Path) -> None:
    assert set(booth.samples) == set(SAMPLES)
    stamps = [path.stat().st_mtime_ns for pair in booth.samples.values() for path in pair]
    again = [path.stat().st_mtime_ns for pair in samples().values() for path in pair]
    assert stamps == again


def test_a_click_makes_the_clip_of_what_is_chosen(booth: Booth) -> None:
    booth.button.click()
    assert not booth.problem.value and not booth.button.disabled
    with _clip(booth) as clip:
        assert (clip.streams.video[0].width, clip.streams.audio[0].codec_context.name) == (
            256,
            "aac",
        )
        first = clip.streams.video[0].frames
    still = io.BytesIO()
    Image.fromarray(drawn(frames=1)[0][0]).save(still, "PNG")
    booth.face.value = _upload("../me.png", still.getvalue())
    booth.voices.index = 0
    booth.button.click()
    with _clip(booth) as clip:
        assert clip.streams.video[0].frames != first  # the other voice


def test_an_unusable_file_is_said_in_a_line(booth: Booth) -> None:
    booth.face.value = _upload("<b>.png", b"no picture")
    booth.button.click()
    assert "&lt;b&gt;.png is not a readable image" in booth.problem.value
    assert not booth.clip.value and not booth.button.disabled


def test_what_was_taken_is_said_beside_the_clip(booth: Booth) -> None:
    booth.button.click()
    assert "picture: sample one, sound: sample two" in booth.clip.value
    still = io.BytesIO()
    Image.fromarray(drawn(frames=1)[0][0]).save(still, "PNG")
    booth.face.value = _upload("<i>.png", still.getvalue())
    booth.button.click()
    assert "picture: &lt;i&gt;.png, sound: sample two" in booth.clip.value
