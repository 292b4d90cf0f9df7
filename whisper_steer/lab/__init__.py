"""The laboratory: what was done to believe in features, as commands on any Whisper or HuBERT checkpoint and any audio.

Imports the rest of the package downward only, and no runtime.
"""
