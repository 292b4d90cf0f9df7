"""transformers' Whisper that writes nothing where nobody speaks: ``attach(model, steering)``.

A hook on the encoder lets the gate read, and steering edit, what openai-whisper's encoder has at the same point; a
logits processor in ``model.generate`` does the rest: windows without speech end at their first token, and steered
windows may. So the speech recognition pipeline, long recordings and batches are covered. One decoder step is spent on
a window without speech; where a whole batch has none, no more than that. Language detection sees what stock would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from whisper_steer.encoders import hooks
from whisper_steer.encoders.fingerprint import encoder_weights, weights_fingerprint
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.formats.hf import import_transformers
from whisper_steer.formats.names import encoder_from_hf
from whisper_steer.steer import artifact as artifacts
from whisper_steer.steer.steering import Decision, Mode, Steering

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

SILENCED = -1e9
"""logit of what must not be written; finite, as beam search adds them up"""


def attach(
    model: WhisperForConditionalGeneration,
    steering: Steering | str | Path = "auto",
    *,
    mode: Mode | None = None,
    method: str | None = None,
    max_suppressed_speech: float | None = None,
) -> Attached:
    """Steer a `WhisperForConditionalGeneration`, or the one in a speech recognition pipeline (``pipe.model``).

    steering: "auto" finds the artifact by the encoder's fingerprint, else an artifact's folder or name, or a
    `Steering`; mode, method, max_suppressed_speech: as for `Steering`. Returns a handle with ``decisions`` and
    ``remove()``, also a context manager. One steering at a time sits on a model. A compiled encoder runs as it was
    before, until it is removed, because compiled code does not call hooks. What ``generate`` writes into a window
    with speech stays whole: segments away from it are not dropped here.

    Raises `ArtifactError` (none for this model), `FingerprintError`, `MissingPackageError`, `UsageError`.
    """
    import_transformers()
    whole: Any = hooks.unwrap(model) if isinstance(model, nn.Module) else model
    encoder = getattr(getattr(whole, "model", None), "encoder", None)
    if encoder is None or not hasattr(whole, "generate"):
        raise UsageError(
            f"{type(model).__name__} cannot be steered: pass a WhisperForConditionalGeneration, or pipe.model"
        )
    if "generate" in vars(whole):
        raise UsageError("this model is steered already: remove the first handle")
    if not isinstance(steering, Steering):
        steering = _load(encoder, steering, mode, method, max_suppressed_speech)
    elif (mode, method, max_suppressed_speech) != (None, None, None):
        raise UsageError(
            "give mode, method and max_suppressed_speech to Steering(...) or to attach, not to both"
        )
    steering.artifact.check(hf_fingerprint(encoder))
    return Attached(whole, encoder, steering)


def hf_fingerprint(encoder: nn.Module) -> str:
    """`whisper_steer.encoders.fingerprint.encoder_fingerprint` on transformers: the same weights, the same string."""
    hooks.hook_points(encoder)  # refuses what is no Whisper encoder
    return weights_fingerprint(encoder_from_hf(encoder_weights(encoder)))


class Attached:
    """A steered model, until ``remove()`` or the end of the ``with`` block."""

    def __init__(self, model: Any, encoder: nn.Module, steering: Steering) -> None:
        self.steering = steering
        self.decisions: list[Decision] = []
        """of all windows encoded so far, in order; a window that is encoded twice in a row counts once"""
        self.current: list[Decision] = []
        """of the last pass of the encoder"""
        self._model = model
        self._paused = steering.mode == "off"
        self._undo = ExitStack()
        self._undo.enter_context(_uncompiled(model.model))
        self._undo.enter_context(hooks.attach(encoder, steering.artifact.hook_point, self._edit))
        model.generate = self._generate(model.generate)
        model.detect_language = self._unsteered(model.detect_language)

    def remove(self) -> None:
        """Leave the model as it was. May be called more than once."""
        self._undo.close()
        for name in ("generate", "detect_language"):
            vars(self._model).pop(name, None)

    def __enter__(self) -> Attached:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _edit(self, hidden: Tensor) -> Tensor | None:
        if self._paused:
            return None
        edited, decisions = self.steering.edit(hidden)
        if decisions != self.current:
            self.decisions += decisions
        self.current = decisions
        return edited

    def _generate(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(generate)
        def steered(*args: Any, logits_processor: Any = None, **kwargs: Any) -> Any:
            if self._paused:
                return generate(*args, logits_processor=logits_processor, **kwargs)
            self.current = []
            config = kwargs.get("generation_config") or self._model.generation_config
            banned: list[int] = []
            if self.steering.mode == "steer":  # the ban on silence moves into the processor, window by window
                banned = kwargs.get("begin_suppress_tokens", config.begin_suppress_tokens) or []
                kwargs["begin_suppress_tokens"] = []
            processor = _window_processor(self, int(config.eos_token_id), banned)
            return generate(*args, logits_processor=[*(logits_processor or []), processor], **kwargs)

        return steered

    def _unsteered(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def paused(*args: Any, **kwargs: Any) -> Any:
            before, self._paused = self._paused, True
            try:
                return function(*args, **kwargs)
            finally:
                self._paused = before

        return paused


@contextmanager
def _uncompiled(owner: Any) -> Iterator[None]:
    """Have ``owner.encoder`` run as it was before it was compiled or spread over devices."""
    wrapped, owner.encoder = owner.encoder, hooks.unwrap(owner.encoder)
    inner = owner.encoder
    compiled, inner._compiled_call_impl = inner._compiled_call_impl, None
    try:
        yield
    finally:
        inner._compiled_call_impl = compiled
        owner.encoder = wrapped


def _window_processor(attached: Attached, eot: int, banned: list[int]) -> Any:
    """What may be written in each window, by what was decided of it. Rows: windows, each with its beams."""
    transformers = import_transformers()

    class WindowProcessor(transformers.LogitsProcessor):  # type: ignore[misc, name-defined]
        begin_index = 0

        def set_begin_index(self, begin_index: int) -> None:
            self.begin_index = begin_index

        def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
            first = input_ids.shape[-1] == self.begin_index
            actions = [decision.action for decision in attached.current]
            beams = len(scores) // len(actions)
            scores = scores.clone()
            for i, action in enumerate(actions):
                rows = scores[i * beams : (i + 1) * beams]
                if action == "untouched" and first:
                    rows[:, banned] = -float("inf")
                elif action == "skipped" or (first and bool((rows.argmax(dim=-1) == eot).all())):
                    rows.fill_(SILENCED)
                    rows[:, eot] = 0.0
            return scores

    return WindowProcessor()


def _load(
    encoder: nn.Module,
    steering: str | Path,
    mode: Mode | None,
    method: str | None,
    max_suppressed_speech: float | None,
) -> Steering:
    path = artifacts.find(hf_fingerprint(encoder)) if steering == "auto" else artifacts.resolve(steering)
    if path is None:
        raise ArtifactError("no steering ships for this checkpoint; make one with: whisper-steer fit MODEL")
    return Steering(path, mode=mode, method=method, max_suppressed_speech=max_suppressed_speech)
