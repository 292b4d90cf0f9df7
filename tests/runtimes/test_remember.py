"""If these fail, text is no longer stock's to the bit, or a window is encoded again for every temperature."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingResult
from whisper.model import Whisper

import whisper_steer
from whisper_steer.runtimes.remember import Remembering


@pytest.fixture
def passes(tiny_model: Whisper) -> Any:
    """How often each block of the encoder ran: indices, as they come."""
    found: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *_, i=i: found.append(i))
        for i, block in enumerate(tiny_model.encoder.blocks)
    ]
    yield found
    for hook in hooks:
        hook.remove()


OPTIONS: dict[str, Any] = {"language": "en", "fp16": False, "sample_len": 12}


@pytest.mark.parametrize("seconds", [4, 30])
def test_one_window_is_one_pass(
    seconds: int,
    tiny_model: Whisper,
    artifacts: dict[str, Path],
    passes: list[int],
    rng: np.random.Generator,
) -> None:
    """Three temperatures: every block once to listen, from the same embedding once to decode, and stock's result."""
    audio = rng.standard_normal(seconds * 16000).astype(np.float32) * 0.1
    options = {**OPTIONS, "temperature": (0.0, 0.0, 0.0), "logprob_threshold": 0.0}
    found = whisper_steer.transcribe(tiny_model, audio, steering=artifacts["shut"], **options)
    windows = {segment["seek"] for segment in found["segments"]}
    assert len(passes) == 2 + 2 * max(1, len(windows))
    stock = whisper.transcribe(tiny_model, audio, **options)
    for mine, theirs in zip(found["segments"], stock["segments"], strict=True):
        assert {key: value for key, value in mine.items() if key != "steering"} == theirs


def test_the_next_recording_is_not_taken_for_the_last(
    tiny_model: Whisper, artifacts: dict[str, Path], rng: np.random.Generator
) -> None:
    """What listening kept goes with its recording."""
    for _ in range(2):
        audio = rng.standard_normal(64000).astype(np.float32) * 0.1
        found = whisper_steer.transcribe(
            tiny_model, audio, steering=artifacts["shut"], temperature=0.0, **OPTIONS
        )
        assert found["text"] == whisper.transcribe(tiny_model, audio, temperature=0.0, **OPTIONS)["text"]
    assert torch.is_grad_enabled()


class _Decoded:
    """`whisper.decode` that writes one token behind a prompt and five without one."""

    def __init__(self) -> None:
        self.prompts: list[Any] = []

    def __call__(self, model: Whisper, features: torch.Tensor, options: Any) -> DecodingResult:
        self.prompts.append(options.prompt)
        written = 1 if options.prompt else 5
        return DecodingResult(
            features, "en", tokens=[10] * written, avg_logprob=-1.0 if options.prompt else self.alone
        )

    alone = -0.5


@pytest.mark.parametrize(
    ("seconds", "prompt", "alone", "decoded", "kept"),
    [
        (6, [1, 2], -0.5, 2, 5),  # one token in six seconds: without the prompt it is likelier
        (6, [1, 2], -1.5, 2, 1),  # less likely: stock's stays
        (1, [1, 2], -0.5, 1, 1),  # a word is a word
        (6, [], -0.5, 1, 5),  # no prompt to blame
    ],
)
def test_a_prompt_that_hides_a_sentence_is_dropped(
    seconds: int,
    prompt: list[int],
    alone: float,
    decoded: int,
    kept: int,
    tiny_model: Whisper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dictated "8" must not make an "8" of every sentence behind it."""
    fake = _Decoded()
    fake.alone = alone
    monkeypatch.setattr(whisper, "decode", fake)
    mel = torch.ones(80, 3000)
    mel[:, seconds * 100 :] = 0
    options = whisper.DecodingOptions(prompt=prompt, fp16=False)
    found = Remembering(tiny_model, mend_prompts=True).decode(mel, options)
    assert (len(fake.prompts), len(found.tokens)) == (decoded, kept)
    fake.prompts.clear()
    assert len(Remembering(tiny_model).decode(mel, options).tokens) == (1 if prompt else 5)
    assert len(fake.prompts) == 1
