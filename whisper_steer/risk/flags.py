"""Segments of a high risk marked: in the result, as a comment in WebVTT, in colour on a terminal. None is dropped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from whisper.utils import format_timestamp

from whisper_steer.errors import ArtifactError

CUE = re.compile(r"^(?:(\d+):)?(\d\d):(\d\d\.\d{3}) -->")


def flagged(result: dict[str, Any], threshold: float) -> dict[str, Any]:
    """A result whose segments have ``"flagged"``: whether their risk is ``threshold`` or more.

    Raises `ArtifactError` where they have no risk.
    """
    segments = result["segments"]
    if any("risk" not in segment for segment in segments):
        raise ArtifactError("this artifact cannot tell the risk of a segment: leave --flag_risk out")
    return {**result, "segments": [{**s, "flagged": s["risk"] >= threshold} for s in segments]}


def line(segment: dict[str, Any]) -> str:
    """A segment as stock prints it, with its risk behind where it is flagged."""
    times = f"{format_timestamp(segment['start'])} --> {format_timestamp(segment['end'])}"
    risk = f"  (risk {segment['risk']:.2f})" if segment["flagged"] else ""
    return f"[{times}] {segment['text']}{risk}"


def with_notes(vtt: str, segments: Sequence[dict[str, Any]]) -> str:
    """WebVTT with a comment, ``NOTE risk 0.870``, before the first cue of each segment that has a risk."""
    left = [s for s in segments if "risk" in s and s["text"].strip()]
    out = []
    for each in vtt.split("\n"):
        if found := CUE.match(each):
            hours, minutes, seconds = found.groups()
            start = 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds)
            while left and left[0]["start"] <= start + 0.0015:
                out += [f"NOTE risk {left[0]['risk']:.3f}{', flagged' * bool(left[0].get('flagged'))}", ""]
                left.pop(0)
        out.append(each)
    return "\n".join(out)


__all__ = ["flagged", "line", "with_notes"]
