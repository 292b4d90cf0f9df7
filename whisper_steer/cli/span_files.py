"""Spans of speech on disk, for runtimes and editors that cannot be hooked: JSON, RTTM, Audacity labels, SRT, a picture.

Files are named ``<recording>.speech.<suffix>``, so that they lie beside its transcripts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from whisper.utils import format_timestamp

from whisper_steer.files.output import finite, moved_into
from whisper_steer.gate.hearing import Hearing
from whisper_steer.gate.spans import STEP_SECONDS, Span

COLUMNS = 4000
"""points that a curve of the picture has at most"""


@dataclass(frozen=True)
class Heard:
    """What is written about a recording."""

    file: str
    """its name as the user gave it"""
    samples: np.ndarray
    hearing: Hearing
    about: dict[str, Any]
    """"model" and "steering", for JSON"""
    longest: float | None = None
    """seconds; longer spans are cut into pieces of at most that"""

    @cached_property
    def stem(self) -> str:
        """What its files are named by."""
        return "stdin" if self.file == "-" else Path(self.file).stem

    @cached_property
    def pieces(self) -> list[Span]:
        """The spans, cut where they are longer than `longest`."""
        hearing = self.hearing
        if self.longest is None:
            return hearing.spans
        return [Span(a, b, hearing.strongest(a, b)) for a, b in hearing.chunks(self.longest)]


def write_spans(heard: Heard, output_dir: str | Path, output_format: str) -> list[Path]:
    """Write one of `FORMATS`, or "all" of them; returns the paths. Each is the old file or the whole new one."""
    chosen = FORMATS if output_format == "all" else {output_format: FORMATS[output_format]}
    with moved_into(Path(output_dir)) as folder:
        for suffix, write in chosen.values():
            write(heard, folder / f"{heard.stem}.speech.{suffix}")
    return [Path(output_dir) / f"{heard.stem}.speech.{suffix}" for suffix, _ in chosen.values()]


def _json(heard: Heard, path: Path) -> None:
    content: dict[str, Any] = {
        "file": heard.file,
        "seconds": heard.hearing.seconds,
        **heard.about,
        "spans": [asdict(span) for span in heard.hearing.spans],
    }
    if heard.longest is not None:
        content["pieces"] = [asdict(piece) for piece in heard.pieces]
    path.write_text(json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _rttm(heard: Heard, path: Path) -> None:
    """The Rich Transcription Time Marked format of NIST: fields without blanks, one line a stretch."""
    name = "_".join(heard.stem.split()) or "recording"
    lines = [
        f"SPEAKER {name} 1 {p.start:.3f} {p.seconds:.3f} <NA> <NA> speech <NA> <NA>\n" for p in heard.pieces
    ]
    path.write_text("".join(lines), encoding="utf-8")


def _audacity(heard: Heard, path: Path) -> None:
    lines = [f"{p.start:.6f}\t{p.end:.6f}\tspeech {p.evidence:.2f}\n" for p in heard.pieces]
    path.write_text("".join(lines), encoding="utf-8")


def _srt(heard: Heard, path: Path) -> None:
    blocks = []
    for number, piece in enumerate(heard.pieces, start=1):
        start, end = (
            format_timestamp(t, always_include_hours=True, decimal_marker=",")
            for t in (piece.start, piece.end)
        )
        blocks.append(f"{number}\n{start} --> {end}\nspeech {piece.evidence:.2f}\n\n")
    path.write_text("".join(blocks), encoding="utf-8")


def _png(heard: Heard, path: Path) -> None:
    """The waveform above, below it the evidence with the threshold; the spans are shaded in both."""
    from matplotlib.figure import Figure

    hearing = heard.hearing
    figure = Figure(figsize=(14, 5), layout="constrained")
    wave, gate = figure.subplots(2, 1, sharex=True)
    low, high = (_columns(heard.samples, reduce) for reduce in (np.minimum, np.maximum))
    places = np.linspace(0, hearing.seconds, len(low))
    wave.fill_between(places, low, high, color="0.35", linewidth=0)
    wave.set_ylabel("samples")
    # A window that cannot be judged counts as speech: its evidence is infinite.
    curve = np.nan_to_num(_columns(hearing.evidence, np.maximum), posinf=hearing.threshold + 10)
    seconds = np.linspace(0, len(hearing.evidence) * STEP_SECONDS, len(curve))
    gate.plot(seconds, curve, color="tab:purple", linewidth=0.8)
    gate.axhline(hearing.threshold, color="black", linestyle="--", linewidth=0.8)
    gate.set_ylabel("evidence of speech (logit)")
    gate.set_xlabel("seconds")
    for axes in (wave, gate):
        for piece in heard.pieces:
            axes.axvspan(piece.start, piece.end, color="tab:green", alpha=0.2, linewidth=0)
    gate.set_xlim(0, max(hearing.seconds, STEP_SECONDS))
    total = sum(span.seconds for span in hearing.spans)
    wave.set_title(f"{heard.stem}: speech in {total:.1f} of {hearing.seconds:.1f} s", parse_math=False)
    figure.savefig(path, dpi=100)


def _columns(values: np.ndarray, reduce: np.ufunc) -> np.ndarray:
    """At most `COLUMNS` values: of each stretch the smallest or the largest."""
    if len(values) <= COLUMNS:
        return np.asarray(values)
    return np.asarray(
        reduce.reduceat(values, np.linspace(0, len(values), COLUMNS, endpoint=False).astype(int))
    )


FORMATS: dict[str, tuple[str, Callable[[Heard, Path], None]]] = {
    "json": ("json", _json),
    "rttm": ("rttm", _rttm),
    "audacity": ("txt", _audacity),
    "srt": ("srt", _srt),
    "png": ("png", _png),
}
"""name -> suffix of its files, and what writes one"""


__all__ = ["FORMATS", "Heard", "write_spans"]
