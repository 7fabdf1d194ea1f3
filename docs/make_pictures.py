"""Make the pictures of the documents from rendered people: `make pictures`.

`standing.jpg` and `lying.jpg` show from left to right, all upright: the original picture, the published one,
and the skeleton drawn on it. `page.jpg` is the page of a scan, as Debian's Chromium shows it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import ViewportSize, sync_playwright

import pose
from pose.analysis.export import save
from pose.geometry.orientation import turn_picture, turns_for_step
from pose.report.report import Reports
from pose.report.stored import find_scans
from pose.report.texts import load_texts
from pose.scan.pictures import decode_picture
from pose.synthetic.scan_writer import write_scan

# Scans of one child entirely in view; those of `make demo`.
SEEDS = {"standing": 1, "lying": 7}
HEIGHT = 480
GAP = 8
# Wait until the skeleton is drawn.
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
PAGE_SIZE: ViewportSize = {"width": 1240, "height": 1500}


def main() -> None:
    estimator = pose.load_estimator("depth-hrnet", device="cpu")
    for posture, seed in SEEDS.items():
        with tempfile.TemporaryDirectory() as folder:
            scan = pose.read_scan(write_scan(Path(folder) / posture, seed, posture, frames=1))
        artefacts = pose.analyse_scan(scan, estimator).artefacts
        turns = turns_for_step(scan.step)
        original = turn_picture(scan.frames[0].rgb, turns)
        published = turn_picture(decode_picture(artefacts["frames/0/blurred.jpg"]), turns)
        overlay = decode_picture(artefacts["frames/0/overlay.jpg"])
        row = cv2.cvtColor(side_by_side([original, published, overlay]), cv2.COLOR_RGB2BGR)
        out = Path(__file__).with_name(f"{posture}.jpg")
        cv2.imwrite(str(out), row, [cv2.IMWRITE_JPEG_QUALITY, 85])
        print(f"{out}: {out.stat().st_size / 1000:.0f} kB")
    picture_of_page(estimator, Path(__file__).with_name("page.jpg"))


def picture_of_page(estimator: pose.Estimator, out: Path) -> None:
    """Take a picture of the page of a scan with nine frames."""
    with tempfile.TemporaryDirectory() as folder:
        scan = pose.read_scan(write_scan(Path(folder) / "scan", SEEDS["standing"], "standing", frames=9))
        analysis = pose.analyse_scan(scan, estimator, scan_id="example")
        results = Path(folder) / "example"
        save(results, analysis.result, analysis.artefacts)
        (stored,) = find_scans([results])
        page = Path(folder) / "report.html"
        page.write_text(Reports(load_texts()).page(stored) or "")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking"],
            )
            shown = browser.new_page(viewport=PAGE_SIZE)
            shown.goto(page.as_uri())
            shown.evaluate(DRAWN)
            shown.screenshot(path=out, type="jpeg", quality=70)
            browser.close()


def side_by_side(pictures: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the (H, W, 3) pictures in a row, scaled to one height, with white gaps."""
    row: list[NDArray[np.uint8]] = []
    for picture in pictures:
        width = round(picture.shape[1] * HEIGHT / picture.shape[0])
        row += [cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)]
        row += [np.full((HEIGHT, GAP, 3), 255, np.uint8)]
    return np.hstack(row[:-1])


if __name__ == "__main__":
    main()
