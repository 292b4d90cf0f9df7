"""faster-whisper behind openai-whisper's options and result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import ctranslate2
import numpy as np
from whisper.audio import CHUNK_LENGTH, SAMPLE_RATE

from whisper_steer.audio.load import load_audio
from whisper_steer.cli.backends.base import Runtime, language_code, refuse_missing, result_of, say
from whisper_steer.errors import ModelError, UsageError, WhisperSteerError
from whisper_steer.faster import BatchedInferencePipeline, WhisperModel
from whisper_steer.runtimes.results import clips_of, cut, everything


class Faster:
    """faster-whisper. ``model``: its names, a converted folder, or an OpenAI checkpoint, converted in passing."""

    def __init__(self, model: str, steering: dict[str, Any], runtime: Runtime) -> None:
        options = {
            "device": runtime.device or "auto",
            "device_index": runtime.device_index,
            "compute_type": runtime.compute_type or "default",
            "cpu_threads": runtime.threads,
            "download_root": runtime.model_dir,
            "local_files_only": runtime.local_files_only,
            **steering,
        }
        _check(options["device"], options["compute_type"])
        try:
            self.model = WhisperModel(model, **options)
        except WhisperSteerError:
            raise
        except (
            Exception
        ) as error:  # CTranslate2 and tokenizers fail in their own ways on what they cannot read
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"{model} cannot be loaded by faster-whisper ({reason}); convert it again"
            ) from None
        self.is_multilingual = bool(self.model.model.is_multilingual)
        self._vad_filter = runtime.vad_filter
        self._batched = runtime.batched
        self._extra = {**runtime.decoding, "vad_parameters": runtime.vad_parameters or None}
        if runtime.batched:
            self._extra["batch_size"] = runtime.batch_size
        pipeline: Any = BatchedInferencePipeline(self.model) if runtime.batched else self.model
        self._transcribe = pipeline.transcribe

    def transcribe(
        self,
        audio: str | np.ndarray,
        *,
        verbose: bool | None,
        on_segment: Callable[[dict[str, Any]], None] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Options and result of `whisper_steer.transcribe`. ``on_segment``: gets each as soon as it is decoded."""
        samples = load_audio(audio)
        translated = {**_translated(options), **self._extra}
        translated |= (
            self._windows(samples, options) if self._batched else {"vad_filter": bool(self._vad_filter)}
        )
        found, info = self._transcribe(samples, log_progress=verbose is False, **translated)
        segments: list[dict[str, Any]] = []
        for segment in found:
            fields = {**asdict(segment), "id": len(segments)}
            for name in ("words", "steering", "risk"):
                if fields[name] is None:
                    del fields[name]
            segments.append(fields)
            say(fields, verbose)
            if on_segment is not None:
                on_segment(fields)
        return result_of(segments, info.language, info.steering)

    def _windows(self, samples: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        """What a batch is made of: the user's clips or all of it, of which the gate takes what is spoken.

        Without steering, the pieces that Silero finds, else clips of at most 30 s.
        """
        seconds = len(samples) / SAMPLE_RATE
        clips = clips_of(options.get("clip_timestamps"), seconds)
        vad_filter: bool | None = self._vad_filter
        named = not everything(clips, seconds)
        if self.model.steering is None:
            vad_filter = vad_filter is not False and not named
            named, clips = not vad_filter, cut(clips, CHUNK_LENGTH)
        given = [{"start": start, "end": end} for start, end in clips] if named else None
        return {"vad_filter": vad_filter, "clip_timestamps": given, "without_timestamps": False}


def _check(device: str, compute_type: str) -> None:
    """Raise `UsageError` for a device or a number format that CTranslate2 does not have here."""
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    try:
        known = sorted(ctranslate2.get_supported_compute_types(device))
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"--device {device} cannot be used by faster-whisper here ({error}): choose cpu"
        ) from None
    if compute_type not in ("default", "auto", *known):
        raise UsageError(
            f"--compute_type {compute_type} is not in faster-whisper on {device}: it has {', '.join(known)}"
        )


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
