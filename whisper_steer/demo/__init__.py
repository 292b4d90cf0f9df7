"""The demonstration: a recording with long pauses, as stock Whisper and as steered Whisper write it."""
