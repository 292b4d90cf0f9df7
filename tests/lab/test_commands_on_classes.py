"""``probe``, ``erase`` and ``disentangle`` end to end on a random model: table, JSON and plot, and errors that help."""

import json
import re
import sys
from pathlib import Path

import pytest
from bench import corpus
from helpers import random_sae, run
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def given(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Model, SAE and data for any of them: chirps and noises, ten groups in each split."""
    folder = tmp_path_factory.mktemp("given")
    tensors = {name: value.detach().contiguous() for name, value in random_sae().state_dict().items()}
    save_file(tensors, folder / "sae.safetensors")
    data = corpus(folder, per_split=10)
    return [
        "--model",
        tiny_path,
        "--sae",
        f"blocks.0={folder / 'sae.safetensors'}",
        "--data",
        f"manifest:{data}",
    ]


def test_probe(given: list[str | Path], tmp_path: Path) -> None:
    done = run(
        "lab", "probe", *given, "--label", "kind", "--per-class", "6", "--sparsity", ".9", "--out", tmp_path
    )
    assert done.exit_code == 0, done.output
    assert "chance 0.500" in done.stdout
    values = json.loads((tmp_path / "probe.json").read_text())["values"]
    assert {(re.sub(r"[,:] \d+ active", "", v["what"]), v["units"]) for v in values} >= {
        ("dense", 32), ("latents", 10), ("latents", 128), ("latents, sparsity 0.9", 128),
    }  # fmt: skip
    best = max(v["balanced_accuracy"]["value"] for v in values)
    assert best == 1  # a chirp is no noise, even to random weights
    assert (tmp_path / "probe.svg").read_text().startswith("<svg")
    assert (tmp_path / "probe.md").read_text() in done.stdout


def test_probe_of_every_layer_without_saes(given: list[str | Path], tmp_path: Path) -> None:
    """Noise or not: the same chirps with noise mixed in, of the same split."""
    dense = [each for each in given if each != "--sae" and not str(each).startswith("blocks.0=")]
    done = run(
        "lab", "probe", *dense, "--point", "all", "--label", "condition", "--condition", "snr:0", "--out", tmp_path
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    values = json.loads((tmp_path / "probe.json").read_text())["values"]
    assert [(v["point"], v["what"], v["units"]) for v in values] == [
        (point, "dense", 32) for point in ("blocks.0", "blocks.1", "ln_post")
    ]
    assert "2 by condition" in done.stdout
    assert (tmp_path / "probe.svg").read_text().startswith("<svg")
    for more, says in (([], "--point all"), (["--point", "blocks.9"], "there are blocks.0")):
        done = run("lab", "probe", *dense, *more, "--label", "kind")
        assert (done.exit_code, says in done.stderr) == (2, True), done.stderr


def test_probe_of_a_folder_per_class(given: list[str | Path], tmp_path: Path) -> None:
    data = Path(str(given[-1]).partition(":")[2]).parent
    for path in data.glob("*-*-[0-1].wav"):
        kind, split, number = path.stem.split("-")
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / f"{split}{number}_.wav").symlink_to(path)
    done = run(
        "lab", "probe", *given[:-2], "--classes", tmp_path, "--group-pattern", r"/(\w+)_", "--pool", "before",
        "--leave-one-group-out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "held out each of 6 groups in turn" in done.stdout


@pytest.mark.parametrize("frames", [[], ["--frames", "4"]])
def test_erase(given: list[str | Path], frames: list[str], tmp_path: Path) -> None:
    done = run(
        "lab",
        "erase",
        *given,
        "--label",
        "kind",
        "--concept",
        "speech",
        "--per-class",
        "5",
        *frames,
        "--out",
        tmp_path,
    )
    assert done.exit_code == 0, done.output
    values = json.loads((tmp_path / "erase-speech.json").read_text())["values"]
    assert len(values) == 8
    assert all(v["left"][0]["value"] > 0.8 for v in values if v["l2"])
    assert all(len(v["removed"]) == len(v["left"]) for v in values)


def test_disentangle(given: list[str | Path], tmp_path: Path) -> None:
    pytest.importorskip("opensmile", reason="opensmile is not installed: pip install '.[lab]'")
    done = run("lab", "disentangle", *given, "--as-published", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    assert "10 of test, fitted and scored on" in done.stdout
    dense, latents = json.loads((tmp_path / "disentangle-as-published.json").read_text())["values"]
    assert dense["factors"] == latents["factors"]
    assert len(dense["r2"]) == 10


def test_disentangle_says_what_to_install(given: list[str | Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opensmile", None)
    done = run("lab", "disentangle", *given)
    assert done.exit_code == 1
    assert "pip install 'whisper-steer[lab]'" in done.stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--sae", "no-sign"], "--sae no-sign should be POINT=FILE"),
        (["--sae", "blocks.9=x"], "has no blocks.9; it has blocks.0, blocks.1, ln_post"),
        (["--dataset", "vocalset"], "no data set vocalset; there are nonspeech, speech"),
        (["--only", "music"], "no clip has kind music; there are nonspeech, speech"),
        (["--classes", "folder"], "pass either --data or --classes"),
        (["--sparsity", "1"], "--sparsity is a share"),
        (["--sparsity", "much"], "numbers with commas"),
    ],
)
def test_usage_errors_name_the_remedy(given: list[str | Path], changed: list[str], message: str) -> None:
    done = run("lab", "probe", *given, "--label", "kind", *changed)
    assert done.exit_code == 2
    assert message in done.stderr


def test_controls_stand_beside_an_sae_of_the_same_hook_point(given: list[str | Path], tmp_path: Path) -> None:
    """Without them no figure of a trained SAE says that it learned anything."""
    state = {name: value.detach().contiguous() for name, value in random_sae(seed=1).state_dict().items()}
    save_file(state, tmp_path / "control.safetensors")
    both = [*given, "--sae", f"blocks.0={tmp_path / 'control.safetensors'}", "--label", "kind"]
    asked = [*both, "--per-class", "5", "--out", tmp_path / "out"]
    assert run("lab", "probe", *asked).exit_code == 0
    values = json.loads((tmp_path / "out" / "probe.json").read_text())["values"]
    kinds = {v["what"].partition(",")[0] for v in values}
    assert "dense" in kinds and len(kinds) == 3 and any(kind.endswith("/control") for kind in kinds)
    assert run("lab", "erase", *asked, "--concept", "speech").exit_code == 0
    values = json.loads((tmp_path / "out" / "erase-speech.json").read_text())["values"]
    assert len(values) == 8 + 4  # directions in the activations are removed once
    done = run("lab", "probe", *both, *given[2:4])
    assert done.exit_code == 2 and "stands twice" in done.stderr
