"""openai-whisper's ``whisper.normalizers`` under this package's name: text normalizers."""

from whisper.normalizers import (
    BasicTextNormalizer,
    EnglishTextNormalizer,
)

__all__ = [
    "BasicTextNormalizer",
    "EnglishTextNormalizer",
]
