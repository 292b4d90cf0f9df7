"""faster-whisper's batched pipeline over a steered model: spans of speech joined to windows, as its VAD joins them."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import wraps
from typing import Any

import faster_whisper
import numpy as np
from faster_whisper.transcribe import restore_speech_timestamps
from whisper.audio import CHUNK_LENGTH, SAMPLE_RATE

from whisper_steer.audio.load import as_samples, load_audio
from whisper_steer.runtimes import results
from whisper_steer.runtimes.faster_results import Found, common, described, detected, nothing, silero
from whisper_steer.steer.steering import Steering


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
        run = copy.copy(self)  # stock keeps the last word's time on itself

        def stock(samples: Any, **changes: Any) -> Any:
            return super(BatchedInferencePipeline, run).transcribe(samples, *args, **{**kwargs, **changes})

        steering: Steering | None = self.model.steering
        if steering is None:
            filtering = {"vad_filter": vad_filter is not False, "vad_parameters": vad_parameters}
            return described(*stock(as_samples(audio), clip_timestamps=clip_timestamps, **filtering))
        samples = load_audio(audio)
        hearing = steering.listen(self.model.prefix, samples)
        given = [(clip["start"], clip["end"]) for clip in clip_timestamps or []] or [(0.0, hearing.seconds)]
        if vad_filter:
            given = common(given, silero(samples, vad_parameters))
        longest = float(kwargs.get("chunk_length") or CHUNK_LENGTH)
        clips = results.to_decode(steering, hearing, given)
        pieces = hearing.chunks(longest, clips) if steering.mode == "skip" else _cut(clips, longest)
        if not pieces:
            return nothing(stock, steering, hearing, kwargs, vad_filter=False)
        joined, windows, chunks = _joined(samples, pieces, longest)
        if steering.mode == "steer":
            kwargs.setdefault("suppress_blank", False)
        language = detected(
            self.model, samples, hearing.within(given), kwargs, has_language=bool(args) or None
        )
        segments, info = stock(joined, clip_timestamps=windows, vad_filter=False, **language.options)
        segments = restore_speech_timestamps(segments, chunks, SAMPLE_RATE)
        info = replace(language.write(info, pieces), duration=hearing.seconds)
        return described(segments, info, steering, hearing)


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
