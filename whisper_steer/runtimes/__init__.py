"""Whisper's runtimes, steered: openai-whisper, faster-whisper, transformers."""
