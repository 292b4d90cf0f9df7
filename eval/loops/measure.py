"""What mends loops: the guard's ways, each block and head of the cross-attention among them, and what users do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from whisper.decoding import DecodingTask
from whisper.model import Whisper
from whisper.utils import compression_ratio

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.guard.loops import first
from whisper_steer.guard.mend import Way, carry_on, ended

from .collect import OPTIONS, features_of

LIMIT = 45
"""tokens decoded on, in which a loop is seen again or not"""
TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)


def ways(n_blocks: int, n_heads: int, heads_of: Sequence[int] = (), pairs: bool = True) -> list[Way]:
    """What decodes on from the first unit: nothing changed; blocks of the cross-attention patched, pairs of them, all
    of them, and single heads of some blocks; no three tokens twice; the end."""
    every = range(n_blocks)

    def block(i: int) -> tuple[tuple[int, int], ...]:
        return tuple((i, head) for head in range(n_heads))

    found = [Way("unchanged"), *(Way(f"block {i}", block(i)) for i in every)]
    found += [Way(f"blocks {i} and {j}", block(i) + block(j)) for i, j in combinations(every, 2) if pairs]
    found += [Way("all blocks", tuple(pair for i in every for pair in block(i)))]
    found += [Way("all blocks, 5 tokens", found[-1].patched, steps=5)]
    found += [Way(f"block {i} head {head}", ((i, head),)) for i in heads_of for head in range(n_heads)]
    return [*found, Way("no 3 tokens twice", ban=3), Way("cut", cut="end")]


BEFORE = [
    Way("no_repeat_ngram_size 3", ban=3),
    Way("repetition_penalty 1.1", penalty=1.1),
    Way("repetition_penalty 1.2", penalty=1.2),
]
"""what is set for the whole window, whether it loops or not"""


def measure(
    model: Whisper,
    loops: Sequence[tuple[Clip, dict[str, Any]]],
    chosen: Sequence[Way],
    out: Path,
    seconds: float | None = None,
    with_fallback: bool = True,
) -> None:
    """Append a row for each loop and way to ``out``; loops that stand there are passed over."""
    done = (
        {json.loads(line)["id"] for line in out.read_text("utf-8").splitlines()} if out.is_file() else set()
    )
    begun = time.monotonic()
    with out.open("a", encoding="utf-8") as file:
        for clip, row in loops:
            if clip.id in done or (seconds is not None and time.monotonic() - begun > seconds):
                continue
            file.writelines(
                json.dumps(found) + "\n" for found in list(mended(model, clip, row, chosen, with_fallback))
            )
            file.flush()


@torch.no_grad()
def mended(
    model: Whisper, clip: Clip, row: dict[str, Any], chosen: Sequence[Way], with_fallback: bool
) -> Iterator[dict[str, Any]]:
    """What each way makes of a loop."""
    features = features_of(model, clip)
    task = DecodingTask(model, OPTIONS)
    first_time = task.tokenizer.timestamp_begin
    loop = first(row["tokens"], first_time)
    if loop is None:
        raise DataError(f"{clip.id} stands among the loops and has none: make them again")
    kept = row["tokens"][: loop.kept]

    def result(
        name: str, tokens: list[int], passes: int, cpu: float, looping: bool = False
    ) -> dict[str, Any]:
        text = task.tokenizer.decode([token for token in tokens if token < task.tokenizer.eot]).strip()
        ratio = compression_ratio(text) if text else 0.0
        return {
            "id": clip.id, "kind": clip.kind, "group": clip.group,
            "condition": clip.condition, "way": name,
            "looping": looping or first(tokens, first_time) is not None, "compression_ratio": ratio,
            "written": text, "text": clip.text, "normalizer": clip.normalizer,
            "tokens": len(tokens), "passes": passes, "cpu": round(cpu, 3),
        }  # fmt: skip

    for each in (way for way in chosen if way.cut):
        (tokens, _), cpu = timed(lambda: ended(task, features, kept, False))
        yield result(each.name, tokens, 1, cpu)
    groups = [[w for w in chosen if w.patched], [w for w in chosen if not w.patched and not w.cut]]
    for some in filter(None, groups):
        found, cpu = timed(lambda some=some: carry_on(task, features, kept, some, limit=LIMIT))  # type: ignore[misc]
        for way, each in zip(some, found, strict=True):
            yield result(way.name, each.tokens, each.passes, cpu / len(some), each.looping)
    found, cpu = timed(lambda: carry_on(task, features, [], BEFORE, limit=LIMIT))
    for way, each in zip(BEFORE, found, strict=True):
        yield result(way.name, each.tokens, each.passes, cpu / len(BEFORE), each.looping)
    if not with_fallback:
        return
    torch.manual_seed(0)
    (tokens, passes), cpu = timed(lambda: fallback(model, features))
    yield result("temperature fallback", tokens, passes, cpu)


def fallback(model: Whisper, features: Tensor) -> tuple[list[int], int]:
    """Stock's fallback after a loop at temperature 0: the first decoding that its thresholds let pass, or the last."""
    passes = 0
    tokens: list[int] = []
    for temperature in TEMPERATURES:
        options = replace(OPTIONS, temperature=temperature, sample_len=100)
        (found,) = DecodingTask(model, options).run(features[None])
        tokens = found.tokens
        passes += len(tokens) + 1
        if found.compression_ratio <= 2.4 and found.avg_logprob >= -1.0:
            break
    return tokens, passes


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """A result and the CPU seconds it took."""
    begun = time.process_time()
    found = call()
    return found, time.process_time() - begun


__all__ = ["BEFORE", "measure", "mended", "ways"]
