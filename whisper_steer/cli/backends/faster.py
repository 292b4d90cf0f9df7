"""faster-whisper behind openai-whisper's options and result."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from whisper.audio import CHUNK_LENGTH, SAMPLE_RATE

from whisper_steer.audio.load import load_audio
from whisper_steer.cli.backends.base import Runtime, language_code, refuse_missing, result_of, say
from whisper_steer.runtimes.faster import BatchedInferencePipeline, WhisperModel


class Faster:
    """faster-whisper. ``model``: its names, a converted folder, or an OpenAI checkpoint, converted in passing."""

    def __init__(self, model: str, steering: dict[str, Any], runtime: Runtime) -> None:
        options = {
            "device": runtime.device or "auto",
            "compute_type": runtime.compute_type or "default",
            "cpu_threads": runtime.threads,
            "download_root": runtime.model_dir,
            "local_files_only": runtime.local_files_only,
            **steering,
        }
        self._model = WhisperModel(model, **options)
        self.is_multilingual = bool(self._model.model.is_multilingual)
        self._vad_filter = runtime.vad_filter
        self._extra = {"batch_size": runtime.batch_size} if runtime.batched else {}
        pipeline: Any = BatchedInferencePipeline(self._model) if runtime.batched else self._model
        self._transcribe = pipeline.transcribe

    def transcribe(self, audio: str, *, verbose: bool | None, **options: Any) -> dict[str, Any]:
        """Options and result of `whisper_steer.transcribe`."""
        samples = load_audio(audio)
        translated = {**_translated(options), **self._extra}
        if self._extra:
            translated |= self._chunks(samples, options)
        else:
            translated["vad_filter"] = bool(self._vad_filter)
        found, info = self._transcribe(samples, log_progress=verbose is False, **translated)
        segments: list[dict[str, Any]] = []
        for segment in found:
            fields = {**asdict(segment), "id": len(segments)}
            for name in ("words", "steering"):
                if fields[name] is None:
                    del fields[name]
            segments.append(fields)
            say(fields, verbose)
        return result_of(segments, info.language, info.steering)

    def _chunks(self, samples: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        """What a batch is made of: the pieces that Silero finds, the user's clips, or windows of 30 s."""
        times = [float(t) for t in str(options.get("clip_timestamps", "0")).split(",") if t]
        end = len(samples) / SAMPLE_RATE
        if times in ([], [0.0]):
            if self._vad_filter is not False:
                return {"vad_filter": True, "clip_timestamps": None, "without_timestamps": False}
            times = [0.0, end]
        clips = []
        for start, stop in zip(times[::2], [*times[1::2], end], strict=False):
            while start < stop:
                clips.append({"start": start, "end": min(start + CHUNK_LENGTH, stop)})
                start += CHUNK_LENGTH
        return {"vad_filter": False, "clip_timestamps": clips, "without_timestamps": False}


def _translated(options: dict[str, Any]) -> dict[str, Any]:
    refuse_missing("faster", options)
    renamed = {"logprob_threshold": "log_prob_threshold"}
    dropped = ("carry_initial_prompt", "fp16")
    out = {renamed.get(name, name): value for name, value in options.items() if name not in dropped}
    for name in ("beam_size", "best_of", "patience", "length_penalty"):
        if name in out and out[name] is None:
            out[name] = 1
    out["language"] = language_code(options.get("language"))
    if "suppress_tokens" in out:
        out["suppress_tokens"] = [int(t) for t in str(out["suppress_tokens"]).split(",") if t]
    return out
