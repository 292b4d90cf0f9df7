"""Drop-in `transcribe`: listen to the recording, then openai-whisper's own `transcribe` on what was heard.

The spans of speech go in through stock's ``clip_timestamps``; seek, prompts, timestamps, temperatures and options are
stock's own code. A recording in which somebody speaks throughout is transcribed by stock without any change.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch
import whisper
from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND, N_SAMPLES
from whisper.model import Whisper
from whisper.tokenizer import LANGUAGES

from whisper_steer.audio.load import as_samples, load_audio
from whisper_steer.audio.spectrogram import log_mel_spectrogram, window_mel
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import UsageError
from whisper_steer.explain.stretches import Explaining
from whisper_steer.gate.hearing import Hearing
from whisper_steer.risk.probe import with_risk
from whisper_steer.risk.states import Watch
from whisper_steer.runtimes import results
from whisper_steer.runtimes.locks import lock_of
from whisper_steer.runtimes.remember import Keeping, Remembering
from whisper_steer.steer.steering import Mode, Steering, steering_for

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
    explain: bool = False,
    repetition_guard: bool | None = None,
    **options: Any,
) -> dict[str, Any]:
    """`whisper.transcribe` that writes nothing where nobody speaks.

    ``audio``: a path, or samples at 16 kHz as `load_audio` takes them, in an array or a tensor. ``steering``: "auto"
    finds the artifact by the encoder's fingerprint, None is stock, else an artifact's folder or name, or a
    `Steering`. ``mode``, ``method`` and ``max_suppressed_speech`` are those of `Steering` and cannot go with a ready
    `Steering`. All other options and the result are stock's; the spans of speech are intersected with
    ``clip_timestamps``, and the language is detected on speech only. The result has ``"steering"``: which artifact
    acted, how, ``"seconds"`` listened to, and ``"spans"`` of ``start``, ``end`` (seconds) and ``evidence`` (a logit);
    every segment has ``"steering": {"evidence"}``, the strongest in its time, and ``"risk"``, the probability that
    nobody said it (0 to 1, where the artifact can tell: see `whisper_steer.risk.probe`). With ``explain`` it has
    ``"because"`` as well, the named latents that count most in its time, see `whisper_steer.explain.trace.Reason`; the
    artifact must have names. ``repetition_guard``: loops are mended, see `whisper_steer.guard`, by default where
    steering is; a segment of a window in which one was has ``"loop_mended": True`` beside the evidence.

    Safe to call from several threads: stock's decoder keeps its cache in hooks on the model, so that two transcriptions
    by one model take turns in it. Raises `AudioError`, `ArtifactError` (no artifact for this model),
    `FingerprintError`, `UsageError`.
    """
    samples = as_samples(audio) if isinstance(audio, Tensor) else load_audio(audio)
    chosen = prepare(model, steering, mode=mode, method=method, max_suppressed_speech=max_suppressed_speech)
    if chosen is None:
        if explain:
            raise UsageError("explain needs steering that is on: leave steering out, or name an artifact")
        with lock_of(model):
            if not repetition_guard:
                return dict(stock_loop(model, samples, **options))
            guarded = Remembering(model, mend_loops=True)
            return _marked(dict(stock_loop(guarded, samples, **options)), guarded)
    explaining = Explaining(chosen, model.encoder) if explain else None
    prefix = Keeping(model.encoder, chosen.artifact.gate_point, fast=True)
    hearing = chosen.listen(prefix, samples)
    kept = prefix if hearing.whole and len(samples) <= N_SAMPLES else None
    probe = chosen.risk and chosen.risk.reads(model.dims.n_text_layer, model.dims.n_text_state)
    watch = Watch(model, [probe.block]) if probe and probe.block is not None else None
    with lock_of(model):
        mend = not hearing.whole and options.get("initial_prompt") is None
        decoder = Remembering(model, kept, mend, mend_loops=repetition_guard is not False, watch=watch)
        found = decode_heard(decoder, samples, chosen, hearing, options)
        decoder.finish()
    trace = explaining.trace(samples) if explaining and found["segments"] else None
    states = watch.at(probe.position, found["segments"]) if watch and probe else None
    segments = with_risk(found["segments"], chosen.risk, hearing, states)
    found["segments"] = results.with_evidence(segments, hearing, trace)
    return {**_marked(found, decoder), "steering": results.about(chosen, hearing)}


def listen(
    model: Whisper,
    audio: str | Path | np.ndarray | Tensor,
    *,
    steering: Steering | str | Path = "auto",
    max_suppressed_speech: float | None = None,
) -> Hearing:
    """Where somebody speaks: the evidence for every 40 ms and the spans, for runtimes that take no hook.

    Arguments and errors as of `transcribe`; `Hearing.chunks` cuts the spans into pieces that fit a window.
    """
    samples = as_samples(audio) if isinstance(audio, Tensor) else load_audio(audio)
    chosen = prepare(model, steering, max_suppressed_speech=max_suppressed_speech)
    if chosen is None:
        raise UsageError('listening needs steering that is on: pass "auto", or an artifact\'s folder or name')
    return chosen.listen(chosen.prefix(model.encoder), samples)


def prepare(model: Whisper, steering: Steering | str | Path | None, **options: Any) -> Steering | None:
    """`steering_for` a model of openai-whisper."""
    return steering_for(lambda: encoder_fingerprint(model.encoder), steering, **options)


def _marked(found: dict[str, Any], decoder: Remembering) -> dict[str, Any]:
    """A result whose segments say where a loop was mended."""
    for segment in found["segments"]:
        if decoder.loop_mended(segment):
            segment["steering"] = {**segment.get("steering", {}), "loop_mended": True}
    return found


def decode_heard(
    model: Remembering, samples: Any, steering: Steering, hearing: Hearing, options: dict[str, Any]
) -> dict[str, Any]:
    """Stock's result for the speech in a recording."""
    given = results.clips_of(options.get("clip_timestamps", "0"), hearing.seconds)
    if hearing.whole:
        return dict(stock_loop(model, samples, **options))
    clips = results.to_decode(steering, hearing, given)
    if not clips:
        return {"text": "", "segments": [], "language": options.get("language") or "en"}
    speech = hearing.within(given)
    if options.get("language") is None and model.is_multilingual and speech:
        options = {**options, "language": _language(model, results.first_speech(samples, speech), options)}
    editing = steering.editing(model.encoder) if steering.mode == "steer" else nullcontext()
    with editing:
        found = dict(stock_loop(model, samples, **{**options, "clip_timestamps": results.flat(clips)}))
    # An edited window that ends at once and surely is kept by stock as a segment without text.
    written = [s for s in found["segments"] if steering.mode == "skip" or s["text"].strip()]
    found["segments"] = [
        {**results.until(s, results.end_of_clip(s["seek"] / FRAMES_PER_SECOND, clips)), "id": i}
        for i, s in enumerate(written)
    ]
    return found


def _language(model: Remembering, speech: Any, options: dict[str, Any]) -> str:
    """The language that stock finds in speech, said as stock says it."""
    half = model.device.type != "cpu" and options.get("fp16", True)
    mel = window_mel(speech, model.dims.n_mels).to(model.device, torch.float16 if half else torch.float32)
    _, probabilities = model.detect_language(mel)
    language = max(probabilities, key=probabilities.__getitem__)
    if options.get("verbose") is not None:
        print(f"Detected language: {LANGUAGES[language].title()}")
    return str(language)


__all__ = ["decode_heard", "listen", "prepare", "stock_loop", "transcribe"]
