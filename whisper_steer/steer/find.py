"""Where artifacts lie: for a model by its fingerprint, by name, or in a folder."""

from __future__ import annotations

from pathlib import Path

from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.files.cache import cache_folder
from whisper_steer.files.card import CARD, read_card
from whisper_steer.files.disk import is_file
from whisper_steer.steer.artifact import NAMED_LATENTS, NAMES, SAE_TENSORS, SCHEMA, TENSORS, Artifact


def shipped_folder() -> Path:
    """Where the artifacts that come with the package lie."""
    return Path(__file__).parents[1] / "steering_vectors"


def find(fingerprint: str) -> Path | None:
    """The shipped or cached artifact for an encoder, or None; passes over damaged ones and those of another schema.

    A cached one is loaded for that: whoever finds none can fit it again.
    """
    for root in (shipped_folder(), cache_folder("steering")):
        for folder in sorted(card.parent for card in root.glob(f"*/{CARD}")):
            try:
                card = read_card(folder)
                known = (card.get("fingerprint"), card.get("fingerprint_bfloat16"))
                if card.get("schema") == SCHEMA and fingerprint in known:
                    if root != shipped_folder():
                        Artifact.load(folder)
                    return folder
            except ArtifactError:
                continue
    return None


def clear_damaged(folder: Path) -> None:
    """Delete an artifact's own files in a folder of the cache, where its card cannot be read."""
    try:
        read_card(folder)
    except ArtifactError:
        for name in (CARD, TENSORS, SAE_TENSORS, NAMES, NAMED_LATENTS):
            (folder / name).unlink(missing_ok=True)


def resolve(name_or_path: str | Path) -> Path:
    """A folder as given, or the name of a shipped artifact."""
    for path in (
        Path(name_or_path),
        shipped_folder() / str(name_or_path),
        cache_folder("steering") / str(name_or_path),
    ):
        if is_file(path / CARD):
            return path
    shipped = sorted(card.parent.name for card in shipped_folder().glob(f"*/{CARD}"))
    raise UsageError(
        f"no steering artifact at {name_or_path}; pass a folder with {CARD} or one of {', '.join(shipped)}"
    )
