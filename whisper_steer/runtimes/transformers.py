"""transformers' Whisper that writes nothing where nobody speaks: ``wrap(model)`` or ``wrap(pipeline)``.

It listens first, with the first blocks of the model's own encoder, then hands the spans of speech to transformers. What
it is given stays as it is; what comes back is used in its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from torch import nn

from whisper_steer.encoders.fingerprint import encoder_weights, weights_fingerprint
from whisper_steer.encoders.prefix import Prefix, share
from whisper_steer.errors import UsageError
from whisper_steer.formats.hf import import_transformers
from whisper_steer.formats.names import encoder_from_hf
from whisper_steer.models import hooks
from whisper_steer.runtimes.hf_model import SteeredModel
from whisper_steer.runtimes.hf_pipeline import SteeredPipeline
from whisper_steer.steer.steering import Mode, Steering, steering_for

if TYPE_CHECKING:
    from transformers import AutomaticSpeechRecognitionPipeline, WhisperForConditionalGeneration


@overload
def wrap(
    model_or_pipeline: AutomaticSpeechRecognitionPipeline,
    steering: Steering | str | Path | None = "auto",
    *,
    mode: Mode | None = None,
    method: str | None = None,
    max_suppressed_speech: float | None = None,
    repetition_guard: bool = True,
) -> SteeredPipeline: ...
@overload
def wrap(
    model_or_pipeline: WhisperForConditionalGeneration,
    steering: Steering | str | Path | None = "auto",
    *,
    mode: Mode | None = None,
    method: str | None = None,
    max_suppressed_speech: float | None = None,
    repetition_guard: bool = True,
) -> SteeredModel: ...
def wrap(
    model_or_pipeline: Any,
    steering: Steering | str | Path | None = "auto",
    *,
    mode: Mode | None = None,
    method: str | None = None,
    max_suppressed_speech: float | None = None,
    repetition_guard: bool = True,
) -> Any:
    """A steered `SteeredModel` or `SteeredPipeline` over a `WhisperForConditionalGeneration` or a pipeline with one.

    steering: "auto" finds the artifact by the encoder's fingerprint, else an artifact's folder or name, or a
    `Steering`; with None or mode "off" the object itself comes back. mode, method, max_suppressed_speech: as for
    `Steering`. repetition_guard: loops are ended, see `whisper_steer.guard.hf`. The
    model may be moved to another device or number format afterwards.

    Raises `ArtifactError` (none for this model), `FingerprintError`, `MissingPackageError`, `UsageError`.
    """
    import_transformers()
    model = (
        getattr(model_or_pipeline, "model", None) if _is_pipeline(model_or_pipeline) else model_or_pipeline
    )
    whole: Any = hooks.unwrap(model) if isinstance(model, nn.Module) else model
    encoder = getattr(getattr(whole, "model", None), "encoder", None)
    if encoder is None or not hasattr(whole, "generate") or isinstance(whole, SteeredModel):
        raise UsageError(
            f"{type(model_or_pipeline).__name__} cannot be steered: give a WhisperForConditionalGeneration, "
            "or an automatic-speech-recognition pipeline with one"
        )
    options: dict[str, Any] = {"mode": mode, "method": method, "max_suppressed_speech": max_suppressed_speech}
    chosen = steering_for(lambda: hf_fingerprint(encoder), steering, **options)
    if chosen is None:
        return model_or_pipeline
    steered = SteeredModel(whole, chosen, prefix_of(encoder, chosen), repetition_guard)
    return SteeredPipeline(model_or_pipeline, steered) if _is_pipeline(model_or_pipeline) else steered


def hf_fingerprint(encoder: nn.Module) -> str:
    """`whisper_steer.encoders.fingerprint.encoder_fingerprint` on transformers: the same weights, the same string."""
    hooks.hook_points(encoder)  # refuses what is no Whisper encoder
    return weights_fingerprint(encoder_from_hf(encoder_weights(encoder)))


def prefix_of(encoder: nn.Module, steering: Steering) -> Prefix:
    """What listens: openai-whisper's encoder over the weights of an encoder of transformers."""
    inner: Any = hooks.unwrap(encoder)
    weights = encoder_from_hf(encoder_weights(inner))
    weights["positional_embedding"] = inner.embed_positions.weight
    return steering.prefix(share(weights, inner.config.encoder_attention_heads))


def _is_pipeline(found: Any) -> bool:
    return isinstance(found, import_transformers().AutomaticSpeechRecognitionPipeline)


__all__ = ["SteeredModel", "SteeredPipeline", "hf_fingerprint", "prefix_of", "wrap"]
