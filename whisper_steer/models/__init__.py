"""Checkpoints: where they are on this machine, and how they are loaded."""
