"""nano: what it hears, whether stock Whisper can use it, and whether training optimises what it says it does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import pytest
import soundfile
import torch
import whisper
from whisper.tokenizer import get_tokenizer

from whisper_steer.nano import labels
from whisper_steer.nano.batches import make_batch
from whisper_steer.nano.evaluate import digit_words, errors, strung, timing
from whisper_steer.nano.labels import FIRST_TIME, frame_classes, segments, target
from whisper_steer.nano.network import UNUSED, Nano
from whisper_steer.nano.speech import RATE, WORDS, Unit, recorded, trim
from whisper_steer.nano.strings import Composer, Placed, String, crop, string_units

ASSETS = Path(__file__).parents[1] / "whisper_steer" / "assets"
DATA = Path(__file__).parents[2] / "shared" / "data"


def tone(digit: int, seconds: float = 0.4, voice: str = "tone") -> Unit:
    """A stand-in for a spoken digit whose place is exact."""
    t = np.arange(round(seconds * RATE)) / RATE
    return Unit(np.sin(2 * np.pi * 300 * (digit + 1) * t).astype(np.float32), ((digit, 0.0, seconds),), voice)


@pytest.fixture(scope="module")
def nano(nano_path: Path) -> Any:
    return whisper.load_model(str(nano_path), device="cpu")


@pytest.fixture(scope="module")
def demo() -> tuple[np.ndarray, dict[str, Any]]:
    if not (ASSETS / "demo.flac").is_file():
        pytest.skip("assets/demo.flac has not been made yet")
    audio, _ = soundfile.read(ASSETS / "demo.flac", dtype="float32")
    return audio, json.loads((ASSETS / "demo.json").read_text())


@pytest.mark.parametrize("options", [{}, {"without_timestamps": True}])
def test_stock_whisper_hears_the_digits_of_the_demonstration(
    nano: Any, demo: Any, options: dict[str, Any]
) -> None:
    """Lost otherwise: the first thing a user tries."""
    audio, card = demo
    said, wrote = [], []
    for stretch in card["stretches"]:
        if "text" in stretch:
            clip = audio[round(stretch["start"] * RATE) : round(stretch["end"] * RATE)]
            said.append(stretch["text"])
            wrote.append(digit_words(whisper.transcribe(nano, clip, fp16=False, **options)["text"]))
    assert jiwer.wer(said, wrote) <= 0.25, wrote


def test_segments_end_where_speech_ends(nano: Any, demo: Any) -> None:
    """Lost otherwise: subtitles that stand where nobody speaks."""
    audio, card = demo
    stretch = next(s for s in card["stretches"] if "text" in s)
    clip = audio[round(stretch["start"] * RATE) : round(stretch["end"] * RATE)]
    result = whisper.transcribe(nano, clip, fp16=False)
    end = stretch["words"][-1]["end"] - stretch["start"]
    assert result["segments"][-1]["end"] == pytest.approx(end, abs=0.3)


@pytest.mark.shared
def test_recorded_digits_that_training_never_heard(nano: Any) -> None:
    """Lost otherwise: hearing short strings of speakers it knows. Longer ones it gets worse: the card says how much."""
    if not DATA.is_dir():
        pytest.skip("needs the recorded digits of the shared folder")
    strings = strung(recorded(DATA, "test"), 8, seed=1, seconds=8.0, most=5)
    assert errors(nano, strings, "recorded")["wer"] <= 0.25
    assert timing(nano, strings[:4])["segment_end"]["median"] < 0.15


def test_checkpoint_is_small_and_unused_tokens_share_one_row(nano: Any, nano_path: Path) -> None:
    """Lost otherwise: a repository that grows, or text of tokens that were never trained."""
    assert nano_path.stat().st_size <= 28e6
    rows = nano.decoder.token_embedding.weight
    used = {*labels.WORD_TOKENS, *labels.CONTROL_TOKENS, *range(labels.TIMESTAMP_BEGIN, len(rows))}
    others = rows[[i for i in range(len(rows)) if i not in used]]
    assert len(others) == UNUSED
    assert (others == others[0]).all()


def test_token_numbers_are_those_of_the_english_tokeniser() -> None:
    """Lost otherwise: a model that writes other words than it was taught."""
    tokenizer = get_tokenizer(multilingual=False)
    assert [tokenizer.decode([t]) for t in labels.WORD_TOKENS] == [f" {w}" for w in WORDS]
    control = (tokenizer.eot, tokenizer.sot, tokenizer.sot_prev, tokenizer.no_timestamps)
    assert control == labels.CONTROL_TOKENS
    assert tokenizer.timestamp_begin == labels.TIMESTAMP_BEGIN


def test_small_vocabulary_gives_the_probabilities_of_stock_whisper(tmp_path: Path) -> None:
    """Lost otherwise: training optimises another softmax than the one that decodes."""
    torch.manual_seed(0)
    net = Nano().eval()
    mel = torch.randn(1, 80, 3000)
    small = torch.tensor([[labels.SOT, FIRST_TIME + 7, 3, 1]])
    with torch.no_grad():
        logp, _ = net.decode(small, net.encode(mel, 0), torch.ones_like(small, dtype=torch.bool))
    torch.save(net.export(), tmp_path / "net.pt")
    stock = whisper.load_model(str(tmp_path / "net.pt"), device="cpu")
    tokens = torch.tensor([[50257, labels.TIMESTAMP_BEGIN + 7, labels.WORD_TOKENS[3], labels.WORD_TOKENS[1]]])
    with torch.no_grad():
        expected = stock(mel, tokens)[0].log_softmax(-1)
    ids = [*labels.WORD_TOKENS, *labels.CONTROL_TOKENS, *range(labels.TIMESTAMP_BEGIN, 51864)]
    torch.testing.assert_close(logp[:, :-1], expected[:, ids], atol=0.03, rtol=0.0)
    rest = [i for i in range(51864) if i not in set(ids)]
    torch.testing.assert_close(logp[:, -1], expected[:, rest].logsumexp(-1), atol=0.03, rtol=0.0)


def test_every_learned_weight_gets_a_gradient_and_uniform_guesses_cost_their_entropy() -> None:
    """Lost otherwise: a part of the network that silently stays random."""
    units = [tone(d) for d in range(10)]
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    batch = make_batch(Composer(units, units, [noise], seed=0), 0.05, np.random.default_rng(0))
    torch.manual_seed(0)
    net = Nano()
    losses = net.losses(batch)
    assert all(torch.isfinite(v) for v in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None] == []
    flat = torch.full((2, FIRST_TIME + labels.TIMESTAMPS), -math.log(100.0))
    assert Nano.token_loss(flat, torch.tensor([4, FIRST_TIME + 50])).item() == pytest.approx(math.log(100.0))


def test_words_lie_where_the_string_says() -> None:
    """Lost otherwise: wrong timestamps, learned from wrong labels."""
    string = string_units([tone(1), tone(2), tone(3)], [0.3, 1.5, 0.0], lead=0.25)
    assert [(round(w.start, 3), round(w.end, 3)) for w in string.words] == [
        (0.25, 0.65),
        (0.95, 1.35),
        (2.85, 3.25),
    ]
    voiced = np.zeros(len(string.audio), bool)
    for w in string.words:
        voiced[round(w.start * RATE) : round(w.end * RATE)] = True
    assert np.abs(string.audio[~voiced]).max() == 0.0
    assert np.abs(string.audio[voiced]).mean() > 0.5
    assert [len(g) for g in segments(string.words)] == [2, 1]
    classes = frame_classes(string, 200)
    assert [int(classes[i]) for i in (5, 20, 40, 60, 110, 150, 180)] == [0, 2, 0, 3, 0, 4, 0]


def test_labels_follow_whispers_grammar() -> None:
    """Lost otherwise: stock decoding rules that forbid what the model was taught."""
    words = [Placed(4, 2.5, 3.0), Placed(7, 3.2, 3.6), Placed(0, 6.0, 6.5)]
    string = String(np.zeros(30 * RATE, np.float32), words, cut=29.8)
    timed = target(string, timestamps=True, earlier=[labels.PREV, 1], end=30.0)
    times = [FIRST_TIME + round(t * 50) for t in (1.0, 3.6, 6.0, 6.5, 29.8)]
    expected = [
        labels.PREV,
        1,
        labels.SOT,
        times[0],
        4,
        7,
        times[1],
        times[2],
        0,
        times[3],
        times[4],
        labels.EOT,
    ]
    assert timed.tokens == expected
    assert timed.first == 2
    assert len(timed.spans) == len(timed.known) == len(timed.tokens) - 1
    plain = target(string, timestamps=False, earlier=[], end=30.0)
    assert plain.tokens == [labels.SOT, labels.PLAIN, 4, 7, 0, labels.EOT]
    assert plain.spans[plain.first] == (2.5, 3.0)


def test_a_window_out_of_a_longer_recording_keeps_whole_words_only() -> None:
    """Lost otherwise: words at the seams of long recordings written twice or never."""
    string = string_units([tone(d, 1.0) for d in range(5)], [0.0] * 5, lead=0.0)
    window = crop(string, 0.5, 3.0)
    assert [(w.digit, w.start, w.end) for w in window.words] == [(1, 0.5, 1.5), (2, 1.5, 2.5)]
    assert window.cut == pytest.approx(2.5)
    assert len(window.audio) == 3 * RATE


def test_trim_cuts_silence_and_knows_where_speech_is() -> None:
    """Lost otherwise: pauses that are longer than the labels say."""
    padded = np.pad(tone(5).audio, (RATE, RATE // 2))
    audio, start, end = trim(padded)
    assert len(audio) / RATE == pytest.approx(0.44, abs=0.011)
    assert (start, end) == (pytest.approx(0.02, abs=0.011), pytest.approx(0.42, abs=0.011))


@pytest.mark.parametrize(
    ("text", "words"),
    [(" One, two.", "one two"), ("123", "one two three"), (" oh 7 seven!", "oh seven seven"), ("", "")],
)
def test_scored_words(text: str, words: str) -> None:
    """Lost otherwise: error rates that count punctuation, or one word for a whole string."""
    assert digit_words(text) == words
