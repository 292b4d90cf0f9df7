"""Concurrent transcriptions by one model of faster-whisper: what they ask of it at the same time becomes one batch.

Each transcription is faster-whisper's own loop in a thread of its own. What computes is handed to one thread, oldest
request first, so that they do not fight for the processor; requests of one kind that wait meanwhile go with it. Every
window has its own row in a batch: what is written does not depend on who else asks, but for the last bits of floats.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from ctranslate2 import DataType
from torch import Tensor

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.runtimes.ct2 import to_tensor, to_view
from whisper_steer.runtimes.faster import WhisperModel
from whisper_steer.serve.jobs import stop_if_dropped


@dataclass
class _Call:
    kind: Hashable
    """calls of equal kinds can be one batch; None goes alone"""
    rows: int
    item: Any
    compute: Callable[[list[Any]], list[Any]]
    """the items of a batch -> a result for each"""
    future: Future[Any] = field(default_factory=Future)


class OneThread:
    """Computes for many threads, at most ``rows`` windows at once."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._compute, name="model", daemon=True).start()

    def __call__(
        self, kind: Hashable, rows: int, item: Any, compute: Callable[[list[Any]], list[Any]]
    ) -> Any:
        """The result for one item of so many rows. Raises `Dropped` where nobody waits for it any more."""
        stop_if_dropped()
        call = _Call(kind, rows, item, compute)
        with self._changed:
            self._calls.append(call)
            self._changed.notify()
        found = call.future.result()
        stop_if_dropped()
        return found

    def _next(self) -> list[_Call]:
        """The oldest call, and those that can go with it."""
        with self._changed:
            while not self._calls:
                self._changed.wait()
            batch = [self._calls.popleft()]
            room = self._rows - batch[0].rows
            if batch[0].kind is not None:
                for call in list(self._calls):
                    if call.kind == batch[0].kind and call.rows <= room:
                        self._calls.remove(call)
                        batch.append(call)
                        room -= call.rows
            return batch

    def _compute(self) -> None:
        while True:
            batch = self._next()
            try:
                results = batch[0].compute([call.item for call in batch])
            except Exception as error:
                for call in batch:
                    call.future.set_exception(error)
            else:
                for call, result in zip(batch, results, strict=True):
                    call.future.set_result(result)
            del batch


class _Listening(Prefix):
    """A prefix that computes there. On a CPU windows are listened to one by one, which is as fast."""

    def __init__(self, prefix: Prefix, one_thread: OneThread) -> None:
        vars(self).update(vars(prefix))
        self._prefix, self._one_thread = prefix, one_thread

    def __call__(self, mel: Tensor) -> Tensor:
        def compute(mels: list[Tensor]) -> list[Tensor]:
            found = self._prefix(torch.cat(mels))
            return list(found.split([len(each) for each in mels]))

        kind = None if self.device.type == "cpu" else ("listen", mel.shape[1:], mel.dtype)
        found: Tensor = self._one_thread(kind, len(mel), mel, compute)
        return found


class _Together:
    """Stands in for a `ctranslate2.models.Whisper`."""

    def __init__(self, model: Any, one_thread: OneThread) -> None:
        self._model, self._one_thread = model, one_thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features: Any, to_cpu: bool = False) -> Any:
        def compute(items: list[Any]) -> list[Any]:
            found = self._model.encode(_joined(items), to_cpu=to_cpu)
            return [found] if len(items) == 1 else _split(found, items)

        # On a CPU a batch is no faster than its windows one after another, and takes more memory.
        alone = self._model.device == "cpu" or "bfloat16" in self._model.compute_type
        kind = None if alone else ("encode", tuple(features.shape[1:]))
        return self._one_thread(kind, features.shape[0], features, compute)

    def generate(self, features: Any, prompts: list[list[int]], **options: Any) -> list[Any]:
        def compute(items: list[Any]) -> list[Any]:
            rows = [prompt for _, given in items for prompt in given]
            found = iter(self._model.generate(_joined([each for each, _ in items]), rows, **options))
            return [[next(found) for _ in given] for _, given in items]

        # CTranslate2 takes prompts of one length only.
        kind = ("generate", len(prompts[0]), repr(sorted(options.items())))
        alone = features.dtype == DataType.bfloat16
        return self._one_thread(None if alone else kind, len(prompts), (features, prompts), compute)

    def align(self, *args: Any, **options: Any) -> Any:
        return self._one_thread(None, 1, args, lambda items: [self._model.align(*items[0], **options)])

    def detect_language(self, features: Any) -> Any:
        return self._one_thread(
            None, 1, features, lambda items: [self._model.detect_language(each) for each in items]
        )


def _joined(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else to_view(torch.cat([to_tensor(each) for each in items]))


def _split(found: Any, items: list[Any]) -> list[Any]:
    parts = to_tensor(found).split([each.shape[0] for each in items])
    return [to_view(part) for part in parts]


def compute_together(model: WhisperModel, rows: int) -> None:
    """From here on threads that transcribe with ``model`` share one that computes, in batches of up to ``rows``."""
    one_thread = OneThread(rows)
    model.model = _Together(model.model, one_thread)
    if model.editor is not None:
        model.editor.prefix = _Listening(model.editor.prefix, one_thread)


__all__ = ["OneThread", "compute_together"]
