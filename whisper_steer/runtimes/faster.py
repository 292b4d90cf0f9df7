"""faster-whisper that writes nothing where nobody speaks: ``from whisper_steer.runtimes.faster import WhisperModel``.

It listens with the first blocks of the model's encoder, read from the same folder and run by PyTorch, and hands the
spans of speech to faster-whisper: one after another as its ``clip_timestamps``, or in batches, joined to windows as its
VAD filter joins what Silero finds. A recording in which somebody speaks throughout is transcribed without any change.

whisperX takes such a model too: ``class Steered(WhisperModel, whisperx.asr.WhisperModel): pass``, then
``whisperx.load_model(name, device, model=Steered(name, device=device))``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
from faster_whisper.transcribe import Segment as StockSegment
from faster_whisper.transcribe import TranscriptionInfo as StockInfo
from faster_whisper.transcribe import restore_speech_timestamps
from torch import nn
from whisper.audio import CHUNK_LENGTH, SAMPLE_RATE

from whisper_steer.audio.load import as_samples, load_audio
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix, blocks_before
from whisper_steer.formats import ct2
from whisper_steer.formats.ct2_folder import ct2_folder
from whisper_steer.gate.hearing import Hearing
from whisper_steer.models.load import load_model
from whisper_steer.runtimes import results
from whisper_steer.runtimes.ct2 import CT2Editor
from whisper_steer.steer.steering import Mode, Steering, steering_for

Found = tuple[Iterator["Segment"], "TranscriptionInfo"]


@dataclass
class Segment(StockSegment):  # type: ignore[misc]
    """faster-whisper's segment."""

    steering: dict[str, float] | None = None
    """``evidence``: the strongest in its time, a logit"""


@dataclass
class TranscriptionInfo(StockInfo):  # type: ignore[misc]
    """faster-whisper's info."""

    steering: dict[str, Any] | None = None
    """as in the result of `whisper_steer.transcribe`"""


class WhisperModel(faster_whisper.WhisperModel):  # type: ignore[misc]
    """`faster_whisper.WhisperModel` with the same options, and steering.

    steering: "auto" finds the artifact by the fingerprint of the encoder in the folder, None is stock, else an
    artifact's folder or name, or a `Steering`. mode, method, max_suppressed_speech: as for `Steering`. checkpoint: an
    OpenAI ``.pt`` of the same model, needed only where the folder's own encoder cannot be read (stored in int8, or
    given as ``files``). Segments are `Segment`, infos `TranscriptionInfo`. Transcriptions may run side by side.

    Raises `ArtifactError` (none for this model), `AudioError` (arrays), `FingerprintError`, `ModelError`, `UsageError`.
    """

    def __init__(
        self,
        model_size_or_path: str | Path,
        *args: Any,
        steering: Steering | str | Path | None = "auto",
        mode: Mode | None = None,
        method: str | None = None,
        max_suppressed_speech: float | None = None,
        checkpoint: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        folder = (
            nullcontext(str(model_size_or_path))
            if kwargs.get("files")
            else ct2_folder(model_size_or_path, kwargs)
        )
        with folder as path:
            source = _Source(path, checkpoint)
            options = {"mode": mode, "method": method, "max_suppressed_speech": max_suppressed_speech}
            self.steering = steering_for(lambda: source.fingerprint, steering, **options)  # type: ignore[arg-type]
            encoder = None if self.steering is None else source.encoder_for(self.steering)
            super().__init__(path, *args, **kwargs)
        self.editor: CT2Editor | None = None
        if self.steering is not None and encoder is not None:
            self.editor = CT2Editor(self.model, self.steering, encoder)

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
        def stock(samples: Any, **changes: Any) -> Any:
            return super(WhisperModel, self).transcribe(samples, *args, **{**kwargs, **changes})

        if self.steering is None:
            filtering = {"vad_filter": vad_filter, "vad_parameters": vad_parameters}
            return _described(*stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering))
        samples = load_audio(audio)
        hearing = self.steering.listen(self.prefix, samples)
        given = results.clips_of(clip_timestamps, hearing.seconds)
        if vad_filter:
            given = _common(given, _silero(samples, vad_parameters))
        if hearing.whole and not vad_filter:
            return _described(*stock(samples, clip_timestamps=clip_timestamps), self.steering, hearing)
        clips = results.to_decode(self.steering, hearing, given)
        if not clips:
            return _nothing(stock, self.steering, hearing, kwargs)
        language = _detect(self, samples, hearing.within(given), kwargs, has_language=bool(args) or None)
        segments, info = stock(samples, clip_timestamps=results.flat(clips), **language.options)
        return _described(segments, language.write(info, clips), self.steering, hearing)


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
        def stock(samples: Any, **changes: Any) -> Any:
            return super(BatchedInferencePipeline, self).transcribe(samples, *args, **{**kwargs, **changes})

        steering: Steering | None = self.model.steering
        if steering is None:
            filtering = {"vad_filter": vad_filter is not False, "vad_parameters": vad_parameters}
            return _described(*stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering))
        samples = load_audio(audio)
        hearing = steering.listen(self.model.prefix, samples)
        given = [(clip["start"], clip["end"]) for clip in clip_timestamps or []] or [(0.0, hearing.seconds)]
        if vad_filter:
            given = _common(given, _silero(samples, vad_parameters))
        longest = float(kwargs.get("chunk_length") or CHUNK_LENGTH)
        clips = results.to_decode(steering, hearing, given)
        pieces = hearing.chunks(longest, clips) if steering.mode == "skip" else _cut(clips, longest)
        if not pieces:
            return _nothing(stock, steering, hearing, kwargs, vad_filter=False)
        joined, windows, chunks = _joined(samples, pieces, longest)
        if steering.mode == "steer":
            kwargs.setdefault("suppress_blank", False)
        language = _detect(
            self.model, samples, hearing.within(given), kwargs, has_language=bool(args) or None
        )
        segments, info = stock(joined, clip_timestamps=windows, vad_filter=False, **language.options)
        segments = restore_speech_timestamps(segments, chunks, SAMPLE_RATE)
        info = replace(language.write(info, pieces), duration=hearing.seconds)
        return _described(segments, info, steering, hearing)


