"""The documentation's example of a new system must run as it is printed, or nobody adds one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import whisper
from whisper.model import Whisper

from whisper_steer.eval.session import Session
from whisper_steer.eval.systems import SYSTEMS, Gate

README = Path(__file__).parents[2] / "eval" / "README.md"


def test_the_example_system_runs_and_is_short(tiny_model: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.splitlines()) < 40
    monkeypatch.setattr("whisper_steer.eval.systems.base.SYSTEMS", dict(SYSTEMS))
    scope: dict[str, type[Gate]] = {}
    exec(compile(example, "example", "exec"), scope)
    gate, session = scope["FlatnessGate"](), Session(tiny_model)
    tone, noise = np.sin(np.arange(16000) * 0.3), np.random.default_rng(0).standard_normal(16000)
    flatness = [
        gate.evidence(
            session, whisper.pad_or_trim(whisper.log_mel_spectrogram(x.astype(np.float32) * 0.1), 3000)
        )
        for x in (tone, noise)
    ]
    assert flatness[0] > flatness[1] + 10


def test_the_documented_systems_and_data_exist() -> None:
    from whisper_steer.data.load import LOADERS

    text = README.read_text(encoding="utf-8")
    assert set(LOADERS) == set(re.findall(r"`([a-z0-9]+)(?::[A-Z]+)?`(?=[,| ])", text)) & set(LOADERS)
