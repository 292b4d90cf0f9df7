"""If these fail, a domain is made of clips of another, or of one data set or speaker alone."""

from pathlib import Path

import numpy as np
import pytest

from whisper_steer.data.clips import Clip, Kind
from whisper_steer.errors import DataError
from whisper_steer.lab.domain_clips import domain_clips, domain_of, spread


def clip(kind: Kind, dataset: str, group: str = "", number: int = 0, voice: bool = False) -> Clip:
    name = f"{dataset}/{group}/{number}"
    return Clip(kind, "test", group, np.zeros(1, np.float32), dataset, id=name, voice=voice)


def test_domains_of_clips() -> None:
    assert domain_of(clip("speech", "any")) == "speech"
    assert domain_of(clip("nonspeech", "instruments")) == "music"
    assert domain_of(clip("nonspeech", "esc50")) == "environment"
    assert domain_of(clip("nonspeech", "esc50", voice=True)) is None
    assert domain_of(clip("recording", "recordings")) is None


def test_every_beginning_holds_all_data_sets_and_groups_evenly() -> None:
    clips = [clip("speech", "big", f"g{i % 4}", i) for i in range(40)] + [clip("speech", "small", "h")]
    order = spread(clips, seed=0)
    assert {c.id for c in order} == {c.id for c in clips}
    assert "small" in {c.dataset for c in order[:2]}
    big = [c.group for c in order if c.dataset == "big"]
    assert all(set(big[i : i + 4]) == {"g0", "g1", "g2", "g3"} for i in range(0, 40, 4))


def test_clips_are_of_one_split_and_as_many_as_asked(manifest: str) -> None:
    chosen = domain_clips([manifest], "test", 2)
    assert [domain_of(c) for c in chosen] == ["speech"] * 2 + ["environment"] * 2
    assert {c.split for c in chosen} == {"test"}


def test_data_without_any_domain_say_so(tmp_path: Path) -> None:
    empty = tmp_path / "manifest.jsonl"
    empty.write_text('{"path": "a.wav", "kind": "nonspeech", "voice": true, "split": "test"}\n')
    with pytest.raises(DataError, match="split 'test': add --data"):
        domain_clips([f"manifest:{empty}"], "test", 2)
