"""Artifacts that travel: to the hub, from it, and as a folder with a card for people."""
