"""If these fail, an artifact is lost on the way to the hub or back, or something else than an artifact comes in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, FILES, QUICK, contents, make_artifact, run
from hub_stand_in import TOKEN, Hub, hub_stand_in
from whisper.model import Whisper

from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.find import find, pulled_folder

REPO = "somebody/steering-tiny"
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""huggingface_hub's, of the library below it"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, an empty cache, a token in the environment."""
    from huggingface_hub import constants

    with hub_stand_in() as hub:
        # What HF_ENDPOINT, HF_HUB_DISABLE_XET and HF_HUB_CACHE set where they are there at import.
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
        yield hub


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_pushed_is_what_is_pulled_and_transcribe_finds_it(
    hub: Hub,
    artifacts: dict[str, Path],
    tiny_path: Path,
    tiny_model: Whisper,
    wav_files: dict[str, Path],
    tmp_path: Path,
) -> None:
    pushed = run("push", REPO, artifacts["open"])
    assert pushed.exit_code == 0, pushed.output
    commit, there = hub.at(REPO, "main") or ("", {})
    assert pushed.stdout.strip() == f"{hub.address}/{REPO}/commit/{commit}"
    assert set(there) == {
        ".gitattributes",
        "README.md",
        "card.json",
        "steering.safetensors",
        "sae.safetensors",
    }
    fingerprint = encoder_fingerprint(tiny_model.encoder)
    assert find(fingerprint) is None
    pulled = run("pull", REPO, "--model", tiny_path)
    assert pulled.exit_code == 0, pulled.output
    assert f"from {REPO} at {commit}" in pulled.output and f"--revision {commit}" in pulled.output
    folder = find(fingerprint)
    assert folder is not None and folder.parent == pulled_folder()
    original, copy = Artifact.load(artifacts["open"]), Artifact.load(folder)
    assert original.digest() == copy.digest()
    assert copy.info.pop("pulled") == {"repository": REPO, "revision": commit}
    assert original.card() == copy.card()
    for name in ("steering.safetensors", "sae.safetensors"):
        assert (folder / name).read_bytes() == (artifacts["open"] / name).read_bytes()
    assert str(folder) in run("models", "--model-dir", tmp_path).output
    written = {}
    for name, steering in {"found": (), "given": ("--steering", artifacts["open"])}.items():
        done = run(
            "transcribe", wav_files["tone"], "--model", tiny_path, "-o", tmp_path / name, *steering, *QUICK
        )
        assert done.exit_code == 0, done.output
        written[name] = contents(tmp_path / name)
    assert set(written["found"]) == FILES and written["found"] == written["given"]
    assert written["found"]["tone.txt"] == ""


def test_a_revision_is_a_commit_and_a_later_push_does_not_move_it(
    hub: Hub, artifacts: dict[str, Path], tiny_model: Whisper
) -> None:
    run("push", REPO, artifacts["shut"])
    first = (hub.at(REPO, "main") or ("", {}))[0]
    run("push", REPO, artifacts["open"])
    assert run("pull", REPO).exit_code == 0
    folder = find(encoder_fingerprint(tiny_model.encoder))
    assert Artifact.load(folder or "").digest() == Artifact.load(artifacts["open"]).digest()
    assert run("pull", REPO, "--revision", first).exit_code == 0
    assert Artifact.load(folder or "").digest() == Artifact.load(artifacts["shut"]).digest()
    unknown = run("pull", REPO, "--revision", "0" * 40)
    assert unknown.exit_code == 1 and "no such repository or revision" in unknown.output


def test_the_readme_says_model_data_promise_and_figures(hub: Hub) -> None:
    assert run("push", REPO, "tiny.en").exit_code == 0
    there = (hub.at(REPO, "main") or ("", {}))[1]
    assert {"names.json", "names.safetensors", "risk.json", "risk.safetensors"} <= set(there)
    text = there["README.md"].decode()
    card = json.loads(there["card.json"])
    assert text.startswith("---\nlibrary_name: whisper-steer\n")
    assert f"- encoder-{card['fingerprint'].removeprefix('sha256:')[:16]}" in text
    assert card["fingerprint"] in text and f"whisper-steer pull {REPO}" in text
    assert "librispeech-train-clean-100 140" in text
    assert "From 703 held-out utterances" in text and "| 0.5% |" in text
    assert "explained variance" in text and "gate conv, nonspeech with spans" in text
    assert card["command"] in text
    pulled = run("pull", REPO)
    assert pulled.exit_code == 0, pulled.output
    folder = find(card["fingerprint"])
    assert folder is not None and folder.parent == pulled_folder(), "before the one that ships"


