"""The previous text as prompt across a pause: always, never, or up to a length of pause.

``python -m benchmarks.prompts tiny.en manifest.jsonl --n 20 --temperatures zero``

Recordings with pauses, made of the manifest's `choose` clips (`whisper_steer.data.recordings`), are listened to once,
and their spans are decoded by openai-whisper with each rule for the prompt. Figures are those of
`whisper_steer.eval.recordings`; the difference is the WER less that of stock's rule ("always"), paired by recording. A
pause is what lies between two spans, whose margins reach half a second into it on either side. A window decoded
greedily with the same prompt is decoded once for all rules. The style "one-word" is a digit, a pause and a sentence.
MODEL: an official name, a .pt or a folder of CTranslate2.
"""

from __future__ import annotations

import argparse
import hashlib
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper

from benchmarks.common import RATE, steering_for
from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.load import load
from whisper_steer.data.recordings import STYLES, Part, Script, levelled
from whisper_steer.data.splits import stratified
from whisper_steer.errors import ArtifactError
from whisper_steer.eval import conditions, intervals, recordings
from whisper_steer.eval.metrics import Output
from whisper_steer.eval.provenance import machine
from whisper_steer.eval.report import table
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.results import Clips, end_of_clip, flat, in_whole_frames, until
from whisper_steer.steer.steering import Steering

ONE_WORD = "one-word"
SILENCE = 10.0
"""seconds"""
Segments = list[dict[str, Any]]
PAUSES: dict[str, float | None] = {
    "always": inf,
    "none": None,
    **{f"up to {s} s": float(s) for s in (2, 5, 10, 30)},
}
"""rule -> the longest pause across which the previous text is the prompt, None where it never is"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--styles", default="pauses", help=f"of {', '.join([*STYLES, ONE_WORD])}")
    parser.add_argument("--n", type=int, default=20, help="recordings of each style")
    parser.add_argument("--limit", type=int, default=60, help="clips of each data set to make them of")
    parser.add_argument("--temperatures", choices=["zero", "default"], default="zero")
    parser.add_argument("--language", default="en", help="of the speech")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    styles = options.styles.split(",")
    names = conditions.parse([f"recordings:{style}:{options.n}" for style in styles if style != ONE_WORD])
    clips = [clip for clip in load(f"manifest:{options.manifest}") if clip.split == "choose"]
    clips = stratified(clips, options.limit, options.seed)
    made = conditions.apply(names, clips, None, options.seed, options.language)
    if ONE_WORD in styles:
        made += after_one_word(clips, options.n)
    model = load_model(options.model, "cpu")
    steering = steering_for(model.encoder)
    if steering is None:
        raise ArtifactError(f"no steering ships for {options.model}")
    common: dict[str, Any] = {"language": options.language, "fp16": False}
    if options.temperatures == "zero":
        common["temperature"] = 0.0
    print(f"{machine()}; {options.model}, temperatures {options.temperatures}", flush=True)
    for style in dict.fromkeys(clip.condition for clip in made):
        found: dict[str, list[recordings.Figures]] = {rule: [] for rule in PAUSES}
        here = [clip for clip in made if clip.condition == style]
        for clip in here:
            for rule, segments in decoded(model, steering, clip.samples(), common).items():
                output = Output("".join(s["text"] for s in segments).strip(), segments)
                script = Script.from_dict(clip.extra)
                found[rule].append(recordings.figures(script, output, clip.normalizer))
        print(f"\n{sums(here, found['always'])}\n\n{report(found)}", flush=True)


def after_one_word(clips: list[Clip], n: int) -> list[Clip]:
    """``n`` recordings of a single digit, `SILENCE` seconds of silence and a sentence, which gets no other prompt."""
    digits = [clip for clip in clips if clip.dataset == "free-spoken-digit"]
    sentences = [clip for clip in clips if clip.dataset.startswith("librispeech")]
    return [
        _after(*pair, name=f"{ONE_WORD}/{i}") for i, pair in enumerate(zip(digits, sentences, strict=False))
    ][:n]


def _after(word: Clip, sentence: Clip, name: str) -> Clip:
    parts, samples = list[Part](), list[Audio]()
    for pause, clip in ((1.0, word), (SILENCE, sentence)):
        begin = sum(map(len, samples)) / RATE
        said = levelled(clip.samples(), 0)
        samples += [np.zeros(round(pause * RATE), np.float32), said]
        start, end = begin + pause, begin + pause + len(said) / RATE
        parts += [Part(begin, start, filling="silence"), Part(start, end, clip.text, clip=clip.id)]
    return Clip(
        "recording",
        "choose",
        name,
        np.concatenate(samples),
        "recordings",
        text=f"{word.text} {sentence.text}",
        condition=ONE_WORD,
        extra=Script(tuple(parts)).to_dict(),
    )


def decoded(model: Whisper, steering: Steering, audio: Audio, common: dict[str, Any]) -> dict[str, Segments]:
    """The segments of a recording by rule."""
    hearing = steering.listen(steering.prefix(model.encoder), audio)
    clips = in_whole_frames([(span.start, span.end) for span in hearing.spans], hearing.seconds)
    once, found = Once(model), dict[str, Segments]()
    for rule, longest in PAUSES.items():
        torch.manual_seed(0)
        found[rule] = []
        for part in parts(clips, inf if longest is None else longest):
            said = whisper.transcribe(
                once,
                audio,
                clip_timestamps=flat(part),
                condition_on_previous_text=longest is not None,
                **common,
            )
            found[rule] += [
                until(s, end_of_clip(s["seek"] / FRAMES_PER_SECOND, part)) for s in said["segments"]
            ]
    return found


def parts(clips: Clips, longest: float) -> list[Clips]:
    """Clips in order, parted where the pause between two is longer than ``longest`` seconds."""
    found: list[Clips] = []
    for clip in clips:
        if found and clip[0] - found[-1][-1][1] <= longest:
            found[-1].append(clip)
        else:
            found.append([clip])
    return found


class Once:
    """Stands in for a `Whisper` in stock's `transcribe` of one recording: what it did before, it knows."""

    def __init__(self, model: Whisper) -> None:
        self._model = model
        self._features: dict[bytes, Tensor] = {}
        self._results: dict[tuple[bytes, tuple[int, ...]], DecodingResult] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """Decode one window (mels, 3000) at one temperature."""
        window = hashlib.sha256(mel.numpy().tobytes()).digest()
        if window not in self._features:
            with torch.no_grad():
                self._features[window] = self._model.encoder(mel[None])[0]
        if options.temperature:
            return whisper.decode(self._model, self._features[window], options)
        key = window, tuple(options.prompt or ())
        if key not in self._results:
            self._results[key] = whisper.decode(self._model, self._features[window], options)
        return self._results[key]


