"""``whisper-steer check-gate``: does the gate keep its promise on your recordings, and what does it let through?

The first blocks of the encoder and the gate run, nothing is decoded. The gate hears speech in a clip where it finds a
span of it; a clip without one comes out empty in mode "skip", and non-speech with one gets whatever text stock writes
there. Silero VAD, its own package at faster-whisper's defaults, judges the same clips, and so does FireRedVAD where it
is installed. A second table shows how much speech is lost where it is hard to hear (`hard_speech.py`), a third whether
the promise holds (`verdicts.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from tqdm import tqdm
from whisper.audio import N_SAMPLES

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.labels import spoken_frames
from whisper_steer.data.own import manifest as from_manifest
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import AudioError, DataError, UsageError
from whisper_steer.files.disk import write_whole
from whisper_steer.fit.degrade import mix
from whisper_steer.models.load import load_model
from whisper_steer.steer.steering import Steering, steering_for

from . import hard_speech, vads
from .intervals import wilson
from .provenance import provenance
from .verdicts import promise_table, verdicts

SYSTEMS = {"gate": "gate", "silero": "Silero VAD", "firered": "FireRedVAD"}
"""what judges a clip, and how the table calls it"""
SNR = (10, 0, -5)
"""dB, of the speech in noise"""


@click.command(name="check-gate")
@click.argument("model")
@click.option("--manifest", type=click.Path(path_type=Path), required=True, help="JSONL of clips.")
@click.option("--steering", default="auto", show_default=True, help="auto, or an artifact's folder or name.")
@click.option("--split", default="test", show_default=True, help="Which split of the manifest to judge.")
@click.option(
    "--hard", default=250, show_default=True, help="Speech clips in each hard condition, 0 for none."
)
@click.option("--max-suppressed-speech", type=float, help="The promise.  [default: 0.003]")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Also write every clip's evidence to this JSON.")
def check_gate(
    model: str,
    manifest: Path,
    steering: str,
    split: str,
    hard: int,
    max_suppressed_speech: float | None,
    seed: int,
    out: Path | None,
) -> None:
    """Judge the clips of a manifest by the gate of MODEL's steering, by Silero VAD, and by FireRedVAD if installed."""
    clips = _clips(manifest, split)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    encoder = load_model(model).encoder
    chosen = steering_for(
        lambda: encoder_fingerprint(encoder), steering, max_suppressed_speech=max_suppressed_speech
    )
    assert chosen is not None
    prefix = chosen.prefix(encoder)
    judged = list(judge(prefix, chosen, clips, hard, seed))
    if not judged:
        raise DataError(f"none of the {len(clips)} clips could be read; check the paths in {manifest}")
    strained = list(judge_hard(prefix, chosen, clips, hard, seed))
    promised = verdicts(prefix, chosen, clips, hard, seed)
    if out is not None:
        rows = {"clips": judged, "hard": strained, "promise": promised}
        write_whole(out, json.dumps({"steering": chosen.describe(), **rows}))
    click.echo(provenance(model, encoder, chosen.artifact, clips) + "\n")
    click.echo(table(judged, chosen.threshold))
    if strained:
        click.echo("\n" + hard_table(strained))
    if promised:
        click.echo("\n" + promise_table(promised, chosen.promise))


def _clips(manifest: Path, split: str) -> list[Clip]:
    """The clips to judge. Raises `DataError` where the manifest has none, `UsageError` where the split has none."""
    clips = from_manifest(manifest)
    if not clips:
        raise DataError(f"{manifest} holds no clips; it needs one JSON object a line")
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        there = ", ".join(sorted({clip.split for clip in clips}))
        raise UsageError(f"{manifest} has no clips in split {split!r}, only in {there}; choose with --split")
    return chosen


Places = list[tuple[float, float]]


def detectors(prefix: Prefix, steering: Steering) -> dict[str, Callable[[Audio], Places]]:
    """Name in `SYSTEMS` -> where it hears speech in samples, in seconds."""

    def gate(audio: Audio) -> Places:
        return [(span.start, span.end) for span in steering.listen(prefix, audio).spans]

    found = {"gate": gate, "silero": lambda audio: vads.seconds_of(vads.silero(audio))}
    return found | (
        {"firered": lambda audio: vads.seconds_of(vads.firered(audio))} if vads.has_firered() else {}
    )


def judge(
    prefix: Prefix, steering: Steering, clips: list[Clip], hard: int, seed: int
) -> Iterator[dict[str, Any]]:
    """One row a clip and condition: its data set, evidence, and whether gate and other detectors find speech."""
    others = {name: hears for name, hears in detectors(prefix, steering).items() if name != "gate"}
    for condition, clip, samples in tqdm(list(conditions(clips, hard, seed)), unit="clip", desc="gate"):
        audio = _read(clip, samples)
        if audio is None:
            continue
        hearing = steering.listen(prefix, audio)
        yield {
            "kind": "voice" if clip.voice else clip.kind,
            "dataset": clip.dataset,
            "language": clip.language,
            "label": clip.label,
            "condition": condition,
            "source": Path(str(clip.source)).name,
            "evidence": float(hearing.evidence.max()),
            "gate": bool(hearing.spans),
            **{name: bool(hears(audio)) for name, hears in others.items()},
        }


