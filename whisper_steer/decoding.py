"""openai-whisper's ``whisper.decoding`` under this package's name: one window's decoding, unsteered."""

from whisper.decoding import (
    ApplyTimestampRules,
    BeamSearchDecoder,
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    GreedyDecoder,
    Inference,
    LogitFilter,
    MaximumLikelihoodRanker,
    PyTorchInference,
    SequenceRanker,
    SuppressBlank,
    SuppressTokens,
    TokenDecoder,
    decode,
    detect_language,
)

__all__ = [
    "ApplyTimestampRules",
    "BeamSearchDecoder",
    "DecodingOptions",
    "DecodingResult",
    "DecodingTask",
    "GreedyDecoder",
    "Inference",
    "LogitFilter",
    "MaximumLikelihoodRanker",
    "PyTorchInference",
    "SequenceRanker",
    "SuppressBlank",
    "SuppressTokens",
    "TokenDecoder",
    "decode",
    "detect_language",
]
