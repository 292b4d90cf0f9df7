"""faster-whisper that writes nothing where nobody speaks: ``from whisper_steer.faster import WhisperModel``.

It listens with the first blocks of the model's encoder, read from the same folder and run by PyTorch, and hands the
spans of speech to faster-whisper: one after another as its ``clip_timestamps``, or in batches (`faster_batched`). A
recording in which somebody speaks throughout is transcribed without any change.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import faster_whisper
import numpy as np
from faster_whisper.vad import VadOptions
from torch import Tensor

from whisper_steer.audio.load import as_samples
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.guard.ct2 import Guarding
from whisper_steer.models.ct2_folder import ct2_folder
from whisper_steer.runtimes import results
from whisper_steer.runtimes.ct2 import CT2Editor, Source
from whisper_steer.runtimes.faster_results import Found, described, until_clips_end
from whisper_steer.runtimes.faster_shared import (
    APPENDED,
    PREPENDED,
    SUPPRESSED,
    TEMPERATURES,
    detect,
    nothing,
    passed_on,
    read,
    silero,
    silero_options,
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

    def transcribe(
        self,
        audio: str | Path | BinaryIO | np.ndarray | Tensor,
        language: str | None = None,
        task: str = "transcribe",
        log_progress: bool = False,
        beam_size: int = 5,
        best_of: int = 5,
        patience: float = 1,
        length_penalty: float = 1,
        repetition_penalty: float = 1,
        no_repeat_ngram_size: int = 0,
        temperature: float | list[float] | tuple[float, ...] = TEMPERATURES,
        compression_ratio_threshold: float | None = 2.4,
        log_prob_threshold: float | None = -1.0,
        no_speech_threshold: float | None = 0.6,
        condition_on_previous_text: bool = True,
        prompt_reset_on_temperature: float = 0.5,
        initial_prompt: str | Iterable[int] | None = None,
        prefix: str | None = None,
        suppress_blank: bool = True,
        suppress_tokens: list[int] | None = SUPPRESSED,
        without_timestamps: bool = False,
        max_initial_timestamp: float = 1.0,
        word_timestamps: bool = False,
        prepend_punctuations: str = PREPENDED,
        append_punctuations: str = APPENDED,
        multilingual: bool = False,
        vad_filter: bool = False,
        vad_parameters: dict[str, Any] | VadOptions | None = None,
        max_new_tokens: int | None = None,
        chunk_length: int | None = None,
        clip_timestamps: str | Iterable[float] = "0",
        hallucination_silence_threshold: float | None = None,
        hotwords: str | None = None,
        language_detection_threshold: float | None = 0.5,
        language_detection_segments: int = 1,
    ) -> Found:
        """faster-whisper's `transcribe` with its options; segments and info have "steering" as well.

        Raises `AudioError`, `UsageError`.
        """
        kwargs = passed_on(faster_whisper.WhisperModel.transcribe, locals())
        run, guard = self.guarded(reads_on=True)

        def stock(samples: Any, **changes: Any) -> Any:
            return super(WhisperModel, run).transcribe(samples, **{**kwargs, **changes})

        if self.steering is None:
            filtering = {"vad_filter": vad_filter, "vad_parameters": vad_parameters}
            segments, info = stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering)
            return described(segments, info, guard=guard)
        samples = read(audio)
        hearing = self.steering.listen(self.prefix, samples)
        given = results.clips_of(clip_timestamps, hearing.seconds)
        kwargs["vad_parameters"] = vad_parameters  # it goes into the info
        if vad_filter:
            kwargs["vad_parameters"] = asked = silero_options(vad_parameters)
            given = results.common(given, silero(samples, asked))
        if hearing.whole and not vad_filter:
            segments, info = stock(samples, clip_timestamps=clip_timestamps)
            return described(segments, info, self.steering, hearing, guard)
        clips = results.to_decode(self.steering, hearing, given)
        if not clips:
            return nothing(stock, self.steering, hearing, kwargs)
        heard = detect(self, samples, hearing.within(given), kwargs)
        segments, info = stock(samples, clip_timestamps=results.flat(clips), **heard.options)
        segments = until_clips_end(segments, clips)
        return described(segments, heard.write(info, clips), self.steering, hearing, guard)


__all__ = ["WhisperModel"]
