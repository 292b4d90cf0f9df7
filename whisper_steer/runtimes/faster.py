"""faster-whisper that writes nothing where nobody speaks: ``from whisper_steer.runtimes.faster import WhisperModel``.

It listens with the first blocks of the model's encoder, read from the same folder and run by PyTorch, and hands the
spans of speech to faster-whisper: one after another as its ``clip_timestamps``, or in batches, joined to windows as its
VAD filter joins what Silero finds. A recording in which somebody speaks throughout is transcribed without any change.

whisperX takes such a model too: ``class Steered(WhisperModel, whisperx.asr.WhisperModel): pass``, then
``whisperx.load_model(name, device, model=Steered(name, device=device))``.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
from torch import nn

from whisper_steer.audio.load import as_samples, load_audio
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix, blocks_before
from whisper_steer.formats import ct2
from whisper_steer.formats.ct2_folder import ct2_folder
from whisper_steer.models.load import load_model
from whisper_steer.runtimes import results
from whisper_steer.runtimes.ct2 import CT2Editor
from whisper_steer.runtimes.faster_batched import BatchedInferencePipeline
from whisper_steer.runtimes.faster_results import (
    Found,
    Segment,
    TranscriptionInfo,
    common,
    described,
    detected,
    nothing,
    silero,
)
from whisper_steer.steer.steering import Mode, Steering, steering_for


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
            return described(*stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering))
        samples = load_audio(audio)
        hearing = self.steering.listen(self.prefix, samples)
        given = results.clips_of(clip_timestamps, hearing.seconds)
        if vad_filter:
            given = common(given, silero(samples, vad_parameters))
        if hearing.whole and not vad_filter:
            segments, info = stock(samples, clip_timestamps=clip_timestamps)
            return described(segments, info, self.steering, hearing)
        clips = results.to_decode(self.steering, hearing, given)
        if not clips:
            return nothing(stock, self.steering, hearing, kwargs)
        language = detected(self, samples, hearing.within(given), kwargs, has_language=bool(args) or None)
        segments, info = stock(samples, clip_timestamps=results.flat(clips), **language.options)
        return described(segments, language.write(info, clips), self.steering, hearing)


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


__all__ = ["BatchedInferencePipeline", "Segment", "TranscriptionInfo", "WhisperModel"]
