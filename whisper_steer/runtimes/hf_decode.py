"""transformers' `generate` on parts of a recording: each is decoded by itself and to its end, no further.

Stock reads whatever is given to it as at least 30 s, and with timestamps goes on in the padding after the last word.
Several rows of more than 30 s it ends where their attention mask says. So parts are given to it as such rows, with an
empty one beside them that makes them several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from whisper.audio import FRAMES_PER_SECOND, N_FRAMES

from whisper_steer.models import hooks
from whisper_steer.runtimes.locks import lock_of
from whisper_steer.steer.steering import Steering

Segments = list[dict[str, Any]]
"""of one row, as ``return_segments`` gives them"""


def bounded(generate: Callable[..., Any], features: Tensor, mask: Tensor, **options: Any) -> Any:
    """`generate` with timestamps on log-mel rows (batch, mels, frames), each to where its mask (batch, frames) is 0.

    Options and result are stock's.
    """
    extra = max(0, N_FRAMES + 2 - features.shape[-1])
    features, mask = F.pad(features, (0, extra, 0, 0, 0, 1)), F.pad(mask, (0, extra, 0, 1))
    if isinstance(options.get("language"), (list, tuple)):
        options["language"] = [*options["language"], options["language"][-1]]
    found = generate(features, attention_mask=mask, **{**options, "return_timestamps": True})
    if isinstance(found, Tensor):
        return found[:-1].long()  # the empty row made floats of them
    return {**{k: v[:-1] for k, v in found.items()}, "sequences": found["sequences"][:-1].long()}


def decode(
    model: Any,
    rows: Sequence[Tensor],
    places: Sequence[tuple[int, int, int]],
    batch: int,
    *,
    timed: bool,
    language: Sequence[str | None],
    **options: Any,
) -> list[Segments]:
    """The segments of each row by stock's `generate` on parts of them, with their times in the row.

    rows: log-mel (mels, frames) each, of any length. places: row, first and last frame of each part, in order. batch:
    parts at a time. timed: with timestamps; without them a part has at most 3000 frames. language: of each row.
    """
    found: list[Segments] = [[] for _ in rows]
    places = [(row, start, min(end, rows[row].shape[1])) for row, start, end in places]
    places = [(row, start, end) for row, start, end in places if start < end]
    for i in range(0, len(places), batch):
        chosen = places[i : i + batch]
        longest = max(N_FRAMES, *(end - start for _, start, end in chosen))
        frames = torch.tensor([end - start for _, start, end in chosen], device=model.device)
        mask = (torch.arange(longest, device=model.device) < frames[:, None]).long()
        # Behind a part are zeros, as stock has them behind a long recording; behind a short one it has silence.
        parts = [
            F.pad(rows[r][:, a:b], (0, longest - (b - a)), value=0.0 if timed else float(rows[r].amin()))
            for r, a, b in chosen
        ]
        given = {**options, "return_segments": True}
        if any(language):
            given["language"] = [language[r] for r, _, _ in chosen]
        if timed:
            made = bounded(model.generate, torch.stack(parts), mask, **given)
        else:
            made = model.generate(torch.stack(parts), attention_mask=mask, return_timestamps=False, **given)
        for (row, start, end), segments in zip(chosen, made["segments"], strict=True):
            found[row] += [moved(segment, start, end) for segment in segments]
    return found


def moved(segment: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """A segment of a part, (start, end) in frames, with its times in the recording and not beyond the part."""
    offset, last = start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND
    named = ("start", "end", "token_timestamps")
    times = {k: (torch.as_tensor(segment[k]) + offset).clamp(max=last) for k in named if k in segment}
    return {**segment, **times}


@contextmanager
def decoding(model: Any, steering: Steering) -> Iterator[None]:
    """Decode by a model for the ``with`` block; in mode "steer" its encoder edits windows in which nobody speaks.

    A compiled encoder runs as it was before then, because compiled code calls no hooks.
    """
    with lock_of(hooks.unwrap(model.model.encoder)):
        if steering.mode != "steer":
            yield
            return
        owner = model.model
        wrapped, owner.encoder = owner.encoder, hooks.unwrap(owner.encoder)
        inner = owner.encoder
        compiled, inner._compiled_call_impl = inner._compiled_call_impl, None
        try:
            with steering.editing(inner):
                yield
        finally:
            inner._compiled_call_impl = compiled
            owner.encoder = wrapped


def detected_language(model: Any, mel: Tensor) -> str:
    """The token, ``<|en|>`` and so on, of the language that stock finds in a log-mel window (mels, 3000)."""
    token = int(model.detect_language(mel[None].to(model.device, model.dtype))[0])
    codes: dict[str, int] = model.generation_config.lang_to_id
    return next(code for code, number in codes.items() if number == token)


def must_detect(model: Any, config: Any = None, *options: Any) -> bool:
    """Whether a model has languages, and neither a generation config, its own or ``config``, nor options name one."""
    configs = [model.generation_config, config]
    named = [getattr(each, "language", None) for each in configs] + [o.get("language") for o in options if o]
    return bool(getattr(model.generation_config, "is_multilingual", False)) and not any(named)
