"""One model for all systems: encodes a window once, decodes what it has not decoded before, notes what it saw.

openai-whisper's own `transcribe` runs for every system, over a `StandIn` that hands each window to the system.
Encoder outputs are kept in memory for the clip at hand; decoder outputs are kept in the store under the hash of the
features, the decoding options, the model and the system's edits of the decoder. So systems that leave a window as
stock has it share stock's decoding, and a new threshold costs no decoding at all. Sampling at temperatures above 0
is seeded by that same key: a result never depends on what ran before it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
import whisper
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult, DecodingTask
from whisper.model import Whisper

from whisper_steer.data.clips import Audio
from whisper_steer.encoders.hooks import hooked
from whisper_steer.errors import ArtifactError
from whisper_steer.fit.scoring import run_from
from whisper_steer.runtimes.openai import lift_ban_on_silence
from whisper_steer.steer.artifact import Artifact

from .metrics import Output, Window
from .store import Store, digest, model_fingerprint

if TYPE_CHECKING:
    from .systems.base import System

STOCK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MEMO_WINDOWS = 24
BATCH = 16


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
        self.batch: list[System] = []
        """systems that differ in the features only; their windows are decoded together"""
        self.points: set[str] = set()
        """hook points whose activations systems ask for"""
        self.memo_windows = MEMO_WINDOWS
        self._encoded: OrderedDict[str, dict[str, Tensor]] = OrderedDict()
        self._edited: OrderedDict[tuple[str, str], Tensor] = OrderedDict()
        self._windows: list[Window] = []
        self._evidence: list[float] = []
        self._last = ""
        self.decoded = 0
        """windows decoded by the model rather than read from the store"""

    def transcribe(self, system: System, audio: Audio, **options: Any) -> Output:
        """Run openai-whisper's transcribe for a system. ``audio`` (n,) float32 at 16 kHz."""
        self.start()
        started = time.perf_counter()
        merged = {**self.options, **system.options, **options}
        result = whisper.transcribe(StandIn(self, system), audio, **merged)
        return self.output(result, started)

    def start(self) -> None:
        """Forget the windows and evidence of the clip before."""
        self._windows, self._evidence, self._last = [], [], ""

    def output(self, result: dict[str, Any], started: float) -> Output:
        """openai-whisper's result, with what the session saw of its windows, as an `Output`."""
        segments = [
            {"start": s["start"], "end": s["end"], "text": s["text"], "tokens": list(s["tokens"])}
            | ({"words": [[w["word"], w["start"], w["end"]] for w in s["words"]]} if s.get("words") else {})
            for s in result["segments"]
            if s["text"].strip()
        ]
        score = max(self._evidence) if self._evidence else None
        seconds = time.perf_counter() - started
        return Output(result["text"].strip(), segments, list(self._windows), score, seconds)

    def edited(self, name: str, mel: Tensor, features: Callable[[], Tensor]) -> Tensor:
        """Features of a window as the system ``name`` edits them, computed once."""
        key = (name, digest(mel))
        if key not in self._edited:
            self._edited[key] = features()
        while len(self._edited) > MEMO_WINDOWS:
            self._edited.popitem(last=False)
        return self._edited[key]

    def forget(self) -> None:
        """Drop the encoder outputs kept in memory."""
        self._encoded.clear()
        self._edited.clear()
        self.memo_windows = MEMO_WINDOWS

    def note(self, evidence: float) -> None:
        """Speech evidence of a window, from a system that decides by a threshold."""
        self._evidence.append(evidence)

    # -- encoder ------------------------------------------------------------------------------------------

    def encode(self, mel: Tensor) -> Tensor:
        """Log-mel window (mels, 3000) -> the encoder's own features (1500, state)."""
        return self._encode(mel)["features"]

    def hidden(self, mel: Tensor, point: str) -> Tensor:
        """Activations (1500, state) at a hook point of `whisper_steer.encoders.hooks`."""
        self.points.add(point)
        return self._encode(mel)[point]

    @torch.no_grad()
    def resume(self, hidden: Tensor, point: str) -> Tensor:
        """The rest of the encoder: activations (1500, state) at a hook point -> features (1500, state)."""
        return run_from(self.model, point, hidden[None])[0]

    def need_artifact(self) -> Artifact:
        """The steering artifact; `ArtifactError` where there is none."""
        if self.artifact is None:
            raise ArtifactError("no steering artifact for this model; make one with: whisper-steer fit MODEL")
        return self.artifact

    @torch.no_grad()
    def _encode(self, mel: Tensor) -> dict[str, Tensor]:
        key = digest(mel)
        known = self._encoded.get(key)
        if known is None or not self.points <= known.keys():
            kept: dict[str, Tensor] = {}
            edits = [(point, _keeper(kept, point)) for point in sorted(self.points)]
            with hooked(self.model.encoder, *edits):
                batch = mel[None].to(self.model.device)
                kept["features"] = self.model.encoder(batch.half() if self.options["fp16"] else batch)[0]
            known = self._encoded[key] = kept
        self._encoded.move_to_end(key)
        while len(self._encoded) > self.memo_windows:
            self._encoded.popitem(last=False)
        return known

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
            with editing or nullcontext(), torch.random.fork_rng():
                torch.manual_seed(int(digest(key, self.seed)[:8], 16))
                result = _DECODE(self.model, features, options)
            self.decoded += 1
            stored = _kept(result)
            self.store.put(key, stored)
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
        if (
            options.temperature
            or options.prompt
            or not self.store.enabled
            or None not in map(self.store.get, keys)
        ):
            return
        results = _DECODE(self.model, torch.stack(features), options)
        self.decoded += len(results)
        for key, result in zip(keys, results, strict=True):
            self.store.put(key, _kept(result))

    def _key(self, features: Tensor, options: DecodingOptions, edits: str) -> str:
        return digest("decode", self.fingerprint, digest(features), asdict(options), edits)

    @contextmanager
    def store_decodings(self) -> Iterator[None]:
        """`whisper.decode` goes through the store meanwhile, for code that calls it by itself."""

        def decode(model: Whisper, mel: Tensor, options: DecodingOptions, **_: Any) -> DecodingResult:
            return self.decode(mel, options)

        whisper.decode = decode
        try:
            yield
        finally:
            whisper.decode = _DECODE

    @torch.no_grad()
    def text_margin(
        self, features: list[Tensor], editing: AbstractContextManager[None] | None = None
    ) -> list[float]:
        """By how much the best text token beats end-of-text where greedy decoding decides on any text at all.

        Above 0 the window gets text, once stock's ban on an empty result is lifted. With timestamps the decision
        comes after <|0.00|>. Costs one decoder step per window (1500, state).
        """
        task = DecodingTask(self.model, self.lifted(DecodingOptions(**self._decoding_options())))
        prompt = list(task.initial_tokens)
        if not task.options.without_timestamps:
            prompt.append(task.tokenizer.timestamp_begin)
        last_text, end = task.tokenizer.timestamp_begin, task.tokenizer.eot
        margins: list[float] = []
        with editing or nullcontext():
            for i in range(0, len(features), BATCH):
                batch = torch.stack(features[i : i + BATCH])
                tokens = torch.tensor([prompt] * len(batch), device=batch.device)
                logits = self.model.decoder(tokens, batch)[:, -1]
                for each in task.logit_filters:
                    if type(each).__name__ == "SuppressTokens":
                        each.apply(logits, tokens)
                ending = logits[:, end].clone()
                logits[:, end:last_text] = -torch.inf
                margins += (logits[:, :last_text].amax(dim=1) - ending).tolist()
        return margins

    @torch.no_grad()
    def first_state(self, features: Tensor, block: int) -> Tensor:
        """Output (state,) of a decoder block at the last prompt token: the decoder's first state on a window."""
        task = DecodingTask(self.model, DecodingOptions(**self._decoding_options()))
        tokens = torch.tensor([task.initial_tokens], device=features.device)
        decoder = self.model.decoder
        x = (decoder.token_embedding(tokens) + decoder.positional_embedding[: tokens.shape[-1]]).to(
            features.dtype
        )
        for each in list(decoder.blocks)[: block + 1]:
            x = each(x, features[None], mask=decoder.mask)
        return x[0, -1].float()

    @torch.no_grad()
    def no_speech_logit(self, features: Tensor) -> float:
        """Logit of the no-speech token's probability for a window (1500, state), as `whisper.decode` takes it."""
        task = DecodingTask(self.model, DecodingOptions(**self._decoding_options()))
        tokens = torch.tensor([task.initial_tokens], device=features.device)
        logits = self.model.decoder(tokens, features[None])[0, task.sot_index].float()
        return float(torch.logit(logits.softmax(dim=-1)[task.tokenizer.no_speech], eps=1e-7))

    def _decoding_options(self) -> dict[str, Any]:
        known = DecodingOptions.__dataclass_fields__
        return {k: v for k, v in self.options.items() if k in known and k != "temperature"} | {
            "language": self.options.get("language") or "en"
        }

    @staticmethod
    def lifted(options: DecodingOptions) -> DecodingOptions:
        """Let end-of-text come first, as steering does."""
        return lift_ban_on_silence(options)

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

    def __init__(self, session: Session, system: System) -> None:
        self._session, self._system = session, system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session.model, name)

    def __call__(self, mel: Tensor, tokens: Tensor) -> Tensor:
        """Logits for word timestamps, from the window's features as they were already computed."""
        return self._session.model.decoder(tokens, self._session.encode(mel[0])[None])

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        return self._system.decode(self._session, mel, options)


_DECODE = whisper.decode
_KEPT = ("language", "tokens", "text", "avg_logprob", "no_speech_prob", "temperature", "compression_ratio")


def _keeper(kept: dict[str, Tensor], point: str) -> Any:
    def keep(hidden: Tensor) -> None:
        kept[point] = hidden[0].detach()

    return keep


def _kept(result: DecodingResult) -> dict[str, Any]:
    """A result as JSON values, without its features."""
    return {k: v for k, v in asdict(replace(result, audio_features=None)).items() if k in _KEPT}