def sums(clips: list[Clip], found: list[recordings.Figures]) -> str:
    """What the recordings of one style hold."""
    minutes, pauses, words = (
        sum(getattr(f, k) for f in found) for k in ("minutes", "pause_minutes", "words")
    )
    return (
        f"{clips[0].condition}: {len(clips)} recordings, {minutes:.1f} minutes, {pauses:.1f} of them pauses, "
        f"{words} words"
    )


def report(found: dict[str, list[recordings.Figures]]) -> str:
    """The table of one style."""
    rows = []
    for rule, figures in found.items():
        pool, columns = recordings.pooled(figures), list(zip(figures, found["always"], strict=True))
        less = intervals.paired_difference(
            [f"{i:06}" for i in range(len(columns))],
            [mine.errors for mine, _ in columns],
            [stock.errors for _, stock in columns],
            [mine.words for mine, _ in columns],
            100,
        )
        rates = [
            recordings.estimate(pool[name], *scale)
            for name, scale in {"wer": (100, "%"), "pause_words": (), "pause_words_by_alignment": ()}.items()
        ]
        better, worse = (
            sum((mine.errors - stock.errors) * sign > 0 for mine, stock in columns) for sign in (-1, 1)
        )
        rows.append(
            [rule, *rates, f"{less.value:+.2f} [{less.low:+.2f}, {less.high:+.2f}]", f"{better}", f"{worse}"]
        )
    return table(HEADER, rows)


HEADER = [
    "previous text is the prompt", "WER", "words in pauses per minute", "the same by alignment",
    "WER less stock's, points", "recordings better", "worse",
]  # fmt: skip


if __name__ == "__main__":
    main()
