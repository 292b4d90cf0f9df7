"""faster-whisper and transformers behind openai-whisper's options and result, for the command line.

`load` gives a backend; its ``transcribe`` takes the options of `whisper_steer.transcribe` under the same names and
returns the same dict. What a runtime does not have is refused by name, not ignored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import whisper
from whisper.tokenizer import TO_LANGUAGE_CODE
from whisper.utils import format_timestamp

from whisper_steer.audio import load_audio
from whisper_steer.errors import ModelError, UsageError
from whisper_steer.formats import ct2, hf
from whisper_steer.formats.tokenizer import is_multilingual, language_tokens, make_tokenizer
from whisper_steer.models import NANO, load_model
from whisper_steer.segments import take_out_unspoken

WINDOW_SECONDS = 30.0


class Backend(Protocol):
    """A loaded model in some runtime."""

    is_multilingual: bool

    def transcribe(self, audio: str, *, verbose: bool | None, **options: Any) -> dict[str, Any]:
        """Options and result of `whisper_steer.transcribe`."""


class Faster:
    """faster-whisper. ``model``: its names, a converted folder, or an OpenAI checkpoint, converted in passing."""

    def __init__(
        self,
        model: str,
        *,
        steering: dict[str, Any],
        device: str | None = None,
        model_dir: str | None = None,
        threads: int = 0,
        compute_type: str | None = None,
        local_files_only: bool = False,
        batched: bool = False,
        batch_size: int = 8,
        vad_filter: bool | None = None,
    ) -> None:
        from whisper_steer.faster import BatchedInferencePipeline, WhisperModel

        options = {
            "device": device or "auto",
            "compute_type": compute_type or "default",
            "cpu_threads": threads,
            "download_root": model_dir,
            "local_files_only": local_files_only,
            **steering,
        }
        if model == NANO or Path(model).suffix == ".pt":
            with tempfile.TemporaryDirectory(prefix="whisper-steer-") as scratch:
                folder = Path(scratch) / "model"
                ct2.save_ct2(load_model(model, "cpu"), folder)
                self._model = WhisperModel(folder, **options)
        else:
            self._model = WhisperModel(model, **options)
        self.is_multilingual = bool(self._model.model.is_multilingual)
        self._vad_filter = vad_filter
        self._extra = {"batch_size": batch_size} if batched else {}
        runtime: Any = BatchedInferencePipeline(self._model) if batched else self._model
        self._transcribe = runtime.transcribe

    def transcribe(self, audio: str, *, verbose: bool | None, **options: Any) -> dict[str, Any]:
        """Options and result of `whisper_steer.transcribe`."""
        samples = load_audio(audio)
        translated = {**_for_faster(options), **self._extra}
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
            if segment.steering is not None:
                fields["steering"] = {
                    "evidence": segment.steering.evidence,
                    "action": segment.steering.action,
                }
            segments.append(fields)
            _say(fields, verbose)
        return _result(segments, info.language, info.steering)

    def _chunks(self, samples: np.ndarray, options: dict[str, Any]) -> dict[str, Any]:
        """What a batch is made of: the pieces that Silero finds, the user's clips, or windows of 30 s."""
        times = [float(t) for t in str(options.get("clip_timestamps", "0")).split(",") if t]
        end = len(samples) / whisper.audio.SAMPLE_RATE
        if times in ([], [0.0]):
            if self._vad_filter is not False:
                return {"vad_filter": True, "clip_timestamps": None, "without_timestamps": False}
            times = [0.0, end]
        clips = []
        for start, stop in zip(times[::2], [*times[1::2], end], strict=False):
            while start < stop:
                clips.append({"start": start, "end": min(start + WINDOW_SECONDS, stop)})
                start += WINDOW_SECONDS
        return {"vad_filter": False, "clip_timestamps": clips, "without_timestamps": False}