def test_files_that_no_artifact_has_are_refused_both_ways(hub: Hub, artifacts: dict[str, Path]) -> None:
    run("push", REPO, artifacts["shut"])
    there = (hub.at(REPO, "main") or ("", {}))[1]
    hub.commit(REPO, {**there, "pytorch_model.bin": b"a pickle"})
    asked = len(hub.asked)
    pulled = run("pull", REPO)
    assert pulled.exit_code == 1 and "'pytorch_model.bin', which no artifact has" in pulled.output
    assert not any("resolve" in path for _, path in hub.asked[asked:]), "nothing is even asked for"
    assert not pulled_folder().exists()
    pushed = run("push", REPO, artifacts["open"])
    assert pushed.exit_code == 2 and "name a new repository" in pushed.output


def test_damaged_or_foreign_artifacts_leave_nothing(
    hub: Hub, artifacts: dict[str, Path], multilingual_path: Path
) -> None:
    run("push", REPO, artifacts["shut"])
    there = (hub.at(REPO, "main") or ("", {}))[1]
    other = run("pull", REPO, "--model", multilingual_path)
    assert other.exit_code == 1 and "is for another encoder" in other.output
    assert not any(path.endswith("steering.safetensors") and m == "GET" for m, path in hub.asked)
    for name in ("steering.safetensors", "sae.safetensors"):
        hub.commit(REPO, {**there, name: there[name][:-100]})
        damaged = run("pull", REPO)
        assert damaged.exit_code == 1 and "is damaged" in damaged.output and "Traceback" not in damaged.output
    hub.commit(REPO, {"README.md": b"nothing"})
    empty = run("pull", REPO)
    assert empty.exit_code == 1 and "holds no steering artifact" in empty.output
    assert not pulled_folder().exists() or not list(pulled_folder().iterdir())


def test_what_the_hub_refuses_is_one_line(
    hub: Hub, artifacts: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    unknown = run("pull", "nobody/nothing")
    assert unknown.exit_code == 1 and "the hub answers 404" in unknown.output
    wrong = run("pull", "a/b/c")
    assert wrong.exit_code == 2 and "give OWNER/NAME" in wrong.output
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody_else")
    refused = run("push", REPO, artifacts["shut"])
    assert refused.exit_code == 1 and "the hub answers 401" in refused.output and "HF_TOKEN" in refused.output
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    cut_off = run("pull", REPO)
    assert cut_off.exit_code == 1 and "the hub cannot be reached" in cut_off.output
    for each in (unknown, wrong, refused, cut_off):
        assert len(each.output.strip().splitlines()) == 1, each.output


def test_a_later_artifact_without_some_files_removes_them(
    hub: Hub, artifacts: dict[str, Path], tiny_model: Whisper, tmp_path: Path
) -> None:
    """Names of latents that are another artifact's would be told of this one."""
    run("push", REPO, artifacts["shut"])
    bare = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    bare.sae = None
    assert run("push", REPO, bare.save(tmp_path / "bare")).exit_code == 0
    assert "sae.safetensors" not in (hub.at(REPO, "main") or ("", {}))[1]


def test_export_copies_an_artifact_with_its_readme(
    tiny_path: Path, tiny_model: Whisper, tmp_path: Path
) -> None:
    source = make_artifact(tiny_model.encoder, threshold=ALWAYS_SHUT).save(tmp_path / "source")
    done = run("export", tiny_path, "--steering", source, "--format", "artifact", "-o", tmp_path / "copy")
    assert done.exit_code == 0, done.output
    assert "# Steering for Whisper: by-hand" in (tmp_path / "copy" / "README.md").read_text()
    copied = files_of(tmp_path / "copy")
    del copied["README.md"]
    assert copied == files_of(source)
    wrong = run(
        "export",
        tiny_path,
        "--steering",
        source,
        "--format",
        "artifact",
        "--strength",
        "2",
        "-o",
        tmp_path / "x",
    )
    assert wrong.exit_code == 2 and "leave out --strength" in wrong.output


def test_the_commands_take_the_hub_from_the_environment(
    hub: Hub, artifacts: dict[str, Path], tmp_path: Path
) -> None:
    """As a user runs them, in a process of their own: HF_ENDPOINT and HF_TOKEN are all they are told."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
    }
    for args in (("push", REPO, str(artifacts["shut"])), ("pull", REPO)):
        program = f"from whisper_steer.cli import main; main({list(args)!r})"
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len(list(pulled_folder().iterdir())) == 1
