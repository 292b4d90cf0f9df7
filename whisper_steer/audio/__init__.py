"""A recording on its way to the encoder: samples, then the log-mel spectrogram."""
