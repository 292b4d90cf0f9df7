"""Windows decoded as stock does at temperature 0, with every repetition in them and where the attention was at it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingTask, LogitFilter
from whisper.model import Whisper
from whisper.utils import compression_ratio

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.guard.attention import goes_on, places_of
from whisper_steer.guard.decode import Guarded
from whisper_steer.guard.loops import Loop, ending

ENOUGH = 36
"""repeated tokens after which a window is not decoded further: nothing else comes"""
OPTIONS = DecodingOptions(language="en", fp16=False)


@torch.no_grad()
def features_of(model: Whisper, clip: Clip) -> Tensor:
    """(1500, n_state)"""
    mel = window_mel(clip.samples(), model.dims.n_mels)
    features: Tensor = model.encoder(mel[None].to(model.device))[0]
    return features


def collect(model: Whisper, clips: Sequence[Clip], out: Path, seconds: float | None = None) -> None:
    """Append a row for each clip to ``out``; what is there stays, so that a run can be continued.

    ``seconds``: stop after so many.
    """
    done = set()
    if out.is_file():
        done = {json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()}
    out.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with out.open("a", encoding="utf-8") as file:
        for clip in clips:
            if clip.id in done:
                continue
            if seconds is not None and time.monotonic() - begun > seconds:
                break
            file.writelines(json.dumps(row) + "\n" for row in list(rows(model, clip)))
            file.flush()


ROUNDS = 1
"""windows of one sound, each with the text of those before as its prompt, as in a long recording of it"""


def rows(model: Whisper, clip: Clip) -> Iterator[dict[str, Any]]:
    """What one window gives; of non-speech also the windows that would follow, as long as none loops."""
    features = features_of(model, clip)
    prompt: list[int] = []
    for i in range(ROUNDS if clip.condition == "full" else 1):
        task = _Recorded(model, features, prompt)
        (found,) = task.run(features[None])
        yield {
            **clip.describe(),
            "round": i,
            "prompt": prompt,
            "tokens": found.tokens,
            "written": found.text,
            "ended": not task.stopped,
            "compression_ratio": compression_ratio(found.text) if found.text else 0.0,
            "no_speech_prob": found.no_speech_prob,
            "avg_logprob": found.avg_logprob,
            "seen": task.seen,
        }
        if task.stopped or not found.text:
            return
        prompt = prompt + found.tokens


def repeats(row: dict[str, Any]) -> bool:
    """Whether tokens repeat to no end: a loop by the rule of n-grams, or by stock's compression ratio."""
    return bool(row["seen"]) or row["compression_ratio"] > 2.4


def is_seen(row: dict[str, Any]) -> bool:
    """Whether the guard takes a window for a loop."""
    return any(not goes_on(torch.tensor(seen["places"]), seen["period"]) for seen in row["seen"])


class _Recorded(Guarded):
    """A window with its repetitions written down; none of them ends it before `ENOUGH`."""

    def __init__(self, model: Whisper, features: Tensor, prompt: list[int]) -> None:
        DecodingTask.__init__(self, model, replace(OPTIONS, prompt=prompt or None))
        self._features = features
        self.passes = 0
        self.seen: list[dict[str, Any]] = []
        self.stopped = False
        self.logit_filters.append(_Record(self))

    def note(self, sampled: list[int], loop: Loop) -> None:
        places = places_of(self.heard(sampled), loop, self.sample_begin)
        self.seen.append(
            {
                "n": len(sampled),
                "period": loop.period,
                "times": loop.times,
                "places": [round(float(x), 3) for x in places],
            }
        )


class _Record(LogitFilter):  # type: ignore[misc]
    def __init__(self, task: _Recorded) -> None:
        self._task, self._looked = task, 0

    def apply(self, logits: Tensor, tokens: Tensor) -> None:
        task = self._task
        sampled: list[int] = tokens[0, task.sample_begin :].tolist()
        loop = ending(sampled, task.tokenizer.timestamp_begin)
        if loop is None:
            return
        repeated = loop.period * loop.times
        if len(sampled) >= self._looked:
            task.note(sampled, loop)
            self._looked = len(sampled) + loop.wait  # as the guard does
        if repeated >= ENOUGH and loop.times >= 4:
            task.stopped = True
            logits[:] = -torch.inf
            logits[:, task.tokenizer.eot] = 0.0


__all__ = ["OPTIONS", "collect", "features_of", "is_seen", "repeats", "rows"]
