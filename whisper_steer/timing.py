"""openai-whisper's ``whisper.timing`` under this package's name: word timestamps."""

from whisper.timing import (
    WordTiming,
    add_word_timestamps,
    backtrace,
    dtw,
    dtw_cpu,
    dtw_cuda,
    find_alignment,
    median_filter,
    merge_punctuations,
)

__all__ = [
    "WordTiming",
    "add_word_timestamps",
    "backtrace",
    "dtw",
    "dtw_cpu",
    "dtw_cuda",
    "find_alignment",
    "median_filter",
    "merge_punctuations",
]