@dataclass
class _Language:
    """The language found in speech, as options and as fields of an info."""

    options: dict[str, Any]
    fields: dict[str, Any]

    def write(self, info: StockInfo, clips: results.Clips) -> StockInfo:
        return replace(info, duration_after_vad=sum(end - start for start, end in clips), **self.fields)


def _detect(
    model: WhisperModel,
    samples: Any,
    speech: results.Clips,
    options: dict[str, Any],
    has_language: bool | None,
) -> _Language:
    if has_language or options.get("language") is not None or not model.model.is_multilingual or not speech:
        return _Language({}, {})
    found = model.detect_language(np.asarray(results.first_speech(samples, speech)))
    language, probability, all_of_them = found
    return _Language(
        {"language": language}, {"language_probability": probability, "all_language_probs": all_of_them}
    )


def _nothing(
    stock: Any, steering: Steering, hearing: Hearing, options: dict[str, Any], **changes: Any
) -> Found:
    """The result where nobody speaks: stock's info of an empty second, without segments."""
    second = np.zeros(SAMPLE_RATE, np.float32)
    _, info = stock(second, language=options.get("language") or "en", **changes)
    info = replace(info, duration=hearing.seconds, duration_after_vad=0.0)
    return _described(iter(()), info, steering, hearing)


def _described(
    segments: Iterable[StockSegment],
    info: StockInfo,
    steering: Steering | None = None,
    hearing: Hearing | None = None,
) -> Found:
    """Segments and info with the fields of steering."""
    if steering is None or hearing is None:
        return (Segment(**vars(s)) for s in segments), TranscriptionInfo(**vars(info))
    steered = (Segment(**vars(s), steering=results.evidence_of(hearing, s.start, s.end)) for s in segments)
    return steered, TranscriptionInfo(**vars(info), steering=results.about(steering, hearing))


def _silero(samples: np.ndarray, parameters: Any) -> results.Clips:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(**parameters) if isinstance(parameters, dict) else parameters
    found = get_speech_timestamps(samples, options)
    return [(chunk["start"] / SAMPLE_RATE, chunk["end"] / SAMPLE_RATE) for chunk in found]


def _common(first: results.Clips, second: results.Clips) -> results.Clips:
    found = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return [(start, end) for start, end in found if end > start]


def _cut(clips: results.Clips, longest: float) -> results.Clips:
    return [
        (at, min(end, at + longest)) for start, end in clips for at in np.arange(start, end, longest).tolist()
    ]


def _joined(
    samples: np.ndarray, pieces: results.Clips, longest: float
) -> tuple[np.ndarray, list[dict[str, float]], list[dict[str, int]]]:
    """Pieces of speech one behind the other: their samples, the windows of at most ``longest`` seconds that they make
    there, and where in the recording each piece was, in samples."""
    windows: list[dict[str, float]] = []
    chunks = [{"start": round(a * SAMPLE_RATE), "end": round(b * SAMPLE_RATE)} for a, b in pieces]
    at = 0.0
    for chunk in chunks:
        seconds = (chunk["end"] - chunk["start"]) / SAMPLE_RATE
        if windows and at + seconds - windows[-1]["start"] <= longest:
            windows[-1]["end"] = at + seconds
        else:
            windows.append({"start": at, "end": at + seconds})
        at += seconds
    return np.concatenate([samples[c["start"] : c["end"]] for c in chunks]), windows, chunks


@dataclass
class _Source:
    """Where the encoder's weights can be read."""

    folder: str
    checkpoint: str | Path | None

    @cached_property
    def fingerprint(self) -> str:
        return ct2.fingerprint(self.folder) if self.checkpoint is None else encoder_fingerprint(self._whole)

    @cached_property
    def _whole(self) -> nn.Module:
        return (
            load_model(self.checkpoint, "cpu").encoder if self.checkpoint else ct2.load_encoder(self.folder)
        )

    def encoder_for(self, steering: Steering) -> nn.Module:
        """As much of the encoder as steering runs in PyTorch: up to the gate, or all where it edits inside."""
        artifact = steering.artifact
        if self.checkpoint is not None or (steering.mode == "steer" and artifact.hook_point != "ln_post"):
            return self._whole
        if artifact.gate_point == "ln_post":
            return self._whole
        return ct2.load_encoder(self.folder, blocks_before(artifact.gate_point, 10_000))
