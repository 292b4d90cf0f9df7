"""The systems compared, one small class each. Importing this package registers them all, in the report's order."""

from __future__ import annotations

from . import decoder, gates, ours, steering, stock, text, vad  # noqa: F401  (the order of the report)
from .base import SYSTEMS, Gate, System, choose_systems, register

__all__ = ["SYSTEMS", "Gate", "System", "choose_systems", "register"]
