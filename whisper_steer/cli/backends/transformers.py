"""transformers behind openai-whisper's options and result."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import whisper
from whisper.audio import CHUNK_LENGTH, TOKENS_PER_SECOND

from whisper_steer.audio.load import load_audio
from whisper_steer.cli.backends.base import Runtime, language_code, refuse_missing, result_of, say
from whisper_steer.errors import ModelError, UsageError
from whisper_steer.formats import hf
from whisper_steer.formats.tokenizer import (
    first_timestamp_of,
    is_multilingual,
    language_tokens,
    make_tokenizer,
)
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.segments import unspoken
from whisper_steer.steer.steering import Decision


class Transformers:
    """transformers. ``model``: a folder of it, or whatever `load_model` knows."""

    def __init__(self, model: str, steering: dict[str, Any], runtime: Runtime) -> None:
        transformers = hf.import_transformers()
        from whisper_steer.runtimes.transformers import attach

        if runtime.batched or runtime.vad_filter:
            raise UsageError("--batched and --vad_filter go with --backend faster")
        if runtime.compute_type not in (None, "float32", "float16", "bfloat16"):
            raise UsageError(
                f"--compute_type {runtime.compute_type} goes with --backend faster; transformers has float16"
            )
        if runtime.threads:
            torch.set_num_threads(runtime.threads)
        if (Path(model) / "config.json").is_file() and not (Path(model) / "model.bin").is_file():
            try:
                loaded = transformers.WhisperForConditionalGeneration.from_pretrained(model)
            except (OSError, ValueError) as error:
                raise ModelError(
                    f"{model} is no folder of transformers ({str(error).splitlines()[0]})"
                ) from None
        else:
            loaded = hf.build_hf(load_model(model, "cpu", runtime.model_dir))
        device = runtime.device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = loaded.to(device, getattr(torch, runtime.compute_type or "float32")).eval()
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
                **_translated(options, language if self.is_multilingual else None, self._tokenizer),
            )
        return self._read(generated["segments"][0], language or "en", verbose)

    def _language(self, mel: torch.Tensor) -> str:
        token = int(self._model.detect_language(mel)[0])
        codes = {
            number: name[2:-2] for name, number in language_tokens(self._model.config.vocab_size).items()
        }
        return codes[token]

    def _read(self, found: list[dict[str, Any]], language: str, verbose: bool | None) -> dict[str, Any]:
        first_timestamp = first_timestamp_of(self._model.config.vocab_size)
        decisions = list(self._handle.decisions) if self._handle is not None else []
        segments: list[dict[str, Any]] = []
        windows: list[dict[str, Any]] = []
        groups = groupby(
            found, key=lambda piece: id(piece["result"])
        )  # pieces of one window share its result
        for number, (_, pieces) in enumerate(groups):
            written = [self._segment(piece) for piece in pieces]
            with_text = [segment for segment in written if segment["text"].strip()]
            fields: dict[str, Any] = {}
            if decisions:
                decision = decisions[number]
                with_text = _spoken(with_text, written[-1]["tokens"], decision, first_timestamp)
                end = (with_text[-1] if with_text else written[0])["end"]
                windows.append({"start": written[0]["start"], "end": end, **decision.fields()})
                fields["steering"] = decision.fields()
            for segment in with_text:
                segments.append({"id": len(segments), **segment, **fields})
                say(segments[-1], verbose)
        about = None
        if self._handle is not None:
            about = {**self._handle.steering.describe(), "windows": windows}
        return result_of(segments, language, about)

    def _segment(self, piece: dict[str, Any]) -> dict[str, Any]:
        eot = int(self._model.config.eos_token_id)
        tokens = [t for t in piece["tokens"].tolist() if t != eot]
        text = self._tokenizer.decode([t for t in tokens if t < eot])
        return {"start": float(piece["start"]), "end": float(piece["end"]), "text": text, "tokens": tokens}


def _spoken(
    segments: list[dict[str, Any]], last_tokens: list[int], decision: Decision, first_timestamp: int
) -> list[dict[str, Any]]:
    """A window's segments without those that are `unspoken`. ``last_tokens`` close the window: two timestamps at their
    end say that the next one starts there."""
    places = [place_in_window(s["tokens"], s["end"] - s["start"], first_timestamp) for s in segments]
    goes_on = len(last_tokens) > 1 and min(last_tokens[-2:]) >= first_timestamp
    until = (last_tokens[-1] - first_timestamp) / TOKENS_PER_SECOND if goes_on else CHUNK_LENGTH
    taken = unspoken(places, decision, until)
    return [segment for segment, gone in zip(segments, taken, strict=True) if not gone]


def place_in_window(tokens: list[int], seconds: float, first_timestamp: int) -> tuple[float, float]:
    """Start and end in its window, in seconds, of a segment that is so long; by the timestamp that closes it."""
    if not tokens or tokens[-1] < first_timestamp:
        start = max(0, tokens[0] - first_timestamp) / TOKENS_PER_SECOND if tokens else 0.0
        return start, start + seconds
    end = (tokens[-1] - first_timestamp) / TOKENS_PER_SECOND
    return end - seconds, end


def _translated(options: dict[str, Any], language: str | None, tokenizer: Any) -> dict[str, Any]:
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
        out |= {"language": language_code(language), "task": options.get("task", "transcribe")}
    if prompt := options.get("initial_prompt"):
        previous = tokenizer.token_to_id("<|startofprev|>")
        ids = tokenizer.encode(" " + prompt.strip(), add_special_tokens=False).ids
        out["prompt_ids"] = torch.tensor([previous, *ids])
    if (tokens := str(options.get("suppress_tokens", "-1"))) != "-1":
        out["suppress_tokens"] = [int(t) for t in tokens.split(",") if t]
    return out
