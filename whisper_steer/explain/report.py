"""An explained recording in words and as JSON, beside what was written there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whisper_steer.explain.stretches import SHOWN, Explanation, Heard, Stretch


@dataclass(frozen=True)
class Explained:
    """What is told about a recording."""

    title: str
    model: str
    artifact: str
    summary: str
    explanation: Explanation
    stock: list[str]
    """what stock wrote in each stretch"""
    steered: list[str]


def texts_in(stretches: Sequence[Stretch], segments: Sequence[dict[str, Any]]) -> list[str]:
    """The text of each stretch: a segment's goes to the stretch in which most of it lies."""
    texts: list[list[str]] = [[] for _ in stretches]
    for segment in segments:
        shared = [min(s.end, segment["end"]) - max(s.start, segment["start"]) for s in stretches]
        if shared and segment["text"].strip():
            texts[max(range(len(shared)), key=shared.__getitem__)].append(segment["text"].strip())
    return [" ".join(text) for text in texts]


def told(heard: Sequence[Heard]) -> str:
    """The names with their probability."""
    return ", ".join(f"{each.name} ({each.probability:.2f})" for each in heard) or "nothing known"


def by_name(stretch: Stretch) -> dict[str, float]:
    """Name -> logits that its latents add to the evidence, of those that count most; empty where that is not known."""
    sums: dict[str, float] = {}
    for reason in stretch.because:
        if reason.weight is not None:
            sums[reason.name] = sums.get(reason.name, 0.0) + reason.weight
    return sums


def supporting(stretch: Stretch) -> str:
    """What spoke for speech, in logits."""
    return _weighed({name: weight for name, weight in by_name(stretch).items() if weight > 0})


def against(stretch: Stretch) -> str:
    """What spoke against it."""
    return _weighed({name: weight for name, weight in by_name(stretch).items() if weight < 0})


def _weighed(weights: dict[str, float]) -> str:
    heaviest = sorted(weights.items(), key=lambda item: -abs(item[1]))[:SHOWN]
    return ", ".join(f"{name} {weight:+.2f}" for name, weight in heaviest) or "-"


def lines(shown: Explained) -> list[str]:
    """For a terminal."""
    out = [f"{shown.title}: {shown.summary}"]
    for stretch, stock, steered in zip(shown.explanation.stretches, shown.stock, shown.steered, strict=True):
        out += [
            f"  {stretch.start:6.1f} to {stretch.end:6.1f} s  {'speech' if stretch.speech else 'no speech'}"
            f", evidence {stretch.evidence:.1f}; heard: {told(stretch.heard)}",
        ]
        if by_name(stretch):
            out.append(f"      for speech: {supporting(stretch)}; against: {against(stretch)}")
        out.append(f"      stock wrote: {stock or 'nothing'}; whisper-steer wrote: {steered or 'nothing'}")
    return out


def as_json(shown: Explained) -> dict[str, Any]:
    """For programs."""
    hearing, names = shown.explanation.hearing, shown.explanation.trace.names
    return {
        "file": shown.title,
        "model": shown.model,
        "artifact": shown.artifact,
        "seconds": hearing.seconds,
        "threshold": hearing.threshold,
        "names_at": names.point,
        "stretches": [
            {**stretch.to_dict(), "stock": stock, "written": steered}
            for stretch, stock, steered in zip(
                shown.explanation.stretches, shown.stock, shown.steered, strict=True
            )
        ],
    }


def notes(shown: Explained) -> str:
    """How to read it."""
    trace = shown.explanation.trace
    weighed = (
        "For and against are logits that the latents of a name add to the evidence on average, to first order; "
        "what has no name adds the rest. "
        if trace.added is not None
        else "The named latents lie behind where the gate listens: they say what is heard, not why it decided. "
    )
    return (
        f"{shown.model}, {shown.artifact}: names are of {len(trace.names.named)} latents at {trace.names.point}. "
        "Beside what is heard stands its probability among all that was labelled, each class as frequent as any. "
        f"{weighed}The gate says speech at a logit of "
        f"{shown.explanation.hearing.threshold:.2f} and above; spans reach half a second beyond."
    )


__all__ = ["Explained", "against", "as_json", "by_name", "lines", "notes", "supporting", "texts_in", "told"]
