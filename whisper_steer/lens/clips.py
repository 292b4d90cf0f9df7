"""The lenses on many clips: where written tokens come from, and what is written from each block of the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.eval.curves.greedy import Greedy, Written
from whisper_steer.eval.intervals import Estimate, bootstrap, group_sums, ratio
from whisper_steer.eval.metrics import has_text, word_counts
from whisper_steer.guard.loops import is_loop
from whisper_steer.lens.logit import LogitLens, logit_lens
from whisper_steer.lens.passes import encoder_states

BATCH = 8
"""clips that pass the model at a time"""
MOST_TOKENS = 100
"""written from a block of the encoder; clips are of 15 s at most"""
ELSEWHERE = 0.9
"""word error rate from which on a text has nothing to do with what is said"""


@dataclass(frozen=True)
class Seen:
    """A clip under the lenses."""

    clip: Clip
    written: list[Written]
    """by block of the encoder; the last is what the model writes"""
    first: np.ndarray
    """(T,) of its text tokens, as `LogitLens.first_block`"""
    entropy: np.ndarray
    """(blocks of the decoder, T), nats"""
    wanted: str | None
    """the last block's first choice in place of the first text token; None where there is no text, "" where it is that
    token"""


def look(model: Whisper, clips: Sequence[Clip]) -> list[Seen]:
    """Each clip as one window of 30 s in English, decoded greedily with timestamps as openai-whisper does."""
    greedy = Greedy(model, "stock", torch.float32)
    found = []
    bar = tqdm(total=len(clips), desc="lenses", unit="clip")
    for start in range(0, len(clips), BATCH):
        part = clips[start : start + BATCH]
        mel = torch.stack([window_mel(each.samples(), model.dims.n_mels) for each in part]).to(model.device)
        states = encoder_states(model, mel)
        texts = [greedy(each, min(MOST_TOKENS, model.dims.n_text_ctx // 2)) for each in states]
        for i, clip in enumerate(part):
            tokens = texts[-1][i].tokens
            lens = logit_lens(model, states[-1, i], greedy.prompt, tokens) if tokens else None
            is_text = np.array(tokens, int) < greedy.eot
            first = lens.first_block[is_text] if lens else np.zeros(0, int)
            entropy = lens.entropy[:, is_text] if lens else np.zeros((model.dims.n_text_layer, 0))
            wanted = _wanted(lens, is_text, greedy) if lens and is_text.any() else None
            found.append(Seen(clip, [each[i] for each in texts], first, entropy, wanted))
        bar.update(len(part))
    bar.close()
    return found


def _wanted(lens: LogitLens, is_text: np.ndarray, greedy: Greedy) -> str:
    at = int(is_text.argmax())
    if lens.rank[-1, at] == 0:
        return ""
    return str(greedy.task.tokenizer.decode_with_timestamps([int(lens.top[-1, at, 0])]))


def settled_at(seen: Sequence[Seen], block: int) -> Estimate:
    """Share of text tokens that are the lens' first from this block on, and not from one before; mean over clips."""
    return _mean([(each, float((each.first == block).mean())) for each in seen if len(each.first)])


def entropy_at(seen: Sequence[Seen], block: int) -> Estimate:
    """Mean entropy of the lens over text tokens, nats; mean over clips."""
    return _mean([(each, float(each.entropy[block].mean())) for each in seen if len(each.first)])


def share_of(seen: Sequence[Seen], block: int, what: Callable[[Clip, str], bool]) -> Estimate:
    """Share of clips whose text from a block of the encoder is such."""
    return _mean([(each, float(what(each.clip, each.written[block].text))) for each in seen])


def wer_at(seen: Sequence[Seen], block: int) -> Estimate:
    """Word error rate of the text from a block of the encoder, of clips with a reference."""
    counts = [counted(each.clip, each.written[block].text) for each in seen]
    sums = group_sums(
        [each.clip.group for each in seen], [list(column) for column in zip(*counts, strict=True)]
    )
    return bootstrap(sums, ratio(0, 1))


def counted(clip: Clip, text: str) -> tuple[float, float]:
    """Errors and words."""
    found = word_counts(clip.text, text, clip.normalizer) if clip.text else None
    return (float(found.errors), float(found.words)) if found else (0.0, 0.0)


def is_empty(clip: Clip, text: str) -> bool:
    return not has_text(text, clip.normalizer)


def loops(clip: Clip, text: str) -> bool:
    return is_loop(text)


def is_elsewhere(clip: Clip, text: str) -> bool:
    """Fluent but not of the audio: text that does not loop, and has at least `ELSEWHERE` of the words wrong."""
    errors, words = counted(clip, text)
    return not is_empty(clip, text) and not is_loop(text) and words > 0 and errors >= ELSEWHERE * words


def _mean(values: Sequence[tuple[Seen, float]]) -> Estimate:
    """Over clips, bootstrapped over groups."""
    groups = [each.clip.group for each, _ in values]
    return bootstrap(group_sums(groups, [[value for _, value in values], [1.0] * len(values)]), ratio(0, 1))
