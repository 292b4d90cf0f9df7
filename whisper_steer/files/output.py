"""Transcripts on disk: openai-whisper's writers into a hidden folder, then each file moved into place whole.

JSON has no word for NaN and infinity, which openai-whisper writes nevertheless; here they become null.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whisper.utils import get_writer

from whisper_steer.files.scratch import scratch_folder
from whisper_steer.risk.flags import with_notes

FORMATS = ("txt", "vtt", "srt", "tsv", "json", "all")


def write_outputs(
    result: dict[str, Any],
    name: str,
    output_dir: str | Path,
    output_format: str,
    pretty_json: bool = False,
    **layout: Any,
) -> list[Path]:
    """Write ``<output_dir>/<name without suffix>.<format>`` for one of `FORMATS`; returns the paths.

    ``result`` as from `transcribe`. ``layout`` is that of the subtitle writers: highlight_words, max_line_count,
    max_line_width, max_words_per_line. ``pretty_json``: in lines, indented. WebVTT has the risk of each segment as a
    comment, where it is known. A file is either the old one or the whole new one, whatever happens. Raises ``OSError``,
    for instance when the disk is full.
    """
    formats = FORMATS[:-1] if output_format == "all" else (output_format,)
    with moved_into(Path(output_dir)) as scratch:
        for each in formats:
            shown = finite(result) if each == "json" else _with_whole_words(result)
            get_writer(each, str(scratch))(shown, name, **layout)
            if each == "json" and pretty_json:
                for path in scratch.glob("*.json"):
                    path.write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            if each == "vtt":
                for path in scratch.glob("*.vtt"):
                    noted = with_notes(path.read_text(encoding="utf-8"), shown["segments"])
                    path.write_text(noted, encoding="utf-8")
        written = sorted(path.name for path in scratch.iterdir())
    return [Path(output_dir) / name for name in written]


def subtitles(result: dict[str, Any], kind: str) -> str:
    """A result as "srt" or "vtt", in memory."""
    text = io.StringIO()
    get_writer(kind, "").write_result(_with_whole_words(result), file=text)
    return text.getvalue()


@contextmanager
def moved_into(folder: Path) -> Iterator[Path]:
    """A hidden folder to write to; where the block ends without an error, each of its files is moved to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(".whisper-steer-", folder) as scratch:
        yield scratch
        for path in sorted(scratch.iterdir()):
            os.replace(path, folder / path.name)


def finite(value: Any) -> Any:
    """The same with None for each number that is NaN or infinite, however deep it lies."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
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
