"""``whisper-steer demo``: the demonstration recording through stock Whisper and through steering, side by side."""

from __future__ import annotations

import json
from pathlib import Path

import click
import torch

from whisper_steer import models
from whisper_steer.audio import load_audio
from whisper_steer.transcription import transcribe

ASSETS = Path(models.__file__).parent / "assets"


@click.command()
def demo() -> None:
    """Transcribe the demonstration recording with stock Whisper and with steering."""
    audio, card = (
        load_audio(ASSETS / "demo.flac"),
        json.loads((ASSETS / "demo.json").read_text(encoding="utf-8")),
    )
    model = models.load_model("tiny.en", device="cpu")
    results = {}
    for name, steering in (("stock Whisper", None), ("whisper-steer", "auto")):
        torch.manual_seed(0)  # stock samples where its first try looks bad
        results[name] = transcribe(model, audio, steering=steering, verbose=None, fp16=False)
    click.echo(f"{len(audio) / 16000:.0f} s, model tiny.en; what is heard, and what each writes:\n")
    for stretch in card["stretches"]:
        click.echo(f"{stretch['start']:6.1f} - {stretch['end']:5.1f} s  {describe(stretch)}")
        for name, result in results.items():
            click.echo(f"{'':17}{name}: {written(result, stretch) or '(nothing)'}")
    click.echo("")
    for name, result in results.items():
        invented = sum(len(written(result, s).split()) for s in card["stretches"] if not s.get("text"))
        click.echo(f"{name}: {invented} words where nobody speaks")


def describe(stretch: dict[str, str]) -> str:
    """What the stretch holds."""
    return f'"{stretch["text"]}"' if stretch.get("text") else f"[{stretch['label']}]"


def written(result: dict[str, object], stretch: dict[str, float]) -> str:
    """Text of the segments whose middle lies in the stretch."""
    segments: list[dict[str, float]] = result["segments"]  # type: ignore[assignment]
    inside = [s for s in segments if stretch["start"] <= (s["start"] + s["end"]) / 2 < stretch["end"]]
    return " ".join(str(s["text"]).strip() for s in inside).strip()