def judge_hard(
    prefix: Prefix, steering: Steering, clips: list[Clip], n: int, seed: int
) -> Iterator[dict[str, Any]]:
    """One row a clip of speech and condition of `hard_speech`: which detectors lose it. ``n`` utterances and digits."""
    rng = np.random.default_rng(seed)
    speech = [clip for clip in clips if clip.kind == "speech"]
    chosen = []
    for digits in (False, True):
        pool = [clip for clip in speech if (clip.dataset == hard_speech.DIGITS) == digits]
        chosen += [pool[i] for i in rng.permutation(len(pool))[:n]]
    hearing = detectors(prefix, steering)
    for clip in tqdm(chosen, unit="clip", desc="hard speech"):
        audio = _read(clip, clip.samples)
        if audio is None:
            continue
        audio = audio[:N_SAMPLES]
        spoken = spoken_frames(audio)
        for name, condition in hard_speech.CONDITIONS.items():
            changed = condition.change(audio)
            yield {
                "kind": "digits" if clip.dataset == hard_speech.DIGITS else "utterances",
                "condition": name,
                "source": Path(str(clip.source)).name,
                **{system: condition.lost(hears(changed), spoken) for system, hears in hearing.items()},
            }


def _read(clip: Clip, samples: Callable[[], Audio]) -> Audio | None:
    """Samples; None, and a line on stderr, where they cannot be read."""
    try:
        return samples()
    except AudioError as error:
        click.echo(f"Skipping {clip.source}: {error}", err=True)
        return None


def conditions(clips: list[Clip], hard: int, seed: int) -> Iterator[tuple[str, Clip, Callable[[], Audio]]]:
    """Every clip as recorded; then a sample of the speech in noise of the same split, where there is any, and 30 dB
    quieter."""
    rng = np.random.default_rng(seed)
    for clip in clips:
        yield "as recorded", clip, clip.samples
    speech = [c for c in clips if c.kind == "speech"]
    noise = [c for c in clips if c.kind == "nonspeech" and not c.voice]
    chosen = [speech[i] for i in rng.permutation(len(speech))[:hard]]
    for snr in SNR if noise else ():
        for clip in chosen:
            background = noise[int(rng.integers(len(noise)))]
            yield f"{snr} dB", clip, _noisy(clip, background, snr, int(rng.integers(2**31)))
    for clip in chosen:
        yield "-30 dB level", clip, _quiet(clip)


def _quiet(clip: Clip) -> Callable[[], Audio]:
    return lambda: hard_speech.quiet(clip.samples()[:N_SAMPLES], -30)


def _noisy(clip: Clip, noise: Clip, snr: float, seed: int) -> Any:
    def make() -> Audio:
        speech = clip.samples()[:N_SAMPLES]
        background = noise.samples()
        start = int(np.random.default_rng(seed).integers(max(1, len(background))))
        background = np.resize(np.roll(background, -start), len(speech))
        labels = np.where(spoken_frames(speech), 1, 0).astype(np.int8)
        return mix(speech, background, snr, labels)

    return make


def table(judged: list[dict[str, Any]], threshold: float) -> str:
    """Markdown: per kind, condition, language and data set, what each system gets wrong, in %, with Wilson 95 %."""
    systems = [name for name in SYSTEMS if judged and name in judged[0]]
    lines = [
        f"threshold {threshold:.2f}; suppressed: speech judged non-speech; let through: non-speech judged speech",
        "",
        f"| clips | data set | condition | n | wrong | {' | '.join(SYSTEMS[name] for name in systems)} |",
        "|---" * (5 + len(systems)) + "|",
    ]
    for kind, wrong in (("speech", "suppressed"), ("nonspeech", "let through"), ("voice", "let through")):
        rows = [r for r in judged if r["kind"] == kind]
        for condition in dict.fromkeys(r["condition"] for r in rows):
            same = [r for r in rows if r["condition"] == condition]
            languages = sorted({f"language {r['language']}" for r in same if r["language"]})
            names = ["all", *(languages if len(languages) > 1 else []), *sorted({r["dataset"] for r in same})]
            for name in names:
                part = [r for r in same if name in ("all", f"language {r['language']}", r["dataset"])]
                shares = [_share([r[system] == (kind != "speech") for r in part]) for system in systems]
                lines.append(
                    f"| {kind} | {name} | {condition} | {len(part)} | {wrong} | {' | '.join(shares)} |"
                )
    return "\n".join(lines)


def hard_table(strained: list[dict[str, Any]]) -> str:
    """Markdown: how many utterances and single digits each system loses, in %, with Wilson 95 %."""
    systems = [name for name in SYSTEMS if name in strained[0]]
    lines = [
        "lost: half of what is spoken in the clip, or less, is heard",
        "",
        f"| speech | condition | n | {' | '.join(f'lost by {SYSTEMS[name]}' for name in systems)} |",
        "|---" * (3 + len(systems)) + "|",
    ]
    for kind, condition in dict.fromkeys((r["kind"], r["condition"]) for r in strained):
        part = [r for r in strained if (r["kind"], r["condition"]) == (kind, condition)]
        shares = [_share([r[system] for r in part]) for system in systems]
        lines.append(f"| {kind} | {condition} | {len(part)} | {' | '.join(shares)} |")
    return "\n".join(lines)


def _share(wrong: list[bool]) -> str:
    share = wilson(sum(wrong), len(wrong))
    return f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]".replace("%", " %")
