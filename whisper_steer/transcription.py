"""Drop-in `transcribe`: openai-whisper's own loop over a model whose windows pass the gate first.

openai-whisper's `transcribe` asks its model to `decode` one window at a time, up to six times each. `SteeredModel`
stands in for the model: it encodes a window once, lets `Steering` decide, and then decodes as stock does, decodes
edited features, or does not decode at all, and takes out the text of segments where nobody speaks. Everything else
(seek, prompts, timestamps, options) is stock's own code.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import whisper
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from whisper_steer import artifact as artifacts
from whisper_steer.audio import as_samples, load_audio
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.fingerprint import encoder_fingerprint
from whisper_steer.segments import take_out_unspoken
from whisper_steer.spectrogram import log_mel_spectrogram
from whisper_steer.steering import Decision, Mode, Steering

stock_loop = FunctionType(
    whisper.transcribe.__code__,
    {**whisper.transcribe.__globals__, "log_mel_spectrogram": log_mel_spectrogram},
    argdefs=whisper.transcribe.__defaults__,
)
"""openai-whisper's `transcribe` with the spectrogram made in blocks: the same numbers in bounded memory."""
stock_loop.__kwdefaults__ = whisper.transcribe.__kwdefaults__


def transcribe(
    model: Whisper,
    audio: str | Path | np.ndarray | Tensor,
    *,
    steering: Steering | str | Path | None = "auto",
    mode: Mode | None = None,
    method: str | None = None,
    max_suppressed_speech: float | None = None,
    **options: Any,
) -> dict[str, Any]:
    """`whisper.transcribe` that writes nothing where nobody speaks.

    ``audio``: a path, or samples at 16 kHz as `load_audio` takes them, in an array or a tensor. ``steering``: "auto"
    finds the artifact by the encoder's fingerprint, None is stock, else an artifact's folder or name, or a
    `Steering`. ``mode``, ``method`` and ``max_suppressed_speech`` are those of `Steering` and cannot go with a ready
    `Steering`. All other options and the result are stock's. Segments carry ``"steering": {"evidence", "action"}``;
    the result has ``"steering"``: which artifact acted, how, and every window it saw with its evidence (a logit) and
    action; windows that were skipped leave no segment. Language detection and prompts see what stock would.

    Raises `AudioError`, `ArtifactError` (no artifact for this model), `FingerprintError`, `UsageError`.
    """
    samples = as_samples(audio) if isinstance(audio, Tensor) else load_audio(audio)
    chosen = prepare(model, steering, mode=mode, method=method, max_suppressed_speech=max_suppressed_speech)
    if chosen is None:
        return dict(stock_loop(model, samples, **options))
    result = dict(stock_loop(SteeredModel(model, chosen), samples, **options))
    return _with_steering(result, chosen)


def prepare(
    model: Whisper,
    steering: Steering | str | Path | None,
    *,
    mode: Mode | None = None,
    method: str | None = None,
    max_suppressed_speech: float | None = None,
) -> Steering | None:
    """The `Steering` that `transcribe` uses for a model, checked against it; None for stock."""
    if isinstance(steering, Steering):
        if (mode, method, max_suppressed_speech) != (None, None, None):
            raise UsageError(
                "give mode, method and max_suppressed_speech to Steering(...) or to transcribe, not to both"
            )
    elif steering is not None and mode != "off":
        fingerprint = encoder_fingerprint(model.encoder)
        path = artifacts.find(fingerprint) if steering == "auto" else artifacts.resolve(steering)
        if path is None:
            raise ArtifactError(
                "no steering ships for this checkpoint; make one with: whisper-steer fit MODEL (or pass steering=None)"
            )
        steering = Steering(path, mode=mode, method=method, max_suppressed_speech=max_suppressed_speech)
        steering.artifact.check(fingerprint)
        return steering
    else:
        return None
    if steering.mode == "off":
        return None
    steering.artifact.check(encoder_fingerprint(model.encoder))
    return steering


class SteeredModel:
    """Stands in for a `Whisper` in openai-whisper's own functions. The model itself is not changed."""

    def __init__(self, model: Whisper, steering: Steering) -> None:
        self.model = model
        self.steering = steering
        self._tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
        self._mel: Tensor | None = None
        self._features: Tensor
        self._decision: Decision

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, mel: Tensor, tokens: Tensor) -> Tensor:
        """Logits for word timestamps: stock's where the window is untouched, else from its edited features."""
        if self._decision.action == "untouched":
            return self.model(mel, tokens)
        return self.model.decoder(tokens, self._features)

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """Decode one window (mels, 3000). The encoder runs once, however many temperatures are tried."""
        if self._mel is not mel:
            batch = mel[None].half() if options.fp16 else mel[None]
            self._features, (self._decision,) = self.steering.encode(self.model.encoder, batch)
            self._mel = mel
        decision = self._decision
        if decision.action == "skipped":
            return _empty(self._features[0], options, decision)
        if decision.action == "steered":
            options = lift_ban_on_silence(options)
        result = whisper.decode(self.model, self._features[0], options)
        if decision.action == "steered" and not result.text:
            return _empty(self._features[0], options, decision)
        return replace(
            result,
            tokens=take_out_unspoken(result.tokens, decision, self._tokenizer.timestamp_begin),
            no_speech_prob=Tagged(result.no_speech_prob, decision),
        )


def lift_ban_on_silence(options: DecodingOptions) -> DecodingOptions:
    """Let end-of-text come first, which stock forbids.

    The length penalty of 0 keeps stock's ranking of candidates from dividing by the length of an empty one.
    """
    penalty = 0.0 if options.length_penalty is None else options.length_penalty
    return replace(options, suppress_blank=False, length_penalty=penalty)


class Tagged(float):
    """A no-speech probability that carries its window's decision through stock's loop into the segments."""

    decision: Decision

    def __new__(cls, value: float, decision: Decision) -> Tagged:
        tagged = super().__new__(cls, value)
        tagged.decision = decision
        return tagged


def _empty(features: Tensor, options: DecodingOptions, decision: Decision) -> DecodingResult:
    """A window without text. Its log-probability of 0 keeps stock from trying it again or dropping its record."""
    return DecodingResult(
        audio_features=features,
        language=options.language or "en",
        avg_logprob=0.0,
        no_speech_prob=Tagged(1.0, decision),
        temperature=options.temperature,
        compression_ratio=1.0,
    )


def _with_steering(result: dict[str, Any], steering: Steering) -> dict[str, Any]:
    """Turn the tags into fields; drop the empty segments, and text where nobody speaks."""
    windows: list[dict[str, Any]] = []
    segments: list[dict[str, Any]] = []
    for segment in result["segments"]:
        tag: Tagged = segment["no_speech_prob"]
        segment["no_speech_prob"] = float(tag)
        decision = tag.decision.fields()
        offset = segment["seek"] / 100
        seconds = {"start": segment["start"], "end": segment["end"]}
        if windows and windows[-1]["seek"] == segment["seek"]:
            windows[-1]["end"] = segment["end"]
        else:
            windows.append({"seek": segment["seek"], **seconds, **decision})
        heard = tag.decision.heard(segment["start"] - offset, segment["end"] - offset)
        if segment["tokens"] or (tag.decision.action == "untouched" and heard):
            segments.append({**segment, "id": len(segments), "steering": decision})
    for window in windows:
        window["start"] = window.pop("seek") / 100
    result["segments"] = segments
    result["steering"] = {**steering.describe(), "windows": windows}
    return result


__all__ = ["SteeredModel", "lift_ban_on_silence", "prepare", "transcribe"]
