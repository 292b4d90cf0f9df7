"""Text normalisation before counting words. Which one applies is a property of the clip's reference text.

- ``english``: Whisper's `EnglishTextNormalizer`, as published WERs use it. It drops [tags] and (asides).
- ``digits``: for references made of digit words only. Whisper's normaliser would merge "one two three" into "123",
  one word; here "123", "1 2 3" and "one two three" all become three words.
- ``basic``: Whisper's `BasicTextNormalizer`, for other languages.
- ``characters``: the same with every character a word, for languages written without spaces: WER becomes CER.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache

from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
UNSPACED_LANGUAGES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})
NORMALIZERS = ("english", "digits", "basic", "characters")

_TAG = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|[♪♫]+")


def choose_normalizer(text: str | None, language: str = "en") -> str:
    """The normaliser for a reference text (None: non-speech, or no transcript)."""
    if language in UNSPACED_LANGUAGES:
        return "characters"
    if language != "en":
        return "basic"
    words = (text or "").lower().split()
    return "digits" if words and all(word in DIGITS for word in words) else "english"


def normalize(text: str, normalizer: str = "english") -> str:
    """Normalised words separated by single spaces. Tags such as [Music] and note signs never count as text."""
    return " ".join(_function(normalizer)(_TAG.sub(" ", text)).split())


def _digits(text: str) -> str:
    spelled = re.sub(r"\d", lambda match: f" {DIGITS[int(match.group())]} ", text.lower())
    return re.sub(r"[^\w\s']", " ", spelled.replace("-", " "))


@cache
def _function(name: str) -> Callable[[str], str]:
    functions: dict[str, Callable[[], Callable[[str], str]]] = {
        "english": EnglishTextNormalizer,
        "digits": lambda: _digits,
        "basic": BasicTextNormalizer,
        "characters": lambda: BasicTextNormalizer(split_letters=True),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # openai-whisper leaves its word list open
        return functions[name]()
