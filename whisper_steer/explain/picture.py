"""The picture of an explained recording: spectrogram, evidence with the spans, and the names heard over time."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from whisper.audio import FRAMES_PER_SECOND

from whisper_steer.audio.spectrogram import log_mel_spectrogram
from whisper_steer.explain.stretches import Explanation
from whisper_steer.explain.trace import CHUNK
from whisper_steer.gate.spans import STEP_SECONDS

ROWS = 14
"""names that have a row"""
COLUMNS = 3000
"""most columns of the spectrogram"""


def picture(explained: Explanation, samples: np.ndarray) -> bytes:
    """A PNG. ``samples``: (n,) float32 at 16 kHz."""
    from matplotlib.figure import Figure

    hearing = explained.hearing
    names, shares = rows(explained)
    figure = Figure(figsize=(14, 5.5 + 0.22 * len(names)), layout="constrained")
    heights = [3.0, 1.8, 0.4 + 0.28 * max(len(names), 1)]
    sound, gate, latents = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    end = max(hearing.seconds, STEP_SECONDS)
    mel = log_mel_spectrogram(samples).numpy()
    mel = mel[:, :: max(1, mel.shape[1] // COLUMNS)]
    image: dict[str, Any] = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
    if mel.size:
        sound.imshow(mel, extent=(0, len(samples) // 160 / FRAMES_PER_SECOND, 0, 80), cmap="magma", **image)
    sound.set_ylabel("mel band")
    curve = np.nan_to_num(hearing.evidence, posinf=hearing.threshold + 10, neginf=hearing.threshold - 10)
    gate.plot((np.arange(len(curve)) + 0.5) * STEP_SECONDS, curve, color="tab:purple", linewidth=0.9)
    gate.axhline(hearing.threshold, color="black", linestyle="--", linewidth=0.8)
    gate.set_ylabel("evidence\nof speech (logit)")
    for span in hearing.spans:
        gate.axvspan(span.start, span.end, color="tab:green", alpha=0.2, linewidth=0)
        latents.vlines([span.start, span.end], -0.5, len(names) - 0.5, color="tab:green", linewidth=0.8)
    if len(names):
        wide = len(shares) * CHUNK * STEP_SECONDS
        latents.imshow(
            np.ma.masked_equal(shares.T, 0), extent=(0, wide, len(names) - 0.5, -0.5), cmap="Blues", vmin=0, vmax=1,
            **image | {"origin": "upper"},
        )  # fmt: skip
    latents.set_yticks(range(len(names)), names, parse_math=False)
    latents.set_ylim(max(len(names), 1) - 0.5, -0.5)
    latents.set_xlabel("seconds (green: spans of speech)")
    latents.set_xlim(0, end)
    out = io.BytesIO()
    figure.savefig(out, dpi=90, format="png")
    return out.getvalue()


def rows(explained: Explanation) -> tuple[list[str], np.ndarray]:
    """The names that are heard in the stretches, at most `ROWS`; and of each, in each half a second, the share of its
    latents that fire: (chunks, names). A name without latents stands by the next wider one that has some."""
    names = explained.trace.names
    named = np.array([each.name for each in names.named])
    path = {name: wider[i:] for wider in names.classes for i, name in enumerate(wider)}
    likely: dict[str, float] = {}
    for stretch in explained.stretches:
        for each in stretch.heard:
            row = next((name for name in path[each.name] if name in named), None)
            if row is not None:
                likely[row] = max(each.probability, likely.get(row, 0.0))
    shown = sorted(likely, key=lambda name: -likely[name])[:ROWS]
    firing = explained.trace.firing(0.0, explained.hearing.seconds).float().numpy()
    shares = [firing[:, named == name].mean(axis=1) for name in shown]
    return shown, np.stack(shares, axis=1) if shares else np.zeros((len(firing), 0))


__all__ = ["picture", "rows"]
