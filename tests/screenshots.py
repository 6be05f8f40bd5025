"""Pictures of a ballot in a real browser, for figures/: python tests/screenshots.py BALLOT NAME."""

import io
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from browser import chromium, wait_for
from PIL import Image

from amie_core.files import figures_dir
from amie_core.show import figures

SCREENS = {"": (900, 760, 1.0, False), "_phone": (360, 740, 1.5, True)}  # px, px, scale, touch
DECODED = "[...document.querySelectorAll('video')].every((video) => video.readyState >= 2)"


def take(ballot: Path, name: str) -> None:
    """The first comparison, answered, at the width of a desk and of a phone."""
    with TemporaryDirectory() as folder, chromium(Path(folder)) as driver:
        for ending, (width, height, scale, touch) in SCREENS.items():
            screen = {"width": width, "height": height, "deviceScaleFactor": scale}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen | {"mobile": touch})
            driver.get(f"{(ballot / 'index.html').resolve().as_uri()}?form=0")
            driver.execute_script("localStorage.clear()")
            driver.refresh()
            for button in ("agree", "begin"):
                driver.find_element("id", button).click()
            wait_for(driver, DECODED, "clips with a picture")
            driver.find_element("id", "realistic-A").click()
            driver.execute_script("window.scrollTo(0, 0)")
            target = figures_dir() / f"study_ballot{ending}_{name}.png"
            seen = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
            target.write_bytes(figures.png(np.asarray(seen), colours=200))


if __name__ == "__main__":
    take(Path(sys.argv[1]), sys.argv[2])
