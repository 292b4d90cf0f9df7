"""Steering for a checkpoint that none ships for: fitted once from the calibration pack, then kept in the cache."""

from __future__ import annotations

from pathlib import Path

from whisper.model import Whisper

from whisper_steer.data.pack import load_pack
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.files.cache import cache_folder
from whisper_steer.fit import pipeline
from whisper_steer.fit.workplace import workplace
from whisper_steer.steer import find
from whisper_steer.steer.artifact import check_free


def auto_fit(model: Whisper, name: str) -> Path:
    """The artifact's folder: found if one ships or is cached, else fitted from the pack and cached.

    Takes minutes on a CPU the first time, and where the cached one is damaged. Raises `FitError`.
    """
    fingerprint = encoder_fingerprint(model.encoder)
    found = find.find(fingerprint)
    if found is not None:
        return found
    folder = cache_folder("steering") / f"{Path(name).name}-{fingerprint.removeprefix('sha256:')[:12]}"
    find.clear_damaged(folder)
    check_free(folder)
    with workplace() as work:
        fitted = pipeline.fit(model, load_pack(), work, name=name)
    fitted.info["command"] = f"whisper-steer fit {name}"
    return fitted.save(folder)
