"""If these fail, a curve is of other edits, other clips or another run than it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench import corpus
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.data.load import load
from whisper_steer.errors import UsageError
from whisper_steer.eval.curves.bench import SAMPLE_LEN, Bench, Intervention, pick
from whisper_steer.eval.curves.greedy import Greedy
from whisper_steer.models.hooks import hooked


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    return pick(load(f"manifest:{corpus(tmp_path_factory.mktemp('corpus'))}"), "choose", 2)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


def louder(h: torch.Tensor) -> torch.Tensor:
    """Every other frame, along one dimension."""
    h = h.clone()
    h[:, ::2, 3] += 9.0
    return h


def turned(h: torch.Tensor) -> torch.Tensor:
    return h.flip(-1)


def test_what_is_measured_is_a_hooked_pass(tiny_model: Whisper, clips: list[Clip], tmp_path: Path) -> None:
    """At several points at once, in the encoder's order whatever the order they are given in."""
    bench = Bench(tiny_model, clips, batch=2)
    bench.measure([Intervention("both", [("ln_post", turned), ("blocks.0", louder)], 2.0, "m")], tmp_path)
    written = {(row["intervention"], row["mode"], row["clip"]): row for row in rows(tmp_path)}
    assert len(written) == len(rows(tmp_path)) == 2 * 2 * 4
    for name, edits in {"stock": [], "both": [("blocks.0", louder), ("ln_post", turned)]}.items():
        for clip in clips:
            with hooked(tiny_model.encoder, *edits), torch.no_grad():
                features = tiny_model.encoder(window_mel(clip.samples())[None])
            (expected,) = Greedy(tiny_model, "stock", torch.float32)(features, SAMPLE_LEN[clip.kind])
            row = written[name, "stock", clip.id]
            assert row["text"] == expected.text
            assert row["avg_logprob"] == pytest.approx(expected.avg_logprob, abs=1e-4)
            assert (row["group"], row["strength"]) == (("m", 2.0) if name == "both" else ("stock", 0.0))
    texts = {name: [written[name, "stock", clip.id]["text"] for clip in clips] for name in ("stock", "both")}
    assert texts["stock"] != texts["both"]


def test_a_killed_run_goes_on(tiny_model: Whisper, clips: list[Clip], tmp_path: Path) -> None:
    """Half-written rows go, whole ones are not measured again."""
    bench = Bench(tiny_model, clips)
    first = Intervention("first", [("blocks.1", louder)])
    bench.measure([first], tmp_path, ["stock"])
    whole = (tmp_path / "rows.jsonl").read_text()
    (tmp_path / "rows.jsonl").write_text(whole[:-30])

    def never(h: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    stock_only = [Intervention("second", [("blocks.0", louder)])]
    bench.measure([first, *stock_only], tmp_path, ["stock"])
    found = rows(tmp_path)
    assert sorted(row["intervention"] for row in found) == ["first"] * 4 + ["second"] * 4 + ["stock"] * 4
    assert {json.dumps(r) for r in map(json.loads, whole.splitlines())} <= {json.dumps(r) for r in found}
    bench.measure([Intervention("first", [("blocks.1", never)])], tmp_path, ["stock"])
    assert rows(tmp_path) == found


def test_what_would_mix_up_runs_is_refused(tiny_model: Whisper, clips: list[Clip], tmp_path: Path) -> None:
    bench = Bench(tiny_model, clips)
    twice = [Intervention("same", [("ln_post", louder)]), Intervention("same", [("ln_post", turned)])]
    with pytest.raises(UsageError, match="called same"):
        bench.measure(twice, tmp_path)
    with pytest.raises(UsageError, match=r"blocks\.7.*ln_post"):
        bench.measure([Intervention("x", [("blocks.7", louder)])], tmp_path)
    (tmp_path / "clips.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match="other clips"):
        bench.measure([], tmp_path)


def test_clips_without_voices_and_with_references() -> None:
    def clip(name: str, kind: Any, **more: Any) -> Clip:
        shared = {"text": "a word", "language": "en"} if kind == "speech" else {}
        return Clip(kind, "choose", name, np.zeros(160, np.float32), **{"id": name, **shared, **more})

    clips = [
        clip("hum", "nonspeech"),
        clip("choir", "nonspeech", voice=True),
        clip("storm", "nonspeech", seconds=20.0),
        clip("said", "speech"),
        clip("unwritten", "speech", text=None),
        clip("dicho", "speech", language="es"),
        *(clip(f"digit{i}", "speech", dataset="digits") for i in range(5)),
    ]
    assert {c.id for c in pick(clips, "choose", 9)} >= {"hum", "said", "digit0"}
    assert len(pick(clips, "choose", 9)) == 7
    limited = pick(clips, "choose", 2)
    assert {c.dataset for c in limited if c.kind == "speech"} == {"", "digits"}  # in turn
    assert pick(clips, "test", 2) == []
