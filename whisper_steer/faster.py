"""faster-whisper that writes nothing where nobody speaks: ``from whisper_steer.faster import WhisperModel``.

CTranslate2 runs the encoder and the decoder, and shows only what comes out of the encoder after ``ln_post``. So the
artifact's hook point decides the route:

- ``"output"``, for artifacts at ``ln_post``: CTranslate2 encodes, the gate reads its output and steering edits it.
- ``"encoder"``, for artifacts at ``blocks.N``: PyTorch runs the encoder (its weights are read from the same folder),
  hooked; CTranslate2 decodes. Costs a second copy of the encoder in memory, float32 speed on a CPU, and with an
  int8 model the features are PyTorch's, not the int8 encoder's.
- a model into which steering was baked (``whisper-steer export``) needs neither, and runs in stock faster-whisper.

whisperX takes such a model too: ``class Steered(WhisperModel, whisperx.asr.WhisperModel): pass``, then
``whisperx.load_model(name, device, model=Steered(name, device=device))``.

Either way windows without speech leave the batch, so they are never decoded: see `whisper_steer.steered_ct2`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Literal, get_args

import faster_whisper
from faster_whisper.transcribe import Segment as StockSegment
from faster_whisper.transcribe import TranscriptionInfo as StockInfo
from torch import nn

from whisper_steer import artifact as artifacts
from whisper_steer.audio import as_samples
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.fingerprint import encoder_fingerprint
from whisper_steer.formats import ct2
from whisper_steer.formats.ct2_folder import ct2_folder
from whisper_steer.models import load_model
from whisper_steer.segments import take_out_unspoken
from whisper_steer.steered_ct2 import SteeredCT2
from whisper_steer.steering import Decision, Mode, Steering
from whisper_steer.transcription import Tagged

Route = Literal["auto", "output", "encoder"]
Found = tuple[Iterator["Segment"], "TranscriptionInfo"]


@dataclass
class Segment(StockSegment):  # type: ignore[misc]
    """faster-whisper's segment, and what steering did in its window."""

    steering: Decision | None = None


@dataclass
class TranscriptionInfo(StockInfo):  # type: ignore[misc]
    """faster-whisper's info, and what steers."""

    steering: dict[str, Any] | None = None
    """as in the result of `whisper_steer.transcribe`; ``windows`` grows as the segments are consumed, its times are
    those of the audio that a VAD filter left"""


