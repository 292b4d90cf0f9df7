"""What nano is asked to write for a string: tokens, where each word is heard, classes of frames.

Tokens are numbered by a small vocabulary while training: ten digit words, four control tokens, 1501 timestamps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whisper_steer.nano.strings import Placed, String

WORD_TOKENS = (6632, 530, 734, 1115, 1440, 1936, 2237, 3598, 3624, 5193)
"""" zero" to " nine" in the English tokeniser of openai-whisper."""
CONTROL_TOKENS = (50256, 50257, 50360, 50362)
"""End of text, start of transcript, start of previous text, no timestamps."""
TIMESTAMP_BEGIN, TIMESTAMPS = 50363, 1501
EOT, SOT, PREV, PLAIN = 10, 11, 12, 13
FIRST_TIME = 14
"""The small vocabulary: digits 0-9, then these four, then timestamps."""
SEGMENT_PAUSE = 0.4
"""A longer pause starts a new segment."""
IGNORE = -100


@dataclass
class Target:
    """Labels of one window; positions are those of the decoder."""

    tokens: list[int]
    """Input and, shifted by one, output tokens in the small vocabulary."""
    first: int
    """Position whose output is the first that counts (the prompt before it does not)."""
    spans: list[tuple[float, float] | None]
    """For every output token, the seconds it is heard at, if any."""
    places: list[int]
    """For every output token, how many words of this window came before it."""


def segments(words: list[Placed]) -> list[list[Placed]]:
    """Split words at pauses longer than SEGMENT_PAUSE."""
    groups: list[list[Placed]] = [[]]
    for word in words:
        if groups[-1] and word.start - groups[-1][-1].end > SEGMENT_PAUSE:
            groups.append([])
        groups[-1].append(word)
    return groups


def time_token(seconds: float) -> int:
    return FIRST_TIME + min(max(round(seconds * 50), 0), TIMESTAMPS - 1)


def prompt(rng: np.random.Generator) -> list[int]:
    """An earlier transcript as whisper.transcribe would pass it on, with or without its timestamps."""
    words = rng.integers(
        0, 10, int(rng.integers(1, 40)) if rng.random() < 0.97 else int(rng.integers(40, 222))
    ).tolist()
    if rng.random() < 0.5:
        return [PREV, *words]
    tokens, now = [], 0.0
    while words:
        n = int(rng.integers(1, 12))
        end = now + 0.6 * n
        tokens += [time_token(now % 29), *words[:n], time_token(min(end % 29, 30.0))]
        words, now = words[n:], end + rng.uniform(1, 4)
    return [PREV, *tokens[-223:]]


def target(string: String, timestamps: bool, earlier: list[int], end: float, shift: float = 0.0) -> Target:
    """Labels of a string; `earlier` is the prompt (empty for none), `end` the window's length in seconds.

    `shift` is where in a 30 s window the audio starts: it moves the timestamps.
    """
    tokens = [*earlier, SOT]
    if not timestamps:
        tokens.append(PLAIN)
    first = len(tokens) - 1
    spans: list[tuple[float, float] | None] = [None] * first
    places = [0] * first
    count = 0

    def write(token: int, span: tuple[float, float]) -> None:
        tokens.append(token)
        spans.append(span)
        places.append(count)

    for i, group in enumerate(segments(string.words)):
        if timestamps:
            start = group[0].start
            write(
                time_token(min(start + shift, 1.0) if i == 0 else start + shift), (start - 0.06, start + 0.1)
            )
        for word in group:
            write(word.digit, (word.start, word.end))
            count += 1
        if timestamps:
            write(time_token(group[-1].end + shift), (group[-1].end - 0.1, group[-1].end + 0.06))
    if timestamps and string.cut is not None:
        write(time_token(string.cut + shift), (string.cut - 0.06, string.cut + 0.1))
    last = string.words[-1].end
    write(EOT, (min(last, end - 0.1), min(last + 0.3, end)))
    return Target(tokens, first, spans, places)


def frame_classes(string: String, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Per 20 ms: (0 silence or 1 + digit, running number of the word), IGNORE where not known; int64 (frames,)."""
    classes = np.zeros(frames, np.int64)
    places = np.full(frames, IGNORE, np.int64)
    for i, word in enumerate(string.words):
        a, b = round(word.start * 50), max(round(word.end * 50), round(word.start * 50) + 1)
        classes[a:b] = 1 + word.digit
        places[a:b] = min(i, 79)
        if not word.exact:
            classes[max(a - 2, 0) : a + 2] = classes[b - 2 : b + 2] = IGNORE
    if string.cut is not None:
        classes[round(string.cut * 50) :] = IGNORE
    return classes, places


def earlier_words(string: String, frames: int) -> np.ndarray:
    """Per 20 ms of a word: the digits one and two words before it, 10 for none; int64 (2, frames), IGNORE elsewhere."""
    found = np.full((2, frames), IGNORE, np.int64)
    digits = [10, 10, *(w.digit for w in string.words)]
    for i, word in enumerate(string.words):
        found[:, round(word.start * 50) : round(word.end * 50)] = [[digits[i + 1]], [digits[i]]]
    return found
