"""The picture at the top of the README: what is heard, the gate's evidence, stock's text and ours.

python -m benchmarks.front_picture            # the first 70 s of the demonstration, into docs/pictures/front.svg
"""

from __future__ import annotations

import textwrap
from itertools import groupby
from pathlib import Path

import click
import numpy as np
from matplotlib.figure import Figure

from whisper_steer.audio.load import SAMPLE_RATE
from whisper_steer.demo.run import STEERED, STOCK, Demonstration, choose_model, demonstrate
from whisper_steer.gate.spans import STEP_SECONDS

OUT = Path(__file__).parents[1] / "docs" / "pictures" / "front.svg"
PEAKS = 1500
"""columns of the waveform"""
SPEECH, INVENTED, INK = "#2a7f62", "#c0392b", "#333333"


def draw(shown: Demonstration, seconds: float, out: Path) -> None:
    """The first ``seconds`` of a demonstration as an SVG."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    sound, gate, stock, ours = figure.subplots(4, 1, sharex=True, height_ratios=[1.1, 1.2, 1.3, 1.3])
    audio = shown.audio[: round(seconds * SAMPLE_RATE)]
    usable = len(audio) // PEAKS * PEAKS
    peaks = np.abs(audio[:usable]).reshape(PEAKS, -1).max(axis=1)
    x = (np.arange(PEAKS) + 0.5) * usable / PEAKS / SAMPLE_RATE
    sound.fill_between(x, -peaks, peaks, color=INK, linewidth=0)
    for stretch in shown.stretches:
        if stretch.start < seconds:
            middle = (stretch.start + min(stretch.end, seconds)) / 2
            name = "speech" if stretch.text else textwrap.shorten(stretch.label or "", 22, placeholder="...")
            sound.text(middle, 1.02, name, ha="center", va="bottom", size=8, transform=sound.get_xaxis_transform(),
                       color=SPEECH if stretch.text else INK)  # fmt: skip
    curve = shown.hearing.evidence[: round(seconds / STEP_SECONDS)]
    gate.plot((np.arange(len(curve)) + 0.5) * STEP_SECONDS, curve, color=INK, linewidth=0.8)
    gate.axhline(shown.hearing.threshold, color=INK, linestyle="--", linewidth=0.7)
    for span in shown.hearing.spans:
        gate.axvspan(span.start, min(span.end, seconds), color=SPEECH, alpha=0.2, linewidth=0)
    for axes, column in ((stock, STOCK), (ours, STEERED)):
        segments = [s for s in shown.columns[column].segments if s.start < seconds]
        for _, together in groupby(segments, key=lambda s: s.stretch):
            written = list(together)
            start, end = written[0].start, min(written[-1].end, seconds)
            words = sum(len(s.words) for s in written)
            color = INVENTED if sum(sum(s.invented) for s in written) * 2 > words else SPEECH
            axes.axvspan(start, end, color=color, alpha=0.12, linewidth=0)
            text = textwrap.fill(" ".join(s.text for s in written), max(12, round((end - start) * 2.6)))
            axes.text(start + 0.15, 0.95, text, va="top", size=7, color=color)
    for axes, label in ((sound, "sound"), (gate, "evidence\nof speech"), (stock, STOCK), (ours, STEERED)):
        axes.set_ylabel(label, rotation=0, ha="right", va="center", size=9)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    ours.set_xlim(0, seconds)
    ours.set_xlabel(f"seconds; genuine {shown.model}; red: written where nobody speaks", size=8)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, format="svg", metadata={"Date": None})


@click.command()
@click.option("--seconds", default=70.0, show_default=True, help="How much of the demonstration is shown.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=OUT, help="The SVG.  [default: docs/pictures/front.svg]"
)
def main(seconds: float, out: Path) -> None:
    """Transcribe the demonstration with and without steering, and draw it."""
    draw(demonstrate(*choose_model()), seconds, out)


if __name__ == "__main__":
    main()
