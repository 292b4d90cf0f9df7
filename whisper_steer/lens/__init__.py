"""Lenses: what each block of a Whisper would write, and where its heads look, for a recording or a set of clips."""
