"""The figures themselves: against jiwer on a whole corpus, openai-whisper's own skip rule, and cases by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path

import jiwer
import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingResult
from whisper.normalizers import EnglishTextNormalizer

from whisper_steer.data.normalize import choose_normalizer, normalize
from whisper_steer.eval import metrics
from whisper_steer.eval.metrics import Output, Window

SHARED = Path(__file__).parents[3] / "shared"


def garble(text: str, rng: random.Random) -> str:
    words = text.lower().split()
    for i in range(len(words)):
        words[i] = rng.choice([words[i]] * 6 + ["", "thank you", "nine"])
    return " ".join(words)


def corpus() -> list[str]:
    manifest = SHARED / "data" / "manifest.jsonl"
    if manifest.is_file():
        rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        return [r["text"] for r in rows if r["dataset"] == "librispeech-test-other"]
    return [
        "MISTER QUILTER IS THE APOSTLE OF THE MIDDLE CLASSES",
        "HE TOLD US IN 20 MINUTES",
        "I DO NOT KNOW",
    ]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # whisper's open word list
def test_wer_of_a_corpus_is_jiwers() -> None:
    rng, clean = random.Random(0), EnglishTextNormalizer()
    references = corpus()
    written = [garble(text, rng) for text in references]
    counts = [metrics.word_counts(r, w, "english") for r, w in zip(references, written, strict=True)]
    expected = jiwer.process_words([clean(r) for r in references], [clean(w) for w in written])
    assert sum(c.substitutions for c in counts if c) == expected.substitutions
    assert sum(c.deletions for c in counts if c) == expected.deletions
    assert sum(c.insertions for c in counts if c) == expected.insertions
    assert sum(c.errors for c in counts if c) / sum(c.words for c in counts if c) == pytest.approx(
        expected.wer
    )


def test_an_emptied_clip_loses_all_its_words() -> None:
    assert metrics.word_counts("one two three", "", "digits") == metrics.WordCounts(3, 0, 3, 0)


def test_chinese_is_counted_in_characters() -> None:
    counted = metrics.word_counts("今天天气很好", "今天天很好吗", "characters")
    assert counted is not None
    assert counted.errors / counted.words == pytest.approx(jiwer.cer("今天天气很好", "今天天很好吗"))


@pytest.mark.parametrize("written", ["one two three", "1 2 3", "123", "One, two. THREE!"])
def test_digit_strings_are_compared_word_by_word(written: str) -> None:
    """Whisper's own normaliser would make one word of "one two three", and a slip in it one error of one."""
    assert choose_normalizer("one two three") == "digits"
    assert normalize(written, "digits") == "one two three"


def test_tags_and_notes_are_not_text() -> None:
    for text in ("[Music]", "(applause)", "♪♪", " [BLANK_AUDIO] ", "...", "<noise>"):
        assert not metrics.has_text(text)
    assert metrics.has_text("[Music] you")


@pytest.mark.parametrize("no_speech_prob", [0.0, 0.59, 0.6, 0.61, 1.0])
@pytest.mark.parametrize("avg_logprob", [-2.0, -1.0, -0.99, 0.0])
def test_fsr_score_is_the_complement_of_openai_whispers_own_rule(
    no_speech_prob: float, avg_logprob: float, tiny_model: whisper.Whisper
) -> None:
    """openai-whisper's real loop is given a window with these scores; what it keeps is what the rule must count."""

    class Scored:
        def __getattr__(self, name: str) -> object:
            return getattr(tiny_model, name)

        def decode(self, mel: torch.Tensor, options: object) -> DecodingResult:
            return DecodingResult(
                audio_features=mel, language="en", tokens=[1770], text=" X", avg_logprob=avg_logprob,
                no_speech_prob=no_speech_prob, temperature=0.0, compression_ratio=1.0,
            )  # fmt: skip

    result = whisper.transcribe(
        Scored(), np.zeros(16000, np.float32), temperature=0.0, fp16=False, language="en"
    )
    output = Output("X", windows=[Window(no_speech_prob, avg_logprob, "X")])
    assert metrics.false_score(output) == bool(result["segments"])


def test_the_three_rates_are_told_apart() -> None:
    dropped = Output("", windows=[Window(0.9, -1.5, "thank you")])
    assert (metrics.false_text(dropped), metrics.false_score(dropped), metrics.false_raw(dropped)) == (
        False, False, True,
    )  # fmt: skip
    silent_but_unsure = Output("", windows=[Window(0.1, -0.2, "")])
    assert (metrics.false_text(silent_but_unsure), metrics.false_score(silent_but_unsure)) == (False, True)
    gated = Output("", windows=[])
    assert not (metrics.false_text(gated) or metrics.false_score(gated) or metrics.false_raw(gated))


def test_f_d_and_c_by_hand() -> None:
    """30 s of noise with 4 invented words: F = 8. A minute of speech with 3 words lost: D = 3. C_2 = 14."""
    invented = metrics.invented_words(Output("Thank you for watching."))
    f = invented / (30 / 60)
    assert metrics.combined_cost(f, 3.0, 2.0) == 14.0
