"""What a worker does: the sources of a part become rows. It holds one loaded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from whisper_steer.archive.sources import Source, shown
from whisper_steer.errors import AudioError, DataError, WhisperSteerError

Row = dict[str, Any]
"""a line of the manifests; its fields are those of `whisper_steer.archive.parts.SCHEMA`"""
Transcribe = Callable[[Any], dict[str, Any]]
"""samples (n,) float32 at 16 kHz -> a result as of `whisper_steer.transcribe`"""
Load = Callable[[], Transcribe]
"""loads a model; can be pickled"""


class Worker:
    """Transcribes sources. What cannot be read becomes a row with ``error``; the rest goes on."""

    def __init__(self, load: Load) -> None:
        """Loads the model. Raises what ``load`` raises."""
        self._transcribe = load()
        self._last: tuple[str, Any] = ("", None)

    def rows(self, sources: Sequence[Source]) -> list[Row]:
        """The rows of sources, in order: one for each recording."""
        return [row for source in sources for row in self._rows(source)]

    def _rows(self, source: Source) -> Iterator[Row]:
        if source.fault is not None:
            yield bad_row(source, source.fault)
        elif source.is_tar:
            yield from self._of_tar(source)
        else:
            yield self._row(source, partial(self._piece, source))

    def _of_tar(self, source: Source) -> Iterator[Row]:
        from whisper_steer.archive.tars import members
        from whisper_steer.audio.load import load_audio

        try:
            for member in members(source.path):
                row = self._row(source, partial(load_audio, member.content))
                yield {**row, "audio_filepath": shown(member.name), "reference": member.reference}
        except DataError as error:
            yield bad_row(source, str(error))

    def _row(self, source: Source, read: Callable[[], Any]) -> Row:
        try:
            samples = read()
            return _row_of(source, len(samples), self._transcribe(samples))
        except Exception as error:
            known = isinstance(error, (WhisperSteerError, OSError))
            why = (str(error).splitlines() or [""])[0]
            return bad_row(source, why if known and why else f"{type(error).__name__}: {why}")

    def _piece(self, source: Source) -> Any:
        """The samples of a source. Those of a file are kept for the next piece of it."""
        from whisper_steer.audio.load import SAMPLE_RATE, load_audio

        if self._last[0] != source.path:
            self._last = ("", None)
            self._last = (source.path, load_audio(source.path))
        samples = self._last[1]
        if not source.offset and source.duration is None:
            self._last = ("", None)
            return samples
        first = round(source.offset * SAMPLE_RATE)
        last = None if source.duration is None else first + round(source.duration * SAMPLE_RATE)
        piece = samples[first:last]
        if not len(piece):
            raise AudioError(
                f"no samples at {source.offset:g} s: the recording has {len(samples) / SAMPLE_RATE:g} s"
            )
        return piece


def _row_of(source: Source, samples: int, result: dict[str, Any]) -> Row:
    from whisper_steer.audio.load import SAMPLE_RATE
    from whisper_steer.files.output import finite

    about = result.get("steering")
    spans = (
        None if about is None else [{k: s[k] for k in ("start", "end", "evidence")} for s in about["spans"]]
    )
    segments = [
        {
            "start": float(each["start"]),
            "end": float(each["end"]),
            "text": each["text"].strip(),
            "evidence": each.get("steering", {}).get("evidence"),
            "risk": each.get("risk"),
        }
        for each in result["segments"]
        if each["text"].strip()
    ]
    risks = [each["risk"] for each in segments if each["risk"] is not None]
    row = {
        **_fields(source),
        "duration": samples / SAMPLE_RATE,
        "text": result["text"].strip(),
        "language": result["language"],
        "spans": spans,
        "segments": segments,
        "speech": None if spans is None else sum(span["end"] - span["start"] for span in spans),
        "evidence": max((span["evidence"] for span in spans), default=None) if spans else None,
        "risk": max(risks, default=None),
    }
    return finite(row)


def bad_row(source: Source, why: str) -> Row:
    """The row of a source, or of a recording in it, of which nothing could be made."""
    return {**_fields(source), "duration": source.duration, "error": shown(" ".join(why.split()))}


def _fields(source: Source) -> Row:
    path = shown(source.path)
    return {
        "audio_filepath": path,
        "offset": source.offset,
        "reference": source.reference,
        "tar": path if source.is_tar else None,
        "key": source.key,
        "mark": source.mark,
    }


__all__ = ["Load", "Row", "Transcribe", "Worker", "bad_row"]
