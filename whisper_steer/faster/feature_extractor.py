"""``faster_whisper.feature_extractor`` under this package's name: its log-mel spectrogram."""

from faster_whisper.feature_extractor import (
    FeatureExtractor,
)

__all__ = [
    "FeatureExtractor",
]