class WhisperModel(faster_whisper.WhisperModel):  # type: ignore[misc]
    """`faster_whisper.WhisperModel` with the same options, and steering.

    steering: "auto" finds the artifact by the fingerprint of the encoder in the folder, None is stock, else an
    artifact's folder or name, or a `Steering`. mode, method, max_suppressed_speech: as for `Steering`. route: see the
    module. checkpoint: an OpenAI ``.pt`` of the same model, needed only where the folder's own encoder cannot be
    read (stored in int8, or given as ``files``). Segments are `Segment`, infos `TranscriptionInfo`.

    Raises `ArtifactError` (none for this model), `AudioError` (arrays), `FingerprintError`, `ModelError`, `UsageError`.
    """

    model: Any
    """ctranslate2's Whisper, behind the gate where there is steering"""

    def __init__(
        self,
        model_size_or_path: str | Path,
        *args: Any,
        steering: Steering | str | Path | None = "auto",
        mode: Mode | None = None,
        method: str | None = None,
        max_suppressed_speech: float | None = None,
        route: Route = "auto",
        checkpoint: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        folder = (
            nullcontext(str(model_size_or_path))
            if kwargs.get("files")
            else ct2_folder(model_size_or_path, kwargs)
        )
        with folder as path:
            source = _Source(path, checkpoint)
            self.steering = _prepare(source, steering, mode, method, max_suppressed_speech)
            encoder = None
            if self.steering is not None:
                point = self.steering.artifact.hook_point
                encoder = source.load() if choose_route(point, route) == "encoder" else None
            super().__init__(path, *args, **kwargs)
        self.windows: list[dict[str, Any]] = []
        self.decisions: list[Decision | None] = []
        """of decoded windows that are not yet split into segments"""
        if self.steering is not None:
            self.model = SteeredCT2(self.model, self.steering, encoder, self.hf_tokenizer)

    @wraps(faster_whisper.WhisperModel.transcribe)
    def transcribe(self, audio: Any, *args: Any, **kwargs: Any) -> Found:
        run = self.new_run()
        segments, info = super(WhisperModel, run).transcribe(as_samples(audio), *args, **kwargs)
        return segments, run.describe(info)

    def new_run(self) -> WhisperModel:
        """A copy that shares everything but the record of the windows: transcriptions may run side by side."""
        run = copy.copy(self)
        run.windows = []
        return run

    def describe(self, info: StockInfo) -> TranscriptionInfo:
        """Add what steers, and this run's windows."""
        steering = None
        if self.steering is not None:
            steering = {**self.steering.describe(), "windows": self.windows}
        return TranscriptionInfo(**vars(info), steering=steering)

    def generate_segments(self, *args: Any, **kwargs: Any) -> Iterator[Segment]:
        return with_decisions(super().generate_segments(*args, **kwargs))

    def generate_with_fallback(self, *args: Any, **kwargs: Any) -> Any:
        outcome = super().generate_with_fallback(*args, **kwargs)
        self.decisions = [_decision(outcome[0].no_speech_prob)]
        return outcome

    def _split_segments_by_timestamps(self, tokenizer: Any, tokens: list[int], **kwargs: Any) -> Any:
        decision = self.decisions.pop(0) if self.decisions else None  # none: the pipeline is stock's
        if decision is None:
            return super()._split_segments_by_timestamps(tokenizer=tokenizer, tokens=tokens, **kwargs)
        tokens = take_out_unspoken(tokens, decision, tokenizer.timestamp_begin)
        segments, *rest = super()._split_segments_by_timestamps(tokenizer=tokenizer, tokens=tokens, **kwargs)
        place = {"start": kwargs["time_offset"], "end": segments[-1]["end"]}
        self.windows.append({**place, **decision.fields()})
        return segments, *rest


class BatchedInferencePipeline(faster_whisper.BatchedInferencePipeline):  # type: ignore[misc]
    """`faster_whisper.BatchedInferencePipeline` over a steered `WhisperModel`."""

    @wraps(faster_whisper.BatchedInferencePipeline.transcribe)
    def transcribe(self, audio: Any, *args: Any, **kwargs: Any) -> Found:
        run = copy.copy(self)
        run.model = self.model.new_run()
        segments, info = super(BatchedInferencePipeline, run).transcribe(as_samples(audio), *args, **kwargs)
        return segments, run.model.describe(info)

    def generate_segment_batched(self, *args: Any, **kwargs: Any) -> Any:
        encoded, outputs = super().generate_segment_batched(*args, **kwargs)
        self.model.decisions = [_decision(output["no_speech_prob"]) for output in outputs]
        return encoded, outputs

    def _batched_segments_generator(self, *args: Any, **kwargs: Any) -> Iterator[Segment]:
        return with_decisions(super()._batched_segments_generator(*args, **kwargs))


def _decision(no_speech_prob: float) -> Decision | None:
    """The one tagged on a no-speech probability, if one is."""
    return no_speech_prob.decision if isinstance(no_speech_prob, Tagged) else None


def with_decisions(segments: Iterator[StockSegment]) -> Iterator[Segment]:
    """Turn the tags on no-speech probabilities into fields, and drop what has no text where nobody speaks."""
    number = 0
    for segment in segments:
        fields = vars(segment)
        decision = _decision(segment.no_speech_prob)
        if decision is not None and not segment.text.strip():
            continue
        number += 1
        fields |= {"id": number, "no_speech_prob": float(segment.no_speech_prob), "steering": decision}
        yield Segment(**fields)


def choose_route(hook_point: str, route: Route = "auto") -> Route:
    """The route for a hook point. Raises `UsageError` for one that cannot be."""
    if route not in get_args(Route):
        raise UsageError(f"unknown route {route!r}; choose one of {', '.join(get_args(Route))}")
    if route == "output" and hook_point != "ln_post":
        raise UsageError(
            f"the artifact works at {hook_point}, which CTranslate2 does not show: take route 'encoder', or fit one "
            "with: whisper-steer fit MODEL --hook-point ln_post"
        )
    return ("output" if hook_point == "ln_post" else "encoder") if route == "auto" else route


@dataclass
class _Source:
    """Where the encoder's weights can be read."""

    folder: str
    checkpoint: str | Path | None

    @cached_property
    def fingerprint(self) -> str:
        return ct2.fingerprint(self.folder) if self.checkpoint is None else encoder_fingerprint(self.load())

    def load(self) -> nn.Module:
        folder, checkpoint = self.folder, self.checkpoint
        return ct2.load_encoder(folder) if checkpoint is None else load_model(checkpoint, "cpu").encoder


def _prepare(
    source: _Source,
    steering: Steering | str | Path | None,
    mode: Mode | None,
    method: str | None,
    max_suppressed_speech: float | None,
) -> Steering | None:
    if isinstance(steering, Steering):
        if (mode, method, max_suppressed_speech) != (None, None, None):
            raise UsageError(
                "give mode, method and max_suppressed_speech to Steering(...) or to the model, not to both"
            )
        ready = steering
    elif steering is None or mode == "off":
        return None
    else:
        path = artifacts.find(source.fingerprint) if steering == "auto" else artifacts.resolve(steering)
        if path is None:
            raise ArtifactError(
                "no steering ships for this checkpoint; make one with: whisper-steer fit MODEL (or pass steering=None)"
            )
        ready = Steering(path, mode=mode, method=method, max_suppressed_speech=max_suppressed_speech)
    if ready.mode == "off":
        return None
    ready.artifact.check(source.fingerprint)
    return ready
