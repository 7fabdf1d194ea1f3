"""The page of one scan."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any, Final

from pose import keypoints as kp
from pose.report import texts as words
from pose.report.document import render
from pose.report.lengths import LENGTHS, in_centimetres
from pose.report.plots import HEIGHT, WIDTH, frame_figures, plot_of
from pose.report.texts import N_, Texts
from pose.results import FrameResult, ScanResult

HEAD_HEIGHT: Final = N_("Top of the head above the floor")


@dataclass(frozen=True)
class Headline:
    """A figure of the scan in large type, in centimetres, with its interval as texts."""

    name: str
    value: str
    low: str
    high: str
    note: str


def render_page(result: ScanResult, pictures: dict[int, str], texts: Texts, index: str | None = None) -> str:
    """Return the page of a scan as HTML, complete in itself.

    Args:
        result: of the scan.
        pictures: `data:` URLs by the order of the frame, see `pose.report.pictures`.
        texts: the words of the page.
        index: relative address of the index page, None without one.
    """
    figures = frame_figures(result)
    orders = [frame.order for frame in result.frames]
    return render(
        "page.html.jinja",
        texts,
        scripts=("three.min.js", "page.js"),
        styles=("base.css", "page.css"),
        result=result,
        stamp=stamp_of(result, texts),
        index=index,
        verdict=result.verdict.value if result.verdict else "none",
        headlines=_headlines(result),
        pictures=pictures,
        plots=[plot_of(figure, orders) for figure in figures],
        figures=figures,
        width=WIDTH,
        height=HEIGHT,
        shown=_shown_first(result.frames),
        scene=_scene(result, texts),
        joints=kp.NAMES,
        stages=_stages(result),
        words=words,
        version=version("pose-worker"),
    )


def stamp_of(result: ScanResult, texts: Texts) -> str:
    """Return a digest of what a page is made from: the result, the language, the version of this program."""
    content = f"{version('pose-worker')} {texts.language} {result.model_dump_json()}"
    return hashlib.sha256(content.encode()).hexdigest()


def _headlines(result: ScanResult) -> list[Headline]:
    found = []
    for name, length_of in LENGTHS:
        length = in_centimetres(length_of(result))
        if length is not None:
            value, low, high = (f"{each:.1f}" for each in length)
            known = length_of(result)[1] is not None
            found.append(
                Headline(name, value, low if known else "", high if known else "", N_("95 % interval"))
            )
    heights = [frame.head_height_m for frame in result.frames if frame.head_height_m is not None]
    if heights:
        note = N_("median and range of the frames")
        found.append(Headline(HEAD_HEIGHT, _cm(median(heights)), _cm(min(heights)), _cm(max(heights)), note))
    return found


def _cm(metres: float) -> str:
    return f"{100 * metres:.1f}"


def _shown_first(frames: tuple[FrameResult, ...]) -> int | None:
    """Return the order of the frame whose skeleton is shown first: that with the largest weight."""
    with_3d = [frame for frame in frames if _skeleton(frame) is not None]
    return max(with_3d, key=lambda frame: frame.weight).order if with_3d else None


def _skeleton(frame: FrameResult) -> list[list[float | bool]] | None:
    if len(frame.people) != 1 or frame.people[0].skeleton is None:
        return None
    return [[joint.x, joint.y, joint.z, joint.observed] for joint in frame.people[0].skeleton]


def _scene(result: ScanResult, texts: Texts) -> dict[str, Any]:
    """Return what the viewer in 3D draws."""
    stature = result.stature_estimate_m
    return {
        "limbs": kp.LIMBS,
        "left": [index for index, name in enumerate(kp.NAMES) if name.startswith("left_")],
        "right": [index for index, name in enumerate(kp.NAMES) if name.startswith("right_")],
        "frames": {
            frame.order: {"joints": skeleton, "top": frame.head_height_m}
            for frame in result.frames
            if (skeleton := _skeleton(frame)) is not None
        },
        "first": _shown_first(result.frames),
        "stature": None if stature is None or result.posture.value != "standing" else stature.model_dump(),
        "texts": {
            "showing": texts.of(N_("Frame %s in 3D")),
            "missing": texts.of(N_("This browser cannot show 3D. The table below has the joints.")),
        },
    }


def _stages(result: ScanResult) -> list[tuple[str, float, float]]:
    """Return name, seconds and share of the longest one, for each step of the analysis."""
    total = max(result.timings_ms.values(), default=0.0) or 1.0
    return [(name, value / 1000, value / total) for name, value in result.timings_ms.items()]
