"""If these fail, a folder used twice mixes two fits, a killed fit begins anew, or a full disk ends in a bus error."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from whisper.model import AudioEncoder, Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.encoders import record as module
from whisper_steer.encoders.prefix import has_fast_bfloat16
from whisper_steer.encoders.record import Activations, record
from whisper_steer.fit.windows import Window
from whisper_steer.models.hooks import read_activations


def made(seed: int, n: int = 3) -> Iterator[Window]:
    rng = np.random.default_rng(seed)
    for i in range(n):
        samples = np.zeros(480000, np.float32)
        samples[:32000] = rng.normal(size=32000) * 0.1
        yield Window(samples, np.full(1500, i, np.int8), "speech" if i % 2 else "nonspeech", f"{seed}", 100)


def run(
    encoder: nn.Module, folder: Path, seed: int = 0, n: int = 3, point: str = "ln_post", windows: Any = None
) -> Activations:
    return record(encoder, windows or made(seed, n), n, point, 80, folder, "fit", ["seed", seed])


def same(a: Activations, b: Activations) -> bool:
    return a.digest() == b.digest() and np.array_equal(a.hidden, b.hidden) and a.condition == b.condition


def never() -> Iterator[Window]:
    raise AssertionError("a window was asked for again")
    yield


def other_encoder(n_state: int) -> AudioEncoder:
    torch.manual_seed(n_state)
    return AudioEncoder(80, 1500, n_state, 2, 2).eval()


def test_what_is_kept_is_what_the_encoder_gives_and_is_not_made_twice(
    tiny_model: Whisper, tmp_path: Path
) -> None:
    first = run(tiny_model.encoder, tmp_path)
    mel = window_mel(next(made(0)).samples[:32000], 80)
    expected = read_activations(tiny_model.encoder, mel[None], ["ln_post"])["ln_post"][0].half().numpy()
    np.testing.assert_allclose(first.hidden[0], expected, atol=0.05 if has_fast_bfloat16() else 1e-3)
    assert same(first, run(tiny_model.encoder, tmp_path, windows=never()))


def test_another_fit_in_the_same_folder_gets_its_own(tiny_model: Whisper, tmp_path: Path) -> None:
    """Other data, another checkpoint, another hook point, another width, another number of windows."""
    first = run(tiny_model.encoder, tmp_path / "shared")
    others: list[dict[str, Any]] = [
        {"encoder": tiny_model.encoder, "seed": 1},
        {"encoder": tiny_model.encoder, "point": "blocks.0"},
        {"encoder": tiny_model.encoder, "n": 2},
        {"encoder": other_encoder(32)},
        {"encoder": other_encoder(16)},
    ]
    for i, other in enumerate(others):
        assert same(run(**other, folder=tmp_path / "shared"), run(**other, folder=tmp_path / f"{i}"))
    assert same(first, run(tiny_model.encoder, tmp_path / "shared", windows=never()))


def test_a_killed_recording_goes_on_where_it_was(tiny_model: Whisper, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def killed() -> Iterator[Window]:
        for i, window in enumerate(made(0, 5)):
            if i == 3:
                raise Killed
            yield window

    with pytest.raises(Killed):
        run(tiny_model.encoder, tmp_path / "killed", n=5, windows=killed())
    passes: list[int] = []
    handle = tiny_model.encoder.blocks[0].register_forward_hook(
        lambda _m, args, _o: passes.append(len(args[0]))
    )
    resumed = run(tiny_model.encoder, tmp_path / "killed", n=5)
    handle.remove()
    assert passes == [2, 1]
    assert same(resumed, run(tiny_model.encoder, tmp_path / "whole", n=5))


@pytest.mark.parametrize("damage", ["cut", "gone", "rubbish"])
def test_files_that_are_not_as_they_were_left_are_made_anew(
    tiny_model: Whisper, tmp_path: Path, damage: str
) -> None:
    first = run(tiny_model.encoder, tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "damaged")
    (hidden,) = (tmp_path / "damaged").glob("*.hidden")
    if damage == "cut":
        os.truncate(hidden, 1000)
    elif damage == "gone":
        hidden.unlink()
    else:
        hidden.with_suffix(".json").write_text('[{"con')
    assert same(first, run(tiny_model.encoder, tmp_path / "damaged"))


def test_a_disk_without_room_is_told_before_the_work(
    tiny_model: Whisper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, size: int) -> None:
        raise OSError(errno.ENOSPC, f"No space left on device, {size} needed", file.name)

    monkeypatch.setattr(module, "allocate", full)
    with pytest.raises(OSError, match=f"No space left on device, {3 * 1500 * 32 * 2} needed"):
        run(tiny_model.encoder, tmp_path, windows=never())


def test_room_is_there_before_the_first_window(tiny_model: Whisper, tmp_path: Path) -> None:
    """A sparse file on a full disk ends the process with SIGBUS."""

    def looking() -> Iterator[Window]:
        (hidden,) = tmp_path.glob("*.hidden")
        assert hidden.stat().st_blocks * 512 >= 3 * 1500 * 32 * 2
        yield from made(0)

    run(tiny_model.encoder, tmp_path, windows=looking())


def test_a_clip_is_told_by_what_it_holds(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    clip = Clip("speech", "fit", "a", noise)
    assert clip.identity() == Clip("speech", "fit", "a", noise.copy()).identity()
    assert clip.identity() != Clip("speech", "fit", "a", noise[::-1]).identity()
    assert clip.identity() != Clip("nonspeech", "fit", "a", noise).identity()
    file = Clip("speech", "fit", "a", tmp_path / "a.wav")
    missing = file.identity()
    (tmp_path / "a.wav").write_bytes(b"one")
    os.utime(tmp_path / "a.wav", (1, 1))
    before = file.identity()
    (tmp_path / "a.wav").write_bytes(b"two")
    assert len({str(identity) for identity in (missing, before, file.identity())}) == 3
    assert file.identity() == file.identity()
