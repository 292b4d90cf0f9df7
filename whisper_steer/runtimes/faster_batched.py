"""faster-whisper's batches of speech: the spans are joined to windows, as its VAD filter joins what Silero finds."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import faster_whisper
import numpy as np
from faster_whisper.transcribe import restore_speech_timestamps
from faster_whisper.vad import VadOptions
from torch import Tensor
from whisper.audio import CHUNK_LENGTH, SAMPLE_RATE

from whisper_steer.audio.load import as_samples
from whisper_steer.runtimes import results
from whisper_steer.runtimes.faster_results import Found, described, until_clips_end, with_text
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
from whisper_steer.steer.steering import Steering


class BatchedInferencePipeline(faster_whisper.BatchedInferencePipeline):  # type: ignore[misc]
    """`faster_whisper.BatchedInferencePipeline` over a steered `WhisperModel`.

    Its ``vad_filter`` is on by default; here the gate does that work, unless Silero is asked for (``vad_filter=True``):
    then both must hear speech.
    """

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
        without_timestamps: bool = True,
        max_initial_timestamp: float = 1.0,
        word_timestamps: bool = False,
        prepend_punctuations: str = PREPENDED,
        append_punctuations: str = APPENDED,
        multilingual: bool = False,
        vad_filter: bool | None = None,
        vad_parameters: dict[str, Any] | VadOptions | None = None,
        max_new_tokens: int | None = None,
        chunk_length: int | None = None,
        clip_timestamps: list[dict[str, float]] | None = None,
        hallucination_silence_threshold: float | None = None,
        batch_size: int = 8,
        hotwords: str | None = None,
        language_detection_threshold: float | None = 0.5,
        language_detection_segments: int = 1,
    ) -> Found:
        """faster-whisper's `transcribe` with its options; segments and info have "steering" as well.

        ``vad_filter``: None leaves the cutting to the gate, and in stock to Silero.
        Raises `AudioError`, `UsageError`.
        """
        kwargs = passed_on(faster_whisper.BatchedInferencePipeline.transcribe, locals())
        run = copy.copy(self)  # stock keeps the time of the last word on itself
        run.model, guard = self.model.guarded(reads_on=False)

        def stock(samples: Any, **changes: Any) -> Any:
            return super(BatchedInferencePipeline, run).transcribe(samples, **{**kwargs, **changes})

        steering: Steering | None = self.model.steering
        if steering is None:
            filtering = {"vad_filter": vad_filter is not False, "vad_parameters": vad_parameters}
            segments, info = stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering)
            return described(segments, info, guard=guard)
        samples = read(audio)
        hearing = steering.listen(self.model.prefix, samples)
        given = [(clip["start"], clip["end"]) for clip in clip_timestamps or []] or [(0.0, hearing.seconds)]
        longest = float(kwargs.get("chunk_length") or CHUNK_LENGTH)
        kwargs["vad_parameters"] = vad_parameters  # it goes into the info
        if vad_filter:
            asked = silero_options(vad_parameters, max_speech_duration_s=longest, min_silence_duration_ms=160)
            kwargs["vad_parameters"] = asked
            given = results.common(given, silero(samples, asked))
        clips = results.pieces(steering, hearing, given, longest)
        if not clips:
            return nothing(stock, steering, hearing, kwargs, vad_filter=False)
        heard = detect(self.model, samples, hearing.within(given), kwargs)
        if steering.mode == "steer":  # a window is edited or not, so that it must not hold speech and more
            kwargs["suppress_blank"] = False
            windows = [{"start": a, "end": b} for a, b in clips]
            segments, info = stock(samples, clip_timestamps=windows, vad_filter=False, **heard.options)
            segments = with_text(segments)
        else:
            joined, windows, chunks = results.joined(samples, clips, longest)
            segments, info = stock(joined, clip_timestamps=windows, vad_filter=False, **heard.options)
            segments = until_clips_end(segments, [(w["start"], w["end"]) for w in windows])
            segments = restore_speech_timestamps(segments, chunks, SAMPLE_RATE)
        info = replace(heard.write(info, clips), duration=hearing.seconds)
        return described(segments, info, steering, hearing, guard)


__all__ = ["BatchedInferencePipeline"]
