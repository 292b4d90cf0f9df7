"""Transcripts on disk: openai-whisper's writers into a hidden folder, then each file moved into place whole.

JSON has no word for NaN and infinity, which openai-whisper writes nevertheless; here they become null.
"""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

from whisper.utils import get_writer

FORMATS = ("txt", "vtt", "srt", "tsv", "json", "all")


def write_outputs(
    result: dict[str, Any], name: str, output_dir: str | Path, output_format: str, **layout: Any
) -> list[Path]:
    """Write ``<output_dir>/<name without suffix>.<format>`` for one of `FORMATS`; returns the paths.

    ``result`` as from `transcribe`. ``layout`` is that of the subtitle writers: highlight_words, max_line_count,
    max_line_width, max_words_per_line. A file is either the old one or the whole new one, whatever happens.
    Raises ``OSError``, for instance when the disk is full.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    formats = FORMATS[:-1] if output_format == "all" else (output_format,)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".whisper-steer-") as scratch:
        for each in formats:
            shown = _finite(result) if each == "json" else _with_whole_words(result)
            get_writer(each, scratch)(shown, name, **layout)
        written = sorted(Path(scratch).iterdir())
        for path in written:
            os.replace(path, folder / path.name)
    return [folder / path.name for path in written]


def _finite(value: Any) -> Any:
    """The same with None for each number that is NaN or infinite, however deep it lies."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _with_whole_words(result: dict[str, Any]) -> dict[str, Any]:
    """Words in all segments or in none: openai-whisper's subtitle writers fail on anything between.

    Without word timestamps its `transcribe` gives ``words=[]`` to segments that it emptied and none to others;
    other runtimes give ``words=None``.
    """
    segments = result["segments"]
    if all(segment.get("words") is not None for segment in segments):
        return result
    bare = [{key: value for key, value in segment.items() if key != "words"} for segment in segments]
    return {**result, "segments": bare}
