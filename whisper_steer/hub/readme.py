"""The README.md of an artifact on the hub: its model, data, promise and figures, all from its card."""

from __future__ import annotations

from typing import Any

from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.promises import thresholds


def readme(artifact: Artifact, repo: str | None = None) -> str:
    """Markdown with the hub's metadata on top. ``repo``: where it will lie, for the commands that fetch it."""
    fingerprint = artifact.fingerprint.removeprefix("sha256:")
    parts = [
        "---",
        "library_name: whisper-steer",
        "tags:",
        *(f"- {tag}" for tag in ("whisper", "automatic-speech-recognition", f"encoder-{fingerprint[:16]}")),
        "---",
        "",
        f"# Steering for Whisper: {artifact.name}",
        "",
        "It keeps Whisper from writing text where nobody speaks. It acts on one encoder only, and is found by the "
        "encoder's fingerprint.",
        "",
        "```",
        f"whisper-steer pull {repo or 'OWNER/NAME'}",
        f"whisper-steer transcribe recording.wav --model {artifact.name}",
        "```",
        "",
        "## Model",
        "",
        *_rows(
            {
                "encoder": f"`{artifact.fingerprint}`",
                **artifact.info.get("model", {}),
                "edits at the output of": artifact.hook_point,
                "gate at the output of": f"{artifact.gate_point} ({artifact.gate.kind})",
            }
        ),
        "",
        "## Data",
        "",
        *_data(artifact.info),
        "",
        "## Promise",
        "",
        f"From {artifact.calibration.utterances} held-out utterances: of an utterance like those, at most the share in "
        "the first column is expected to be left out. The other columns are measured on the held-out clips.",
        "",
        "| promise | threshold (logits) | speech left out | clips without speech left out whole |",
        "|---|---|---|---|",
        *(
            f"| {row['max_suppressed_speech']:.1%} | {row['threshold']:.2f} | {row['speech_lost']:.2%} "
            f"| {row['nonspeech_stopped']:.1%} |"
            for row in thresholds(artifact)
        ),
        "",
        "## Figures",
        "",
        *_figures(artifact.info),
        "",
        f"Command: `{artifact.info.get('command', 'not recorded')}`. All of it: `whisper-steer inspect`.",
    ]
    return "\n".join(parts) + "\n"


def _data(info: dict[str, Any]) -> list[str]:
    data = info.get("data", {})
    lines = ["| clips | data sets |", "|---|---|"] if data else ["Not recorded."]
    lines += [
        f"| {where} | {', '.join(f'{name} {n}' for name, n in found.items())} |"
        for where, found in data.items()
    ]
    if corpora := info.get("corpora"):
        lines += ["", "| corpus | licence | source |", "|---|---|---|"]
        lines += [f"| {each['name']} | {each['licence']} | {each['source']} |" for each in corpora]
    return lines


def _figures(info: dict[str, Any]) -> list[str]:
    sae = {k: v for k, v in info.get("sae", {}).items() if isinstance(v, int | float)}
    found = {f"SAE, {name}": value for name, value in sae.items()}
    for kind, row in info.get("gates_compared", {}).items():
        found |= {f"gate {kind}, {name}": value for name, value in row.items()}
    return _rows(found) if found else ["None recorded."]


def _rows(values: dict[str, Any]) -> list[str]:
    shown = (
        (name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in values.items()
    )
    return ["| | |", "|---|---|", *(f"| {name.replace('_', ' ')} | {value} |" for name, value in shown)]


__all__ = ["readme"]
