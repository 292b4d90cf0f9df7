"""openai-whisper's ``whisper.normalizers.basic`` under this package's name: text normalizers of any language."""

from whisper.normalizers.basic import (
    ADDITIONAL_DIACRITICS,
    BasicTextNormalizer,
    remove_symbols,
    remove_symbols_and_diacritics,
)

__all__ = [
    "ADDITIONAL_DIACRITICS",
    "BasicTextNormalizer",
    "remove_symbols",
    "remove_symbols_and_diacritics",
]
