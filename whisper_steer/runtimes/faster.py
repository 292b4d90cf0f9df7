"""faster-whisper that writes nothing where nobody speaks: ``from whisper_steer.runtimes.faster import WhisperModel``.

It listens with the first blocks of the model's encoder, read from the same folder and run by PyTorch, and hands the
spans of speech to faster-whisper: one after another as its ``clip_timestamps``, or in batches, joined to windows as its
VAD filter joins what Silero finds. A recording in which somebody speaks throughout is transcribed without any change.

whisperX takes such a model too: ``class Steered(WhisperModel, whisperx.asr.WhisperModel): pass``, then
``whisperx.load_model(name, device, model=Steered(name, device=device))``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
from faster_whisper.transcribe import TranscriptionInfo as StockInfo
from faster_whisper.transcribe import restore_speech_timestamps
from whisper.audio import CHUNK_LENGTH, SAMPLE_RATE

from whisper_steer.audio.load import as_samples, load_audio
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.hearing import Hearing
from whisper_steer.guard.ct2 import Guarding
from whisper_steer.models.ct2_folder import ct2_folder
from whisper_steer.runtimes import results
from whisper_steer.runtimes.ct2 import CT2Editor, Source
from whisper_steer.runtimes.faster_results import (
    Found,
    Segment,
    TranscriptionInfo,
    described,
    until_clips_end,
    with_text,
)
from whisper_steer.steer.steering import Mode, Steering, steering_for


class WhisperModel(faster_whisper.WhisperModel):  # type: ignore[misc]
    """`faster_whisper.WhisperModel` with the same options, and steering.

    steering: "auto" finds the artifact by the fingerprint of the encoder in the folder, None is stock, else an
    artifact's folder or name, or a `Steering`. mode, method, max_suppressed_speech: as for `Steering`. checkpoint: an
    OpenAI ``.pt`` of the same model, needed only where the folder's own encoder cannot be read (stored in int8, or
    given as ``files``). repetition_guard: end loops, see `whisper_steer.guard.ct2`; by default where steering is.
    Segments are `Segment`, infos `TranscriptionInfo`. Transcriptions may run side by side.

    Raises `ArtifactError` (none for this model), `AudioError` (arrays), `FingerprintError`, `ModelError`, `UsageError`.
    """

    model: Any

    def __init__(
        self,
        model_size_or_path: str | Path,
        *args: Any,
        steering: Steering | str | Path | None = "auto",
        mode: Mode | None = None,
        method: str | None = None,
        max_suppressed_speech: float | None = None,
        checkpoint: str | Path | None = None,
        repetition_guard: bool | None = None,
        **kwargs: Any,
    ) -> None:
        folder = (
            nullcontext(str(model_size_or_path))
            if kwargs.get("files")
            else ct2_folder(model_size_or_path, kwargs)
        )
        with folder as path:
            source = Source(path, checkpoint)
            options = {"mode": mode, "method": method, "max_suppressed_speech": max_suppressed_speech}
            self.steering = steering_for(lambda: source.fingerprint, steering, **options)  # type: ignore[arg-type]
            encoder = None if self.steering is None else source.encoder_for(self.steering)
            super().__init__(path, *args, **kwargs)
        self.editor: CT2Editor | None = None
        if self.steering is not None and encoder is not None:
            self.editor = CT2Editor(self.model, self.steering, encoder)
        self.repetition_guard: bool = (
            self.steering is not None if repetition_guard is None else repetition_guard
        )

    def guarded(self, reads_on: bool) -> tuple[WhisperModel, Guarding | None]:
        """For one transcription: this, with its guard against loops, and that guard."""
        if not self.repetition_guard:
            return self, None
        run = copy.copy(self)
        no_timestamps, eot = map(self.hf_tokenizer.token_to_id, ("<|notimestamps|>", "<|endoftext|>"))
        run.model = guard = Guarding(self.model, no_timestamps + 1, eot, reads_on)
        return run, guard

    @property
    def prefix(self) -> Prefix:
        """What listens, where there is steering."""
        assert self.editor is not None
        return self.editor.prefix

    def encode(self, features: np.ndarray) -> Any:
        """A window's features; in mode "steer" edited where nobody speaks in it."""
        found = super().encode(features)
        editing = self.editor is not None and self.editor.steering.mode == "steer"
        return self.editor.edited(features, found) if editing and self.editor is not None else found

    @wraps(faster_whisper.WhisperModel.transcribe)
    def transcribe(
        self,
        audio: Any,
        *args: Any,
        clip_timestamps: str | Iterable[float] = "0",
        vad_filter: bool = False,
        vad_parameters: Any = None,
        **kwargs: Any,
    ) -> Found:
        kwargs |= _named(faster_whisper.WhisperModel.transcribe, args)
        run, guard = self.guarded(reads_on=True)

        def stock(samples: Any, **changes: Any) -> Any:
            return super(WhisperModel, run).transcribe(samples, **{**kwargs, **changes})

        if self.steering is None:
            filtering = {"vad_filter": vad_filter, "vad_parameters": vad_parameters}
            segments, info = stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering)
            return described(segments, info, guard=guard)
        samples = _read(audio)
        hearing = self.steering.listen(self.prefix, samples)
        given = results.clips_of(clip_timestamps, hearing.seconds)
        if vad_filter:
            given = results.common(given, _silero(samples, vad_parameters))
        if hearing.whole and not vad_filter:
            segments, info = stock(samples, clip_timestamps=clip_timestamps)
            return described(segments, info, self.steering, hearing, guard)
        clips = results.to_decode(self.steering, hearing, given)
        if not clips:
            return _nothing(stock, self.steering, hearing, kwargs)
        language = _detect(self, samples, hearing.within(given), kwargs)
        segments, info = stock(samples, clip_timestamps=results.flat(clips), **language.options)
        segments = until_clips_end(segments, clips)
        return described(segments, language.write(info, clips), self.steering, hearing, guard)


