"""openai-whisper's ``whisper.tokenizer`` under this package's name: the tokenizer and the languages."""

from whisper.tokenizer import (
    LANGUAGES,
    TO_LANGUAGE_CODE,
    Tokenizer,
    get_encoding,
    get_tokenizer,
)

__all__ = [
    "LANGUAGES",
    "TO_LANGUAGE_CODE",
    "Tokenizer",
    "get_encoding",
    "get_tokenizer",
]
