"""``--print_colors``: each word in a colour between red and green, by the probability that the decoder gave it."""

from __future__ import annotations

from typing import Any

import click
from whisper.utils import format_timestamp

RED_TO_GREEN = (196, 202, 208, 214, 220, 226, 190, 154, 118, 82)
"""of the 256 colours of a terminal"""


def line(segment: dict[str, Any]) -> str:
    """A segment as stock prints it, its words coloured."""
    times = f"{format_timestamp(segment['start'])} --> {format_timestamp(segment['end'])}"
    words = (click.style(w["word"], fg=colour(w["probability"])) for w in segment.get("words", []))
    return f"[{times}] {''.join(words)}"


def colour(probability: float) -> int:
    """The cube of the probability spreads those near 1, where most words are."""
    return RED_TO_GREEN[min(int(probability**3 * len(RED_TO_GREEN)), len(RED_TO_GREEN) - 1)]


__all__ = ["colour", "line"]
