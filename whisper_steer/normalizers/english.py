"""openai-whisper's ``whisper.normalizers.english`` under this package's name: text normalizers of English."""

from whisper.normalizers.english import (
    EnglishNumberNormalizer,
    EnglishSpellingNormalizer,
    EnglishTextNormalizer,
)

__all__ = [
    "EnglishNumberNormalizer",
    "EnglishSpellingNormalizer",
    "EnglishTextNormalizer",
]
