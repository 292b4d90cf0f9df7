"""Measure nano: python -m whisper_steer.nano.evaluate MODEL --data DIR --card FILE

WER on 30 s windows is that of stock whisper.decode, greedy, without fallback to other temperatures; the rest comes from
stock whisper.transcribe at temperature 0, its other options at their defaults. WER is over digit words, lower case
without punctuation: whisper's EnglishTextNormalizer would turn "one two three" into the single word "123", so figures
("1") are mapped to words ("one") instead.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
import whisper
from tqdm import tqdm

from whisper_steer.nano import speech
from whisper_steer.nano.card import card
from whisper_steer.nano.labels import segments
from whisper_steer.nano.speech import RATE, WORDS, Unit
from whisper_steer.nano.strings import Placed, String, string_units

WINDOW = 30.0


def digit_words(text: str) -> str:
    """Lower case, no punctuation, figures as words."""
    words = re.findall(r"[a-z']+|\d", text.lower())
    return " ".join(WORDS[int(w)] if w.isdigit() else w for w in words)


def reference(words: list[Placed]) -> str:
    return " ".join(WORDS[w.digit] for w in words)


def strung(units: list[Unit], n: int, seed: int, seconds: float = WINDOW, most: int = 20) -> list[String]:
    """`n` strings of 1 to `most` units with pauses of 0.1 to 2 s, within `seconds` and padded to it with silence.

    Every other string keeps to one voice. Levels stay as recorded.
    """
    rng = np.random.default_rng(seed)
    voices = sorted({u.voice for u in units})
    found = []
    for i in range(n):
        voice = voices[rng.integers(len(voices))]
        pool = [u for u in units if u.voice == voice] if i % 2 else units
        chosen = [pool[rng.integers(len(pool))] for _ in range(rng.integers(1, most + 1))]
        gaps, lead = rng.uniform(0.1, 2.0, len(chosen)).tolist(), float(rng.uniform(0, 2))
        while lead + 0.3 + sum(len(u.audio) / RATE + g for u, g in zip(chosen, gaps, strict=True)) > seconds:
            chosen, gaps = chosen[:-1], gaps[:-1]
        string = string_units(chosen, gaps, lead)
        string.audio = np.pad(string.audio, (0, round(seconds * RATE) - len(string.audio)))
        found.append(string)
    return found


def written(model: Any, strings: list[String], **options: Any) -> list[str]:
    """What the model writes on windows of 30 s, greedily (whisper.decode), 20 at a time."""
    texts: list[str] = []
    for i in range(0, len(strings), 20):
        mels = [whisper.log_mel_spectrogram(torch.from_numpy(s.audio)) for s in strings[i : i + 20]]
        how = whisper.DecodingOptions(language="en", fp16=False, **options)
        texts += [r.text for r in whisper.decode(model, torch.stack(mels), how)]
    return texts


def errors(model: Any, strings: list[String], name: str, **options: Any) -> dict[str, Any]:
    """WER over `strings`, with the number of words it rests on; longer ones than a window go through transcribe."""
    said = [reference(s.words) for s in strings]
    tqdm.write(name, file=sys.stderr)
    if all(len(s.audio) == WINDOW * RATE for s in strings):
        wrote = [digit_words(t) for t in written(model, strings, **options)]
    else:
        wrote = [
            digit_words(whisper.transcribe(model, s.audio, fp16=False, temperature=0.0, **options)["text"])
            for s in strings
        ]
    out = jiwer.process_words(said, wrote)
    words = out.hits + out.substitutions + out.deletions
    found = {
        "wer": round(out.wer, 5), "strings": len(said), "words": words, "substitutions": out.substitutions,
        "deletions": out.deletions, "insertions": out.insertions,
        "exact_strings": sum(a == b for a, b in zip(said, wrote, strict=True)),
    }  # fmt: skip
    tqdm.write(json.dumps(found), file=sys.stderr)
    return found


def timing(model: Any, strings: list[String]) -> dict[str, Any]:
    """Median and 90th percentile of |time written - true time| in seconds, over strings transcribed word for word.

    Segments: starts after the first (which Whisper clips to 1 s) and ends, where as many segments were written as
    there are. Words: starts and ends by cross-attention (word_timestamps=True), matched in order.
    """
    found: dict[str, list[float]] = {"segment_start": [], "segment_end": [], "word_start": [], "word_end": []}
    used = 0
    for string in tqdm(strings, desc="timing", mininterval=10):
        plain = whisper.transcribe(model, string.audio, fp16=False, temperature=0.0)
        if digit_words(plain["text"]) != reference(string.words):
            continue
        used += 1
        groups = segments(string.words)
        if len(groups) == len(plain["segments"]):
            for i, (group, segment) in enumerate(zip(groups, plain["segments"], strict=True)):
                if i:
                    found["segment_start"].append(abs(segment["start"] - group[0].start))
                found["segment_end"].append(abs(segment["end"] - group[-1].end))
        timed = whisper.transcribe(model, string.audio, fp16=False, temperature=0.0, word_timestamps=True)
        words = [w for s in timed["segments"] for w in s.get("words", [])]
        if len(words) == len(string.words):
            found["word_start"] += [
                abs(w["start"] - p.start) for w, p in zip(words, string.words, strict=True)
            ]
            found["word_end"] += [abs(w["end"] - p.end) for w, p in zip(words, string.words, strict=True)]
    figures: dict[str, Any] = {
        k: {"n": len(v), "median": round(float(np.median(v)), 3), "p90": round(float(np.quantile(v, 0.9)), 3)}
        for k, v in found.items()
        if v
    }
    return {"strings": used, **figures}


def on_noise(model: Any, noises: list[speech.Audio], name: str, **options: Any) -> dict[str, Any]:
    """Share of non-speech clips on which text is written, and examples of it."""
    texts = [
        whisper.transcribe(model, n, fp16=False, temperature=0.0, **options)["text"].strip()
        for n in tqdm(noises, desc=name, mininterval=10)
    ]
    written = [t for t in texts if t]
    words = sum(len(t.split()) for t in written)
    return {
        "clips": len(texts), "with_text": len(written), "share": round(len(written) / max(len(texts), 1), 4),
        "words_per_clip": round(words / max(len(texts), 1), 2), "examples": [t[:80] for t in written[:5]],
    }  # fmt: skip


def evaluate(model: Any, data: Path, split: str, scale: float = 1.0, seed: int = 7) -> dict[str, Any]:
    """All figures of the card; `scale` shrinks or grows the number of strings (200 recorded ones at 1)."""
    n = max(round(200 * scale), 4)
    recorded = strung(speech.recorded(data, split), n, seed)
    short = strung(speech.recorded(data, split), n // 2, seed, seconds=8.0, most=5)
    for string in short:
        string.audio = np.pad(string.audio, (0, round((WINDOW - 8.0) * RATE)))
    voices = speech.synthesised(speech.UNSEEN, 2, 12, seed)
    words = strung([u for u in voices if u.exact], n // 2, seed)
    phrases = strung([u for u in voices if not u.exact], n // 2, seed, most=4)
    long = strung(speech.recorded(data, split), max(n // 40, 2), seed, seconds=120.0, most=80)
    noises = speech.noises(data, split)
    noises = [noises[i] for i in np.random.default_rng(seed).permutation(len(noises))[: n // 4]]
    return {
        "recorded": errors(model, recorded, "recorded"),
        "recorded_up_to_5_words_in_8_s": errors(model, short, "recorded, short"),
        "recorded_without_timestamps": errors(
            model, recorded, "recorded, no timestamps", without_timestamps=True
        ),
        "unseen_voices_strung": errors(model, words, "unseen voices, strung"),
        "unseen_voices_strung_without_timestamps": errors(
            model, words, "strung, plain", without_timestamps=True
        ),
        "unseen_voices_connected": errors(model, phrases, "unseen voices, connected"),
        "unseen_voices_connected_without_timestamps": errors(
            model, phrases, "connected, plain", without_timestamps=True
        ),
        "recorded_120_s_with_previous_text": errors(model, long, "120 s", condition_on_previous_text=True),
        "recorded_120_s_without_timestamps": errors(model, long, "120 s, plain", without_timestamps=True),
        "timing_seconds": timing(model, recorded[: max(n // 8, 4)]),
        "text_on_noise": on_noise(model, noises, "noise"),
        "text_on_noise_without_timestamps": on_noise(model, noises, "noise, plain", without_timestamps=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="checkpoint to measure")
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--split", default="test", choices=("choose", "test"))
    parser.add_argument(
        "--scale", type=float, default=1.0, help="1 measures on 200 strings of recorded digits"
    )
    parser.add_argument("--card", type=Path, help="write the model's card with the figures there")
    parser.add_argument("--training", default="", help="how the model was trained, for the card")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = whisper.load_model(args.model, device="cpu")
    figures = {"split": args.split, **evaluate(model, args.data, args.split, args.scale)}
    print(json.dumps(figures, indent=2))
    if args.card:
        text = json.dumps(card(model, Path(args.model), args.training, figures), indent=2)
        args.card.with_suffix(".tmp").write_text(text + "\n")
        os.replace(args.card.with_suffix(".tmp"), args.card)


if __name__ == "__main__":
    main()
