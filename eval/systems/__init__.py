"""The systems compared, one small class each. Importing this package registers them all, in the report's order."""

# ruff: noqa: I001

from __future__ import annotations

from . import stock, gates, vad, text, decoder, steering, ours  # noqa: F401
from .base import SYSTEMS, Gate, System, choose_systems, register
from .spans import Spans

__all__ = ["SYSTEMS", "Gate", "Spans", "System", "choose_systems", "register"]