class BatchedInferencePipeline(faster_whisper.BatchedInferencePipeline):  # type: ignore[misc]
    """`faster_whisper.BatchedInferencePipeline` over a steered `WhisperModel`.

    Its ``vad_filter`` is on by default; here the gate does that work, unless Silero is asked for (``vad_filter=True``):
    then both must hear speech.
    """

    @wraps(faster_whisper.BatchedInferencePipeline.transcribe)
    def transcribe(
        self,
        audio: Any,
        *args: Any,
        clip_timestamps: list[dict[str, float]] | None = None,
        vad_filter: bool | None = None,
        vad_parameters: Any = None,
        **kwargs: Any,
    ) -> Found:
        kwargs |= _named(faster_whisper.BatchedInferencePipeline.transcribe, args)
        run = copy.copy(self)  # stock keeps the time of the last word on itself
        run.model, guard = self.model.guarded(reads_on=False)

        def stock(samples: Any, **changes: Any) -> Any:
            return super(BatchedInferencePipeline, run).transcribe(samples, **{**kwargs, **changes})

        steering: Steering | None = self.model.steering
        if steering is None:
            filtering = {"vad_filter": vad_filter is not False, "vad_parameters": vad_parameters}
            segments, info = stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering)
            return described(segments, info, guard=guard)
        samples = _read(audio)
        hearing = steering.listen(self.model.prefix, samples)
        given = [(clip["start"], clip["end"]) for clip in clip_timestamps or []] or [(0.0, hearing.seconds)]
        if vad_filter:
            given = results.common(given, _silero(samples, vad_parameters))
        longest = float(kwargs.get("chunk_length") or CHUNK_LENGTH)
        clips = results.pieces(steering, hearing, given, longest)
        if not clips:
            return _nothing(stock, steering, hearing, kwargs, vad_filter=False)
        language = _detect(self.model, samples, hearing.within(given), kwargs)
        if steering.mode == "steer":  # a window is edited or not, so that it must not hold speech and more
            kwargs.setdefault("suppress_blank", False)
            windows = [{"start": a, "end": b} for a, b in clips]
            segments, info = stock(samples, clip_timestamps=windows, vad_filter=False, **language.options)
            segments = with_text(segments)
        else:
            joined, windows, chunks = results.joined(samples, clips, longest)
            segments, info = stock(joined, clip_timestamps=windows, vad_filter=False, **language.options)
            segments = until_clips_end(segments, [(w["start"], w["end"]) for w in windows])
            segments = restore_speech_timestamps(segments, chunks, SAMPLE_RATE)
        info = replace(language.write(info, clips), duration=hearing.seconds)
        return described(segments, info, steering, hearing, guard)


@dataclass
class _Language:
    """The language found in speech, as options and as fields of an info."""

    options: dict[str, Any]
    fields: dict[str, Any]

    def write(self, info: StockInfo, clips: results.Clips) -> StockInfo:
        return replace(info, duration_after_vad=sum(end - start for start, end in clips), **self.fields)


def _read(audio: Any) -> np.ndarray:
    """Samples of what stock takes as well: a path, an open file, an array."""
    return load_audio(audio.read() if hasattr(audio, "read") else audio)


def _named(function: Any, args: tuple[Any, ...]) -> dict[str, Any]:
    """Positional arguments behind the audio, by their names."""
    return dict(zip(list(signature(function).parameters)[2:], args, strict=False))


def _detect(model: WhisperModel, samples: Any, speech: results.Clips, options: dict[str, Any]) -> _Language:
    """The language that stock finds in speech; nothing where the user names one or there is only one."""
    if options.get("language") is not None or not model.model.is_multilingual or not speech:
        return _Language({}, {})
    language, probability, every = model.detect_language(np.asarray(results.first_speech(samples, speech)))
    return _Language(
        {"language": language}, {"language_probability": probability, "all_language_probs": every}
    )


def _nothing(
    stock: Any, steering: Steering, hearing: Hearing, options: dict[str, Any], **changes: Any
) -> Found:
    """The result where nobody speaks: stock's info of an empty second, without segments."""
    second = np.zeros(SAMPLE_RATE, np.float32)
    _, info = stock(second, language=options.get("language") or "en", **changes)
    info = replace(info, duration=hearing.seconds, duration_after_vad=0.0)
    return described(iter(()), info, steering, hearing)


def _silero(samples: np.ndarray, parameters: Any) -> results.Clips:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(**parameters) if isinstance(parameters, dict) else parameters
    found = get_speech_timestamps(samples, options)
    return [(chunk["start"] / SAMPLE_RATE, chunk["end"] / SAMPLE_RATE) for chunk in found]


__all__ = ["BatchedInferencePipeline", "Segment", "TranscriptionInfo", "WhisperModel"]
