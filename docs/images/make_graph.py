"""Takes docs/images/graph.png: ``python docs/images/make_graph.py``, with Chromium installed.

The page of examples/image_classification.yaml, a block unfolded and one of its layers selected.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
SPEC = str(ROOT / "examples" / "image_classification.yaml")
PICTURE = Path(__file__).with_name("graph.png")
SIZE = {"width": 1360, "height": 850}


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "net.html"
        command = [sys.executable, "-m", "specc.cli", "graph", SPEC, "-o", str(page_file)]
        subprocess.run(command, check=True)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_context(viewport=SIZE, color_scheme="light").new_page()
        page.goto(page_file.as_uri())
        page.locator('.layer[data-path="residual"] > .fold').click()
        page.keyboard.press("f")
        page.locator('.layer[data-path="residual.conv1"] > .name').click()
        page.mouse.move(0, 0)
        picture = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3).save(PICTURE, optimize=True)


main()
