"""Push an artifact to a repository of the hub, pull one from there, or write it to a folder.

Only an artifact's own files travel (`whisper_steer.steer.artifact.FILES`: JSON and safetensors, no pickle); a
repository that holds others is refused. A branch or tag is resolved to a commit first, and every file is taken from
that. Tokens are huggingface_hub's affair: the environment's HF_TOKEN, or a login.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whisper_steer.errors import ArtifactError, FingerprintError, UsageError
from whisper_steer.explain.names import Names
from whisper_steer.files.card import CARD, read_card
from whisper_steer.files.replace import replacing
from whisper_steer.files.scratch import scratch_folder
from whisper_steer.hub.readme import readme
from whisper_steer.risk.probe import Risk
from whisper_steer.steer.artifact import FILES, NAMES, SAE_TENSORS, TENSORS, Artifact, written_beside
from whisper_steer.steer.find import pulled_folder

README = "README.md"
BESIDE = (README, ".gitattributes")
"""of a repository on the hub, not of an artifact; not pulled"""
PULLED = "pulled"
"""the card's part that says from which repository and commit it came"""


def write_folder(source: Path, target: Path, repo: str | None = None) -> Path:
    """Copy a sound artifact, and a README.md made from its card, to a new folder.

    Raises `ArtifactError` where a part of it is damaged, `UsageError` as `whisper_steer.steer.artifact.check_free`.
    """
    artifact = checked(source)
    with replacing(target, "artifact", written_beside) as made:
        for name in FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, made / name)
        (made / README).write_text(readme(artifact, repo), encoding="utf-8")
    return target


def push(source: Path, repo: str) -> str:
    """Upload an artifact and its README.md to a repository, made where there is none; returns the commit's address.

    Files of an earlier artifact there that this one lacks are removed. Raises `ArtifactError` where the artifact is
    damaged or the hub refuses, `UsageError` where the repository holds other files.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with scratch_folder("whisper-steer-push-") as scratch, _told(repo):
        folder = write_folder(source, scratch / "artifact", repo)
        api.create_repo(repo, exist_ok=True)
        foreign = _foreign(api.list_repo_files(repo))
        if foreign:
            raise UsageError(f"{repo} holds {foreign[0]!r}, which is no artifact's: name a new repository")
        gone = [name for name in FILES if not (folder / name).exists()]
        name = read_card(folder)["name"]
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            delete_patterns=gone,
            commit_message=f"whisper-steer artifact {name}",
        )
    return str(commit.commit_url)


def pull(repo: str, revision: str | None = None, fingerprint: str | None = None) -> Artifact:
    """Download an artifact to where it is found by the fingerprint of its encoder.

    ``revision``: a commit, tag or branch; the default branch by default. ``fingerprint``: of the encoder that it has to
    be for. The folder appears whole or not at all, and takes the place of an earlier one for the same encoder. Raises
    `ArtifactError` where there is none, it is damaged or of another version, or files lie beside it that no artifact
    has; `FingerprintError` where it is for another encoder.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with _told(repo):
        found = api.model_info(repo, revision=revision)
        names = [each.rfilename for each in found.siblings or []]
        foreign = _foreign(names)
        if foreign:
            raise ArtifactError(
                f"{repo} holds {foreign[0]!r}, which no artifact has: nothing was pulled; ask its owner to remove it"
            )
        if CARD not in names or TENSORS not in names:
            raise ArtifactError(
                f"{repo} holds no steering artifact (no {CARD} and {TENSORS}): check the name"
            )
        with scratch_folder("whisper-steer-pull-") as scratch:
            for name in FILES:  # the card first
                if name in names:
                    shutil.copyfile(api.hf_hub_download(repo, name, revision=found.sha), scratch / name)
                if name == CARD:
                    card = read_card(scratch)
                    _check_fingerprint(repo, card, fingerprint)
            card[PULLED] = {"repository": repo, "revision": found.sha}
            (scratch / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
            checked(scratch)
            target = pulled_folder() / str(card["fingerprint"]).removeprefix("sha256:")[:16]
            with replacing(target, "artifact", written_beside) as made:
                for path in scratch.iterdir():
                    shutil.copyfile(path, made / path.name)
    return Artifact.load(target)


def checked(folder: Path) -> Artifact:
    """An artifact of which every part was read. Raises `ArtifactError`."""
    artifact = Artifact.load(folder)
    fingerprints = (artifact.fingerprint, artifact.fingerprint_bfloat16)
    if (folder / SAE_TENSORS).is_file():
        artifact.load_sae()
    if (folder / NAMES).is_file():
        Names.load(folder, fingerprints)
    Risk.load(folder, fingerprints)
    return artifact


def _foreign(names: list[str]) -> list[str]:
    return sorted(set(names) - {*FILES, *BESIDE})


def _check_fingerprint(repo: str, card: dict[str, Any], fingerprint: str | None) -> None:
    if fingerprint is not None and fingerprint not in (
        card.get("fingerprint"),
        card.get("fingerprint_bfloat16"),
    ):
        raise FingerprintError(
            f"{repo} is for another encoder ({str(card.get('fingerprint'))[:19]}..., "
            f"this one is {fingerprint[:19]}...): nothing was pulled"
        )


@contextmanager
def _told(repo: str) -> Iterator[None]:
    """What huggingface_hub, and what it rests on, raise becomes one line."""
    from huggingface_hub.errors import HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise UsageError(f"{repo!r} is no name of a repository: give OWNER/NAME") from error
    except Exception as error:
        if not _of_the_hub(error):
            raise
        raise ArtifactError(f"{repo}: {_reason(error)}") from error


def _of_the_hub(error: BaseException) -> bool:
    """Whether huggingface_hub raised it, or something that it rests on; an upload's comes in a RuntimeError."""
    roots = {each.__module__.partition(".")[0] for each in type(error).__mro__}
    if roots & {"huggingface_hub", "httpx", "httpx2", "requests", "hf_xet"}:
        return True
    return isinstance(error, RuntimeError) and error.__cause__ is not None and _of_the_hub(error.__cause__)


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403, 404):
        return (
            f"the hub answers {status}: no such repository or revision, or no right to it; "
            "check the name, and log in with hf auth login or set HF_TOKEN"
        )
    if status is not None:
        return f"the hub answers {status}; try again later"
    return f"the hub cannot be reached ({type(error).__name__}); check the connection, or HF_ENDPOINT"


__all__ = ["BESIDE", "PULLED", "README", "checked", "pull", "push", "write_folder"]
