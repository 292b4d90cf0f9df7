"""One model for all systems: encodes a window once, decodes what it has not decoded before, notes what it saw.

openai-whisper's own `transcribe` runs for every system, over a `StandIn` that hands each window to the system.
Encoder outputs are kept in memory for the clip at hand; decoder outputs are kept in the store under the hash of the
features, the decoding options, the model and the system's edits of the decoder. So systems that leave a window as
stock has it share stock's decoding, and a new threshold costs no decoding at all. Sampling at temperatures above 0
is seeded by that same key: a result never depends on what ran before it.

Processor time is what a system would have taken by itself: what comes from memory or from the store counts with the
seconds that it took when it was computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import Any, Protocol

import torch
import whisper
from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Audio
from whisper_steer.encoders.prefix import run_from
from whisper_steer.errors import ArtifactError
from whisper_steer.runtimes.results import end_of_clip, until
from whisper_steer.steer.artifact import Artifact

from .encodings import Encodings
from .metrics import Output, Window
from .store import Store, digest, model_fingerprint

STOCK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


class Decodes(Protocol):
    """What the session needs of a system."""

    @property
    def options(self) -> dict[str, Any]:
        """Options of `whisper.transcribe` that differ from the run's."""

    def decode(self, session: Session, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """One window, at one temperature."""


class Session:
    """``options``: what every system passes to `whisper.transcribe` (temperature, without_timestamps, ...)."""

    def __init__(
        self,
        model: Whisper,
        store: Store | None = None,
        options: dict[str, Any] | None = None,
        seed: int = 0,
        artifact: Artifact | None = None,
    ) -> None:
        self.model = model
        self.store = store or Store(None)
        self.options: dict[str, Any] = {
            "temperature": STOCK_TEMPERATURES,
            "fp16": model.device.type == "cuda",
            **({} if model.is_multilingual else {"language": "en"}),
            **(options or {}),
        }
        self.seed = seed
        self.artifact = artifact
        """the model's steering artifact, for the systems that use one"""
        self.fingerprint = model_fingerprint(model)
        self.encodings = Encodings(model, half=bool(self.options["fp16"]))
        self._windows: list[Window] = []
        self._evidence: list[float] = []
        self._last = ""
        self._saved = 0.0
        self.decoded = 0
        """windows decoded by the model rather than read from the store"""

    def transcribe(self, system: Decodes, audio: Audio, **options: Any) -> Output:
        """Run openai-whisper's transcribe for a system. ``audio`` (n,) float32 at 16 kHz."""
        self.start()
        merged = {**self.options, **system.options, **options}
        result = whisper.transcribe(StandIn(self, system), audio, **merged)
        times = options.get("clip_timestamps", [])
        clips = list(zip(times[::2], times[1::2], strict=True))
        for segment in result[
            "segments"
        ]:  # as whisper-steer: no time lies behind the clip that it was heard in
            segment |= until(segment, end_of_clip(segment["seek"] / FRAMES_PER_SECOND, clips))
        return self.output(result)

    def start(self) -> None:
        """Forget the windows and evidence of the clip before."""
        self._windows, self._evidence, self._last = [], [], ""

    @property
    def evidence(self) -> float | None:
        """The strongest noted for the clip."""
        return max(self._evidence, default=None)

    def output(self, result: dict[str, Any]) -> Output:
        """openai-whisper's result, with what the session saw of its windows, as an `Output`."""
        segments = [
            {"start": s["start"], "end": s["end"], "text": s["text"], "tokens": list(s["tokens"])}
            | ({"words": [[w["word"], w["start"], w["end"]] for w in s["words"]]} if s.get("words") else {})
            for s in result["segments"]
            if s["text"].strip()
        ]
        return Output(result["text"].strip(), segments, list(self._windows), self.evidence)

    def timed(self, transcribe: Callable[[], Output]) -> Output:
        """The output of a system with the seconds that it took."""
        started, cpu, saved = time.perf_counter(), time.process_time(), self._saved + self.encodings.saved
        output = transcribe()
        output.seconds = time.perf_counter() - started
        output.cpu = time.process_time() - cpu + self._saved + self.encodings.saved - saved
        return output

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """What runs meanwhile is no part of the system's processor time: figures for the report alone."""
        started = time.process_time()
        yield
        self._saved -= time.process_time() - started

    def note(self, evidence: float) -> None:
        """Speech evidence of a window, from a system that decides by a threshold."""
        self._evidence.append(evidence)

    def need_artifact(self) -> Artifact:
        """The steering artifact; `ArtifactError` where there is none."""
        if self.artifact is None:
            raise ArtifactError("no steering artifact for this model; make one with: whisper-steer fit MODEL")
        return self.artifact

    # -- encoder ------------------------------------------------------------------------------------------

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel window (mels, 3000) -> the encoder's own features (1500, state)."""
        return self.encodings.of(mel)["features"]

    def hidden(self, mel: Tensor, point: str) -> Tensor:
        """Activations (1500, state) at a hook point of `whisper_steer.models.hooks`."""
        self.encodings.points.add(point)
        return self.encodings.of(mel)[point]

    @torch.no_grad()
    def resume(self, hidden: Tensor, point: str) -> Tensor:
        """The rest of the encoder: activations (1500, state) at a hook point -> features (1500, state)."""
        return run_from(self.model.encoder, point, hidden[None])[0]

    def language(self, audio: Audio | Tensor) -> str:
        """The language that stock finds in the first 30 s of samples."""
        _, found = self.model.detect_language(self.encode(window_mel(audio, self.model.dims.n_mels)))
        probabilities = found[0] if isinstance(found, list) else found
        return str(max(probabilities, key=probabilities.__getitem__))

    # -- decoder ------------------------------------------------------------------------------------------

    def decode(
        self,
        features: Tensor,
        options: DecodingOptions,
        edits: str = "",
        editing: AbstractContextManager[None] | None = None,
    ) -> DecodingResult:
        """Decode one window's features. ``editing`` changes the decoder meanwhile and ``edits`` names how."""
        heard, key = digest(features), self._key(features, options, edits)
        stored = self.store.get(key)
        if stored is None:
            started = time.process_time()
            with editing or nullcontext(), torch.random.fork_rng():
                torch.manual_seed(int(digest(key, self.seed)[:8], 16))
                result = whisper.decode(self.model, features, options)
            self.decoded += 1
            stored = _kept(result)
            self.store.put(key, {**stored, "cpu": time.process_time() - started})
        else:
            self._saved += stored.pop("cpu")
        result = DecodingResult(audio_features=features, **stored)
        if heard != self._last:
            self._windows.append(Window(result.no_speech_prob, result.avg_logprob, result.text))
        self._windows[-1].no_speech_prob = result.no_speech_prob
        self._windows[-1].avg_logprob = result.avg_logprob
        self._last = heard
        return result

    def decode_together(self, features: list[Tensor], options: DecodingOptions) -> None:
        """Greedy decoding of several windows in one batch into the store, where ``decode`` then finds them.

        Not where there is a prompt of earlier text: it differs from system to system.
        """
        keys = [self._key(each, options, "") for each in features]
        alone = options.temperature or options.prompt or not self.store.enabled
        if alone or None not in map(self.store.get, keys):
            return
        started = time.process_time()
        results = whisper.decode(self.model, torch.stack(features), options)
        cpu = (time.process_time() - started) / len(features)
        self._saved -= cpu * len(features)
        self.decoded += len(results)
        for key, result in zip(keys, results, strict=True):
            self.store.put(key, {**_kept(result), "cpu": cpu})

    def _key(self, features: Tensor, options: DecodingOptions, edits: str) -> str:
        return digest("decoding", self.fingerprint, digest(features), asdict(options), edits)

    @staticmethod
    def silent(features: Tensor, options: DecodingOptions) -> DecodingResult:
        """The result of a window that is not decoded: stock's own rule then drops it."""
        return DecodingResult(
            audio_features=features,
            language=options.language or "en",
            avg_logprob=-100.0,
            no_speech_prob=1.0,
            temperature=options.temperature,
            compression_ratio=0.0,
        )


class StandIn:
    """What openai-whisper's `transcribe` takes for its model. The model itself is not changed."""

    def __init__(self, session: Session, system: Decodes) -> None:
        self._session, self._system = session, system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session.model, name)

    def __call__(self, mel: Tensor, tokens: Tensor) -> Tensor:
        """Logits for word timestamps, from the window's features as they were already computed."""
        return self._session.model.decoder(tokens, self._session.encode(mel[0])[None])

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        return self._system.decode(self._session, mel, options)


_KEPT = ("language", "tokens", "text", "avg_logprob", "no_speech_prob", "temperature", "compression_ratio")


def _kept(result: DecodingResult) -> dict[str, Any]:
    """A result as JSON values, without its features."""
    return {k: v for k, v in asdict(replace(result, audio_features=None)).items() if k in _KEPT}
