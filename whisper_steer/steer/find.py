"""Where artifacts lie: for a model by its fingerprint, by name, or in a folder.

One that was pulled from the hub comes before one that ships, and that before one that was fitted by ``--auto-fit``.
"""

from __future__ import annotations

from pathlib import Path

from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.files.cache import cache_folder
from whisper_steer.files.card import CARD, read_card
from whisper_steer.files.disk import is_file
from whisper_steer.steer.artifact import FILES, SCHEMA, Artifact


def shipped_folder() -> Path:
    """Where the artifacts that come with the package lie."""
    return Path(__file__).parents[1] / "steering_vectors"


RECALIBRATED = "recalibrated"
"""part of the card of an artifact that `whisper-steer calibrate` has made"""


def pulled_folder() -> Path:
    """Where artifacts from the hub lie, one for an encoder."""
    return cache_folder("pulled")


def recalibrated_folder(artifact: Artifact) -> Path:
    """Where `whisper-steer calibrate` writes, so that `find` prefers it."""
    name = f"{artifact.name}-{artifact.fingerprint.removeprefix('sha256:')[:12]}"
    return cache_folder("steering") / name


def find(fingerprint: str) -> Path | None:
    """The artifact for an encoder, or None: a recalibrated one, else one pulled, one that ships, or a cached one.

    Passes over damaged ones and those of another schema. One that does not ship is loaded for that: whoever finds none
    can fit it again.
    """
    cached = cache_folder("steering")
    for root, recalibrated in (
        (cached, True),
        (pulled_folder(), False),
        (shipped_folder(), False),
        (cached, False),
    ):
        for folder in sorted(card.parent for card in root.glob(f"*/{CARD}")):
            try:
                card = read_card(folder)
                known = (card.get("fingerprint"), card.get("fingerprint_bfloat16"))
                if recalibrated and not card.get(RECALIBRATED):
                    continue
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
        for name in FILES:
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
