"""Windows decoded as stock does at temperature 0, with every repetition in them and where the attention was at it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingTask, LogitFilter
from whisper.model import Whisper
from whisper.utils import compression_ratio

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.guard.attention import NOBODY, goes_on, places_of
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
            file.write(json.dumps(row(model, clip)) + "\n")
            file.flush()


def row(model: Whisper, clip: Clip) -> dict[str, Any]:
    """What a window gives."""
    features = features_of(model, clip)
    task = _Recorded(model, features)
    (found,) = task.run(features[None])
    return {
        **clip.describe(),
        "tokens": found.tokens,
        "written": found.text,
        "ended": not task.stopped,
        "compression_ratio": compression_ratio(found.text) if found.text else 0.0,
        "no_speech_prob": found.no_speech_prob,
        "avg_logprob": found.avg_logprob,
        "seen": task.seen,
    }


def looks(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the guard's looks at a window at which it takes it for a loop; the first ends it."""
    nobody = row["no_speech_prob"] > NOBODY
    return [
        look for look in row["seen"] if nobody or not goes_on(torch.tensor(look["places"]), look["period"])
    ]


def is_seen(row: dict[str, Any]) -> bool:
    """Whether the guard takes a window for a loop."""
    return bool(looks(row))


def is_early(row: dict[str, Any]) -> bool:
    """Whether the guard takes what was said again and again for a loop while it is no longer than what was said."""
    return any(look["times"] <= row["extra"]["times"] for look in looks(row)[:1])


class _Recorded(Guarded):
    """A window with its repetitions written down; none of them ends it before `ENOUGH`."""

    def __init__(self, model: Whisper, features: Tensor) -> None:
        DecodingTask.__init__(self, model, OPTIONS)
        self._features = features
        self.passes = 0
        self.seen: list[dict[str, Any]] = []
        self.stopped = False
        self.logit_filters.append(_Record(self))

    def is_loop(self, sampled: Sequence[int], loop: Loop) -> bool:
        """Never; but it is noted."""
        places = places_of(self.heard(sampled), loop, self.sample_begin)
        self.seen.append(
            {
                "n": len(sampled),
                "period": loop.period,
                "times": loop.times,
                "places": [round(float(x), 3) for x in places],
            }
        )
        return False


class _Record(LogitFilter):  # type: ignore[misc]
    def __init__(self, task: _Recorded) -> None:
        self._task, self._looking = task, task.looking()

    def apply(self, logits: Tensor, tokens: Tensor) -> None:
        task = self._task
        sampled: list[int] = tokens[0, task.sample_begin :].tolist()
        self._looking.at(sampled)
        loop = ending(sampled, task.tokenizer.timestamp_begin)
        if loop is not None and loop.period * loop.times >= ENOUGH and loop.times >= 4:
            task.stopped = True
            logits[:] = -torch.inf
            logits[:, task.tokenizer.eot] = 0.0


__all__ = ["OPTIONS", "collect", "features_of", "is_early", "is_seen", "row"]
