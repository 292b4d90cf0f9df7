"""If these fail, the simulation draws from other speech than was recorded, or from speakers the gate was fitted on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.eval.promise.__main__ import promise
from whisper_steer.eval.promise.record import MOST_OF_A_SPEAKER, Recorded, held_out, load, save
from whisper_steer.gate.strata import Utterance


def recorded(rng: np.random.Generator) -> list[Recorded]:
    found = []
    for speaker in range(24):
        for clip in range(4 if speaker < 12 else 1):
            language = "en" if speaker % 4 else "fr"
            for strata in (("clean", f"language {language}"), ("noisy",), ("far",)):
                steps = (5 - len(strata) + rng.normal(size=12)).astype(np.float32)
                spoken = Utterance(f"d/{speaker}", strata, steps)
                found.append(Recorded(spoken, "d", "test", f"{speaker}-{clip}"))
    return found


def test_what_was_recorded_comes_back_and_makes_the_tables(tmp_path: Path) -> None:
    made = recorded(np.random.default_rng(0))
    path = tmp_path / "evidence.npz"
    save(made, {"model": "tiny", "threshold": 1.0, "promise": 0.003}, path)
    about, back = load(path)
    assert about["model"] == "tiny" and len(back) == len(made)
    for first, second in zip(made, back, strict=True):
        assert (first.clip, first.utterance.strata) == (second.clip, second.utterance.strata)
        np.testing.assert_array_equal(first.utterance.heard, second.utterance.heard)
    done = CliRunner().invoke(promise, ["simulate", str(path), "--divisions", "20"])
    assert done.exit_code == 0, done.output
    for row in ("| clean | 24 | 60 | 5 % | ", "| noisy | 12 | 48 | ", "| far | 5 % | ", "refused: too few"):
        assert row in done.output
    missing = CliRunner().invoke(promise, ["simulate", str(tmp_path / "none.npz")])
    assert missing.exit_code == 1 and "run: record" in missing.output
    (tmp_path / "rubbish.npz").write_text("rubbish")
    with pytest.raises(DataError):
        load(tmp_path / "rubbish.npz")


def test_speakers_of_whom_something_was_fitted_are_left_out_and_nobody_has_too_many() -> None:
    def clip(split: str, speaker: str, i: int) -> Clip:
        return Clip("speech", split, speaker, np.zeros(1, np.float32), "d", id=f"{split}{speaker}{i}")  # type: ignore[arg-type]

    clips = [clip("fit", "known", 0), clip("test", "known", 1)]
    clips += [clip("choose", "new", i) for i in range(2 * MOST_OF_A_SPEAKER)] + [clip("test", "other", 0)]
    speakers = [each.group for each in held_out(clips)]
    assert sorted(set(speakers)) == ["new", "other"]
    assert speakers.count("new") == MOST_OF_A_SPEAKER
