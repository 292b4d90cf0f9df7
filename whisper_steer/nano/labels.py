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
SEGMENT_PAUSE, SEGMENT_WORDS = 0.4, 5
"""A longer pause starts a new segment, and so does a word that would be one too many."""
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
    known: list[tuple[float, float] | None]
    """For every output token, the seconds around the last timestamp written before it; `spans` where there is none."""


def segments(words: list[Placed]) -> list[list[Placed]]:
    """Split words at pauses longer than SEGMENT_PAUSE, and after SEGMENT_WORDS words."""
    groups: list[list[Placed]] = [[]]
    for word in words:
        last = groups[-1]
        if last and (len(last) == SEGMENT_WORDS or word.start - last[-1].end > SEGMENT_PAUSE):
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
    known: list[tuple[float, float] | None] = [None] * first
    now: float | None = None

    def write(token: int, span: tuple[float, float]) -> None:
        nonlocal now
        tokens.append(token)
        spans.append(span)
        known.append(span if now is None else (now - 0.03, now + 0.03) if now >= 0 else None)
        if token >= FIRST_TIME:
            now = (token - FIRST_TIME) / 50 - shift

    for i, group in enumerate(segments(string.words)):
        if timestamps:
            start = group[0].start
            write(
                time_token(min(start + shift, 1.0) if i == 0 else start + shift), (start - 0.06, start + 0.1)
            )
        for word in group:
            write(word.digit, (word.start, word.end))
        if timestamps:
            write(time_token(group[-1].end + shift), (group[-1].end - 0.1, group[-1].end + 0.06))
    if timestamps and string.cut is not None:
        write(time_token(string.cut + shift), (string.cut - 0.06, string.cut + 0.1))
    last = string.words[-1].end
    write(EOT, (min(last, end - 0.1), min(last + 0.3, end)))
    return Target(tokens, first, spans, known)


def frame_classes(string: String, frames: int) -> np.ndarray:
    """Per 20 ms: 0 for silence or 1 + digit, IGNORE where not known; int64 (frames,)."""
    classes = np.zeros(frames, np.int64)
    for word in string.words:
        a, b = round(word.start * 50), max(round(word.end * 50), round(word.start * 50) + 1)
        classes[a:b] = 1 + word.digit
        if not word.exact:
            classes[max(a - 2, 0) : a + 2] = classes[b - 2 : b + 2] = IGNORE
    if string.cut is not None:
        classes[round(string.cut * 50) :] = IGNORE
    return classes


def neighbours(string: String, frames: int) -> np.ndarray:
    """What is said around each 20 ms frame; int64 (5, frames), 10 for no word, IGNORE where not known.

    Rows: the digits one and two words before the frame's word; that of the next word to start (in silence too), and of
    the one after it; the number of words since the last pause longer than SEGMENT_PAUSE.
    """
    found = np.full((5, frames), IGNORE, np.int64)
    digits = [10, 10, *(w.digit for w in string.words), 10, 10]
    from_, run = 0, 0
    for i, word in enumerate(string.words):
        a, b = round(word.start * 50), round(word.end * 50)
        far = i > 0 and word.start - string.words[i - 1].end > SEGMENT_PAUSE
        run = 0 if far or i == 0 else run + 1
        found[2:4, from_:a] = [[digits[i + 2]], [digits[i + 3]]]
        found[[0, 1, 4], a:b] = [[digits[i + 1]], [digits[i]], [min(run, 10)]]
        from_ = a
    if string.cut is None:
        found[2:4, from_:] = 10
    else:
        found[3][found[3] == 10] = IGNORE
        found[:, round(string.cut * 50) :] = IGNORE
    return found


def next_start(string: String, frames: int) -> np.ndarray:
    """Per 20 ms frame, the frame at which the next word starts; float32 (frames,), NaN after the last."""
    found = np.full(frames, np.nan, np.float32)
    for word in reversed(string.words):
        found[: max(round(word.start * 50), 0)] = word.start * 50
    return found