class Transformers:
    """transformers. ``model``: a folder of it, or whatever `load_model` knows."""

    def __init__(
        self,
        model: str,
        *,
        steering: dict[str, Any],
        device: str | None = None,
        model_dir: str | None = None,
        threads: int = 0,
        compute_type: str | None = None,
        local_files_only: bool = False,
        batched: bool = False,
        batch_size: int = 8,
        vad_filter: bool | None = None,
    ) -> None:
        transformers = hf.import_transformers()
        from whisper_steer.huggingface import attach

        if batched or vad_filter:
            raise UsageError("--batched and --vad_filter go with --backend faster")
        if compute_type not in (None, "float32", "float16", "bfloat16"):
            raise UsageError(
                f"--compute_type {compute_type} goes with --backend faster; transformers has float16"
            )
        if threads:
            torch.set_num_threads(threads)
        if Path(model).is_dir():
            try:
                loaded = transformers.WhisperForConditionalGeneration.from_pretrained(model)
            except (OSError, ValueError) as error:
                raise ModelError(
                    f"{model} is no folder of transformers ({str(error).splitlines()[0]})"
                ) from None
        else:
            loaded = hf.build_hf(load_model(model, "cpu", model_dir))
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = loaded.to(device, getattr(torch, compute_type or "float32")).eval()
        self._tokenizer = make_tokenizer(loaded.config.vocab_size)
        self.is_multilingual = is_multilingual(loaded.config.vocab_size)
        self._handle = None
        if steering.get("steering") is not None and steering.get("mode") != "off":
            self._handle = attach(self._model, **steering)

    def transcribe(self, audio: str, *, verbose: bool | None, **options: Any) -> dict[str, Any]:
        """Options and result of `whisper_steer.transcribe`; segments lack the decoder's probabilities."""
        mel = whisper.log_mel_spectrogram(load_audio(audio), n_mels=self._model.config.num_mel_bins)
        if mel.shape[-1] < whisper.audio.N_FRAMES:
            mel = whisper.pad_or_trim(mel, whisper.audio.N_FRAMES)
        mel = mel[None].to(self._model.device, self._model.dtype)
        language = options.get("language")
        if self._handle is not None:
            self._handle.decisions.clear()
        with torch.no_grad():
            if self.is_multilingual and language is None:
                language = self._language(mel)
            generated = self._model.generate(
                mel,
                attention_mask=torch.ones(mel.shape[0], mel.shape[-1], dtype=torch.long, device=mel.device),
                return_timestamps=True,
                return_segments=True,
                **_for_transformers(options, language if self.is_multilingual else None, self._tokenizer),
            )
        return self._read(generated["segments"][0], language or "en", verbose)

    def _language(self, mel: torch.Tensor) -> str:
        token = int(self._model.detect_language(mel)[0])
        codes = {
            number: name[2:-2] for name, number in language_tokens(self._model.config.vocab_size).items()
        }
        return codes[token]

    def _read(self, found: list[dict[str, Any]], language: str, verbose: bool | None) -> dict[str, Any]:
        eot = int(self._model.config.eos_token_id)
        first_timestamp = self._model.config.vocab_size - 1501
        decisions = list(self._handle.decisions) if self._handle is not None else []
        segments: list[dict[str, Any]] = []
        windows: list[dict[str, Any]] = []
        source = None
        for piece in found:
            tokens = [t for t in piece["tokens"].tolist() if t != eot]
            times = {"start": float(piece["start"]), "end": float(piece["end"])}
            if decisions and piece["result"] is not source:  # pieces of one window share its result
                decision = decisions[len(windows)]
                windows.append({**times, "evidence": decision.evidence, "action": decision.action})
                source = piece["result"]
            if windows:
                tokens = take_out_unspoken(tokens, decisions[len(windows) - 1], eot, first_timestamp)
            text = self._tokenizer.decode([t for t in tokens if t < eot])
            if not text.strip():
                continue
            fields: dict[str, Any] = {"id": len(segments), **times, "text": text, "tokens": tokens}
            if windows:
                windows[-1]["end"] = times["end"]
                fields["steering"] = {name: windows[-1][name] for name in ("evidence", "action")}
            segments.append(fields)
            _say(fields, verbose)
        about = None
        if self._handle is not None:
            about = {**self._handle.steering.describe(), "windows": windows}
        return _result(segments, language, about)


BACKENDS: dict[str, Callable[..., Backend]] = {"faster": Faster, "transformers": Transformers}
"""beside openai-whisper's own, which is `whisper_steer.transcribe`"""

NOT_IN = {
    "faster": ("carry_initial_prompt",),
    "transformers": (
        "carry_initial_prompt",
        "word_timestamps",
        "hallucination_silence_threshold",
        "patience",
        "length_penalty",
    ),
}


def refuse_missing(backend: str, options: dict[str, Any]) -> None:
    """Raise `UsageError` for an option in use that the runtime does not have."""
    used = [name for name in NOT_IN[backend] if options.get(name)]
    if backend == "transformers" and str(options.get("clip_timestamps", "0")) != "0":
        used.append("clip_timestamps")
    if used:
        raise UsageError(f"--{used[0]} is not in {backend}: leave it out, or take --backend openai")


def _for_faster(options: dict[str, Any]) -> dict[str, Any]:
    refuse_missing("faster", options)
    renamed = {"logprob_threshold": "log_prob_threshold"}
    dropped = ("carry_initial_prompt", "fp16")
    out = {renamed.get(name, name): value for name, value in options.items() if name not in dropped}
    for name in ("beam_size", "best_of", "patience", "length_penalty"):
        if name in out and out[name] is None:
            out[name] = 1
    out["language"] = _code(options.get("language"))
    if "suppress_tokens" in out:
        out["suppress_tokens"] = [int(t) for t in str(out["suppress_tokens"]).split(",") if t]
    return out


def _for_transformers(options: dict[str, Any], language: str | None, tokenizer: Any) -> dict[str, Any]:
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
    if language is not None:
        out |= {"language": _code(language), "task": options.get("task", "transcribe")}
    if prompt := options.get("initial_prompt"):
        previous = tokenizer.token_to_id("<|startofprev|>")
        ids = tokenizer.encode(" " + prompt.strip(), add_special_tokens=False).ids
        out["prompt_ids"] = torch.tensor([previous, *ids])
    if (tokens := str(options.get("suppress_tokens", "-1"))) != "-1":
        out["suppress_tokens"] = [int(t) for t in tokens.split(",") if t]
    return out


def _code(language: str | None) -> str | None:
    """The code of a language given by code or English name."""
    return None if language is None else TO_LANGUAGE_CODE.get(language.lower(), language.lower())


def _say(segment: dict[str, Any], verbose: bool | None) -> None:
    if verbose:
        print(
            f"[{format_timestamp(segment['start'])} --> {format_timestamp(segment['end'])}] {segment['text']}"
        )


def _result(segments: list[dict[str, Any]], language: str, steering: dict[str, Any] | None) -> dict[str, Any]:
    text = "".join(segment["text"] for segment in segments)
    result: dict[str, Any] = {"text": text, "segments": segments, "language": language}
    return result if steering is None else {**result, "steering": steering}
