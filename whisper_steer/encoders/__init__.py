"""Whisper's encoder from outside: hooks, fingerprints, recorded activations."""
