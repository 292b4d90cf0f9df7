"""The synthetic sounds by family; `whisper_steer.synthetic` is the way in."""
