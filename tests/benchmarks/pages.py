"""Times of the explorer of the article's decoder in headless Chromium: to the first paint, and of decoding.

    python tests/benchmarks/pages.py

Needs Playwright (pip install -e ".[browser]") and Debian's chromium.  The decoder, 2-1152-1152-576, has its first
weights: their number is what takes time.
"""

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from minivae import models
from minivae.data import data_set
from minivae.figures.explorer import explorer

DECODE = """() => {
  const found = JSON.parse(document.getElementById("data").textContent).decoder, layer = prepared(found);
  const times = [];
  for (let k = 0; k < 250; k++) {
    const code = { shape: [2], data: Float32Array.of(Math.sin(k), Math.cos(2 * k)) }, started = performance.now();
    forward(layer, code);
    times.push(performance.now() - started);
  }
  return times.slice(50).sort((a, b) => a - b);
}"""
PAINT = """() => performance.getEntriesByName("first-contentful-paint").map((entry) => entry.startTime)[0]"""


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "latent.html"
        path.write_text(explorer(models.denoising_vae(), data_set.build("rectangles", images=1), "benchmark"))
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(3):
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_function(f"({PAINT})() !== undefined")
            times, paint = page.evaluate(DECODE), page.evaluate(PAINT)
            print(f"{path.stat().st_size / 1e6:.1f} MB; first paint after {paint:.0f} ms; a decode takes "
                  f"{times[len(times) // 2]:.2f} ms, 99 % of 200 at most {times[int(0.99 * len(times))]:.2f} ms")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
