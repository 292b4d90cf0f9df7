"""transformers behind openai-whisper's options and result."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from whisper.audio import FRAMES_PER_SECOND, HOP_LENGTH, N_FFT, SAMPLE_RATE
from whisper.tokenizer import get_tokenizer

from whisper_steer.audio.load import load_audio
from whisper_steer.audio.spectrogram import log_mel_spectrogram, window_mel
from whisper_steer.cli.backends.base import Runtime, language_code, refuse_missing, result_of, say
from whisper_steer.cli.backends.hf_words import words_of
from whisper_steer.cli.options import APPEND, PREPEND
from whisper_steer.errors import ModelError, UsageError
from whisper_steer.formats import hf
from whisper_steer.formats.tokenizer import is_multilingual, make_tokenizer, number_of_languages
from whisper_steer.guard.hf import with_guard
from whisper_steer.models.load import check_device, load_model
from whisper_steer.risk.probe import with_risk
from whisper_steer.runtimes import results
from whisper_steer.runtimes.hf_decode import Segments, decode, decoding, detected_language
from whisper_steer.runtimes.transformers import hf_fingerprint, prefix_of
from whisper_steer.steer.steering import steering_for


class Transformers:
    """transformers. ``model``: a folder of it, or whatever `load_model` knows."""

    def __init__(self, model: str, steering: dict[str, Any], runtime: Runtime) -> None:
        hf.import_transformers()
        if runtime.batched or runtime.vad_filter:
            raise UsageError("--batched and --vad_filter go with --backend faster")
        if runtime.compute_type not in (None, "float32", "float16", "bfloat16"):
            raise UsageError(
                f"--compute_type {runtime.compute_type} goes with --backend faster; transformers has float16"
            )
        check_device(runtime.device)
        if runtime.threads:
            torch.set_num_threads(runtime.threads)
        if (Path(model) / "config.json").is_file() and not (Path(model) / "model.bin").is_file():
            loaded = hf.read_hf(model)
            if not hasattr(loaded.generation_config, "no_timestamps_token_id"):
                raise ModelError(
                    f"{model} has no generation_config.json of a Whisper: copy it from the original"
                )
        else:
            loaded = hf.build_hf(load_model(model, "cpu", runtime.model_dir))
        device = runtime.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = loaded.to(device, getattr(torch, runtime.compute_type or "float32")).eval()
        self._tokenizer = make_tokenizer(loaded.config.vocab_size)
        self.is_multilingual = is_multilingual(loaded.config.vocab_size)
        encoder = self._model.model.encoder
        named = {"steering": None, **steering}
        guard: bool | None = named.pop("repetition_guard", None)
        self._steering = steering_for(lambda: hf_fingerprint(encoder), **named)
        self._guard = self._steering is not None if guard is None else guard
        self._prefix = None if self._steering is None else prefix_of(encoder, self._steering)

    def transcribe(self, audio: str | np.ndarray, *, verbose: bool | None, **options: Any) -> dict[str, Any]:
        """Options and result of `whisper_steer.transcribe`; segments and words lack the decoder's
        probabilities."""
        translated = _translated(options, self._tokenizer)
        if options.get("word_timestamps"):
            translated["return_token_timestamps"] = self._can_time_words()
        if self._guard:
            translated = with_guard(translated, self._model)
        samples = load_audio(audio)
        seconds = len(samples) / SAMPLE_RATE
        clips = results.clips_of(options.get("clip_timestamps", "0"), seconds)
        speech, hearing = clips, None
        if self._steering is not None and self._prefix is not None:
            hearing = self._steering.listen(self._prefix, samples)
            speech = hearing.within(clips)
            if not hearing.whole:
                clips = results.to_decode(self._steering, hearing, clips)
        language = language_code(options.get("language"))
        with (
            torch.no_grad(),
            nullcontext() if self._steering is None else decoding(self._model, self._steering),
        ):
            if self.is_multilingual and language is None and speech:
                first = window_mel(results.first_speech(samples, speech), self._model.config.num_mel_bins)
                language = detected_language(self._model, first)[2:-2]
            segments = self._read(self._decoded(samples, clips, language, translated), language, options)
        for segment in segments:
            say(segment, verbose)
        if hearing is None or self._steering is None:
            return result_of(segments, language or "en", None)
        risky = with_risk(segments, self._steering.risk, hearing)
        return result_of(
            results.with_evidence(risky, hearing), language or "en", results.about(self._steering, hearing)
        )

    def _decoded(
        self, samples: Any, clips: results.Clips, language: str | None, options: dict[str, Any]
    ) -> Segments:
        n_mels = self._model.config.num_mel_bins
        mel = log_mel_spectrogram(samples, n_mels, padding=N_FFT)[:, : len(samples) // HOP_LENGTH]
        places = [
            (0, round(start * FRAMES_PER_SECOND), round(end * FRAMES_PER_SECOND)) for start, end in clips
        ]
        given = [language if self.is_multilingual else None]
        row = mel.to(self._model.device, self._model.dtype)
        return decode(self._model, [row], places, 1, timed=True, language=given, **options)[0]

    def _can_time_words(self) -> bool:
        """True, or a `UsageError`."""
        if not getattr(self._model.generation_config, "alignment_heads", None):
            raise UsageError(
                "--word_timestamps needs alignment_heads in the folder's generation_config.json: leave it out, or take "
                "--backend openai"
            )
        self._model.set_attn_implementation("eager")  # others do not say where they look
        return True

    def _read(self, found: Segments, language: str | None, options: dict[str, Any]) -> list[dict[str, Any]]:
        """Segments as openai-whisper has them, without those that hold no text."""
        eot = int(self._model.config.eos_token_id)
        n_languages = number_of_languages(self._model.config.vocab_size)
        cutting = get_tokenizer(self.is_multilingual, num_languages=n_languages, language=language)
        marks = options.get("prepend_punctuations", PREPEND), options.get("append_punctuations", APPEND)
        segments: list[dict[str, Any]] = []
        for piece in found:
            whole = piece["tokens"].tolist()
            tokens = [t for t in whole if t != eot]
            text = self._tokenizer.decode([t for t in tokens if t < eot])
            if text.strip():
                times = {"start": round(float(piece["start"]), 2), "end": round(float(piece["end"]), 2)}
                segments.append({"id": len(segments), **times, "text": text, "tokens": tokens})
                if "token_timestamps" in piece:
                    ends = piece["token_timestamps"].tolist()
                    words = segments[-1]["words"] = words_of(whole, ends, cutting, *marks)
                    segments[-1] |= {"start": words[0]["start"], "end": words[-1]["end"]} if words else {}
        return segments


def _translated(options: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    refuse_missing("transformers", options)
    out: dict[str, Any] = {
        "temperature": options.get("temperature", 0.0),
        "compression_ratio_threshold": options.get("compression_ratio_threshold"),
        "logprob_threshold": options.get("logprob_threshold"),
        "condition_on_prev_tokens": options.get("condition_on_previous_text", True),
        "num_beams": options.get("beam_size") or 1,
    }
    if out["logprob_threshold"] is not None:
        out["no_speech_threshold"] = options.get("no_speech_threshold")
    if is_multilingual(tokenizer.get_vocab_size()):
        out["task"] = options.get("task", "transcribe")
    if prompt := options.get("initial_prompt"):
        previous = tokenizer.token_to_id("<|startofprev|>")
        ids = tokenizer.encode(" " + prompt.strip(), add_special_tokens=False).ids
        out["prompt_ids"] = torch.tensor([previous, *ids])
    if (tokens := str(options.get("suppress_tokens", "-1"))) != "-1":
        out["suppress_tokens"] = [int(t) for t in tokens.split(",") if t]
    return out
