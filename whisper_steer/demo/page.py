"""demo.html: the demonstration as one page with everything in it, to listen to and to look at.

Nothing is loaded from anywhere, so that it works from a file. Without scripts the picture, the words and the
browser's own player are there; with them the playhead moves and a click seeks.
"""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np

from whisper_steer.demo import text
from whisper_steer.demo.run import RECORDING, STEERED, STOCK, Demonstration
from whisper_steer.demo.words import Column, Written
from whisper_steer.files.template import filled
from whisper_steer.gate.spans import STEP_SECONDS

FOLDER = Path(__file__).parent
PER_SECOND = 34
"""pixels of the long picture in a second of sound"""
PEAKS = 20
"""points of the waveform in a second"""
TICKS = 5
"""seconds between two ticks"""
STEPS = 3
"""of the gate's evidence that make one point of its curve"""
HIGH = 100
"""units of height in every drawing"""


def page(shown: Demonstration) -> str:
    """The whole page."""
    stock, steered = shown.columns[STOCK], shown.columns[STEERED]
    wave = _wave(shown)
    size = f"viewBox='0 0 {shown.seconds:.2f} {HIGH}' preserveAspectRatio='none' aria-hidden='true'"
    spoken = "".join(
        f"<rect class='speech' x='{s.start}' y='0' width='{s.end - s.start:.2f}' height='{HIGH}'/>"
        for s in shown.stretches
        if s.text
    )
    path = f"<path class='wave-path' d='{wave}'/>"
    values = {
        "model": shown.model,
        "stock": STOCK,
        "steered": STEERED,
        "stock_invented": str(stock.invented),
        "steered_invented": str(steered.invented),
        "stock_right": str(stock.right),
        "steered_right": str(steered.right),
        "said": str(steered.said),
        "length": text.clock(shown.seconds),
        "whole_seconds": f"{shown.seconds:.2f}",
        "width": f"{shown.seconds * PER_SECOND:.0f}",
        "overview": f"<svg {size}>{spoken}{path}{_marks(stock)}</svg>",
        "wave": f"<svg {size}>{spoken}{path}</svg>",
        "evidence": f"<svg {size}>{spoken}{_evidence(shown)}</svg>",
        "ticks": "".join(
            f"<i class='tick' style='left:{s * PER_SECOND}px'>{text.clock(s)}</i>"
            for s in range(0, int(shown.seconds), TICKS)
        ),
        "lane_heard": "".join(
            _box(s.start, s.end, html.escape(text.heard(s)), "heard", "" if s.text else " sound")
            for s in shown.stretches
        ),
        "lane_stock": "".join(_segment(s, "stock") for s in stock.segments),
        "lane_steered": "".join(_segment(s, "steered") for s in steered.segments),
        "rows": "\n".join(_row(shown, k) for k in range(len(shown.stretches))),
        "notes": html.escape(notes(shown)),
        "audio": base64.b64encode(RECORDING.read_bytes()).decode(),
        "css": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "js": (FOLDER / "page.js").read_text(encoding="utf-8").replace("{{per_second}}", str(PER_SECOND)),
    }
    return filled(FOLDER / "page.html", values)


def notes(shown: Demonstration) -> str:
    """Where all of this comes from."""
    return (
        f"The voice is synthetic: {shown.card['voice']}. The sounds are computed by whisper_steer.sounds; nothing "
        "was recorded. Both columns are made with the defaults of openai-whisper. Boxes lie at the times that the "
        "transcripts give. A written word counts as invented where it stands for no word that is said within two "
        "seconds of its segment. The gate's evidence is a logit over 0.2 s; its spans reach half a second beyond it."
    )


def _wave(shown: Demonstration) -> str:
    """The outline of the waveform as a path; the loudest place fills the height."""
    step = len(shown.audio) // int(shown.seconds * PEAKS)
    blocks = np.abs(shown.audio[: len(shown.audio) // step * step]).reshape(-1, step).max(axis=1)
    tall = np.sqrt(blocks / blocks.max()) * 0.48 * HIGH  # the root shows what is quiet as well
    seconds = np.arange(len(tall)) * step / 16000
    above = [f"{s:.2f} {HIGH / 2 - t:.1f}" for s, t in zip(seconds, tall, strict=True)]
    below = [f"{s:.2f} {HIGH / 2 + t:.1f}" for s, t in zip(seconds, tall, strict=True)]
    return f"M{'L'.join(above)}L{'L'.join(reversed(below))}Z"


def _evidence(shown: Demonstration) -> str:
    """The curve of the gate's evidence, its threshold, and below them the spans of speech."""
    hearing = shown.hearing
    highest = hearing.evidence[: len(hearing.evidence) // STEPS * STEPS].reshape(-1, STEPS).max(axis=1)
    low, high = min(*highest, hearing.threshold), max(*highest, hearing.threshold)

    def y(value: float) -> str:
        return f"{HIGH * (0.86 - 0.8 * (value - low) / (high - low)):.1f}"

    curve = "L".join(f"{i * STEPS * STEP_SECONDS:.2f} {y(v)}" for i, v in enumerate(highest))
    level = y(hearing.threshold)
    line = f"<line class='threshold' x1='0' x2='{shown.seconds:.2f}' y1='{level}' y2='{level}'/>"
    spans = "".join(
        f"<rect class='span' x='{s.start:.2f}' y='{0.9 * HIGH:g}' width='{s.seconds:.2f}' height='{0.1 * HIGH:g}'/>"
        for s in hearing.spans
    )
    return f"{line}<path class='gate-path' d='M{curve}'/>{spans}"


def _marks(column: Column) -> str:
    """Where words were invented, at the foot of the overview."""
    return "".join(
        f"<rect class='invented' x='{s.start:.2f}' y='{0.86 * HIGH:g}' "
        f"width='{s.end - s.start:.2f}' height='{0.14 * HIGH:g}'/>"
        for s in column.segments
        if any(s.invented)
    )


def _segment(segment: Written, lane: str) -> str:
    bad = " bad" if all(segment.invented) else ""
    return _box(segment.start, segment.end, _marked(segment), lane, bad)


def _box(start: float, end: float, content: str, lane: str, more: str) -> str:
    """One box of a lane, as wide as it lasts."""
    left, width = start * PER_SECOND, max(end - start, 0.3) * PER_SECOND - 2
    return (
        f"<div class='box{more}' data-lane='{lane}' data-start='{start:.2f}' data-end='{end:.2f}' "
        f"style='left:{left:.0f}px;width:{width:.0f}px'><span>{content}</span></div>"
    )


def _marked(segment: Written) -> str:
    """The words, invented ones marked where others are not."""
    whole = all(segment.invented)
    return " ".join(
        f"<mark>{html.escape(word)}</mark>" if invented and not whole else html.escape(word)
        for word, invented in zip(segment.words, segment.invented, strict=True)
    )


def _row(shown: Demonstration, k: int) -> str:
    """One stretch of the table."""
    stretch = shown.stretches[k]
    cells = []
    for name, column in shown.columns.items():
        wrote, invented = text.wrote(column, k)
        kind = "bad" if invented else "" if wrote else "dim"
        cells.append(f"<td data-of='{name}' class='{kind}'>{html.escape(wrote) or 'nothing'}</td>")
    start = text.clock(stretch.start)
    return (
        f"<tr data-start='{stretch.start}' data-end='{stretch.end}'><td><a href='#audio'>{start}</a></td>"
        f"<td data-of='heard'{'' if stretch.text else ' class=dim'}>{html.escape(text.heard(stretch))}</td>"
        f"{''.join(cells)}</tr>"
    )
