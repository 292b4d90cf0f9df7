"""The line above every result: of which model, steering, audio and machine its figures are."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from whisper_steer.data.clips import Clip
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.steer.artifact import Artifact


def provenance(model: str, encoder: nn.Module, artifact: Artifact | None, clips: Iterable[Clip]) -> str:
    """Model, steering, audio and machine, with what tells each from any other, in one line."""
    steering = "none" if artifact is None else f"`{artifact.name}` ({artifact.digest()})"
    fingerprint = encoder_fingerprint(encoder).removeprefix("sha256:")[:12]
    return (
        f"Model `{Path(model).name}` (encoder {fingerprint}); steering {steering}; "
        f"audio {audio(clips)}; {machine()}."
    )


def audio(clips: Iterable[Clip]) -> str:
    """How many clips, and 12 hex digits of their kinds, data sets, names and seconds (not samples)."""
    named = sorted([c.kind, c.split, c.dataset, c.id, round(c.seconds or 0.0, 2)] for c in clips)
    return f"{len(named)} clips ({hashlib.sha256(json.dumps(named).encode()).hexdigest()[:12]})"


def machine() -> str:
    """Processor, cores, torch and its threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, torch {torch.__version__}, {torch.get_num_threads()} threads"


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return " ".join(found[1].split()) if found else platform.processor() or platform.machine()
