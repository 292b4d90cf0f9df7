"""Steering written into checkpoints."""
