"""``faster_whisper.tokenizer`` under this package's name: its tokenizer."""

from faster_whisper.tokenizer import (
    Tokenizer,
)

__all__ = [
    "Tokenizer",
]
