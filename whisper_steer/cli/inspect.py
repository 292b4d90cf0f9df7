"""``whisper-steer inspect``: what a steering artifact is, fitted on what, and what it promises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from whisper_steer.steer.artifact import Artifact

SHOWN_LATENTS = 20
KNOWN = {
    "schema",
    "name",
    "fingerprint",
    "fingerprint_bfloat16",
    "hook_point",
    "gate_point",
    "gate",
    "strengths",
    "model",
    "sae",
    "latents",
    "silence",
    "command",
}


@click.command()
@click.argument("artifact")
@click.option("--json", "as_json", is_flag=True, help="The whole card and the thresholds, as JSON.")
def inspect(artifact: str, as_json: bool) -> None:
    """Show what ARTIFACT is: a folder, or the name of one that ships.

    Model, hook points, SAE, selected latents with their scores, gate, calibration with the threshold for several
    promises, data, measured results.
    """
    from whisper_steer.steer.artifact import Artifact
    from whisper_steer.steer.find import resolve
    from whisper_steer.steer.promises import thresholds

    loaded = Artifact.load(resolve(artifact))
    if as_json:
        click.echo(json.dumps({**loaded.card(), "thresholds": thresholds(loaded)}, indent=2))
    else:
        click.echo("\n".join(report(loaded)))


def report(artifact: Artifact) -> list[str]:
    """The lines for people."""
    from whisper_steer.steer.promises import thresholds

    card = artifact.card()
    model, sae, gate = card.get("model", {}), card.get("sae", {}), card["gate"]
    n = gate["calibration_utterances"]
    lines = [
        f"artifact     {artifact.name} (schema {card['schema']}) at {artifact.path}",
        f"encoder      {artifact.fingerprint}",
        f"             {_pairs(model)}",
        f"edits        the output of {artifact.hook_point} (blocks are counted from 0)",
        f"SAE          {_pairs(sae)}",
        f"gate         reads the output of {artifact.gate_point}: {_gate(artifact)}",
        f"calibration  {n} held-out utterances, {gate['calibration_nonspeech']} clips without speech",
        f"command      {card.get('command', 'not recorded')}",
        f"strengths    {_pairs(artifact.strengths)}",
        "",
        "threshold for a promise (logits); held-out speech, and clips without speech, that the spans leave out there",
        "  promise  conformal  in use  speech  non-speech",
    ]
    for row in thresholds(artifact):
        lines.append(
            f"  {row['max_suppressed_speech']:>7.1%}  {row['conformal']:>9.2f}  {row['threshold']:>6.2f}"
            f"  {row['speech_lost']:>6.2%}  {row['nonspeech_stopped']:>10.1%}"
        )
    lines.append(f"  no promise below {1 / (n + 1):.2%} can rest on {n} utterances")
    lines += ["", *_latents("selected", card.get("latents", []))]
    lines += ["", *_latents("moved by silence", card.get("silence", []))]
    for key in sorted(card.keys() - KNOWN):
        lines += ["", *_tree(key, card[key], 0)]
    return lines


def _gate(artifact: Artifact) -> str:
    """What the gate is, in words."""
    from whisper_steer.gate.kinds import Conv, Linear

    gate = artifact.gate
    if isinstance(gate, Conv):
        return f"conv, {len(gate.weight)} features of convolutions over half a second and two seconds"
    assert isinstance(gate, Linear)
    return (
        f"linear, logistic on {len(gate.weight)} {'activations' if gate.latents is None else 'SAE latents'}"
    )


def _latents(kind: str, rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return [f"latents {kind}: none recorded"]
    lines = [f"latents {kind}: {len(rows)}, the first {min(len(rows), SHOWN_LATENTS)}"]
    widths = {name: max(len(name), 9) for name in rows[0]}
    lines.append("  " + "  ".join(name.rjust(width) for name, width in widths.items()))
    for row in rows[:SHOWN_LATENTS]:
        lines.append("  " + "  ".join(_value(row.get(name)).rjust(width) for name, width in widths.items()))
    return lines


def _tree(name: str, value: Any, depth: int) -> list[str]:
    """Nested parts of the card, one line a value."""
    indent = "  " * depth
    if isinstance(value, dict):
        return [
            f"{indent}{name}",
            *(line for key, item in value.items() for line in _tree(key, item, depth + 1)),
        ]
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return [f"{indent}{name}", *(f"{indent}  {_value(item)}" for item in value)]
    return [f"{indent}{name}  {_value(value)}"]


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in values.items()) or "not recorded"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return _pairs(value)
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    return "-" if value is None else str(value)
