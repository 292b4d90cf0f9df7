"""A checkpoint with steering written in, as a folder for a stock runtime, and the check that it does the same.

The folder holds ``card.json``: the artifact's card, what was baked and how well. Formats: ``openai`` (``model.pt``
for ``whisper.load_model``), ``hf`` (transformers, and through it ONNX and others), ``ct2`` (faster-whisper).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import whisper
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.audio.load import load_audio
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import UsageError
from whisper_steer.export.bake import bake_vector, constant
from whisper_steer.files.card import CARD
from whisper_steer.files.replace import check_target, replacing
from whisper_steer.formats import hf
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.models.hooks import hooked, run
from whisper_steer.steer.steering import Steering

Format = Literal["openai", "hf", "ct2"]


@dataclass(frozen=True)
class Check:
    """An exported folder against hooks on the original model, over some recordings."""

    recordings: int
    max_difference: float
    """largest absolute difference of the encoder outputs"""
    scale: float
    """root mean square of those outputs"""
    identical_tokens: int
    """recordings whose first window is decoded to the same tokens, greedily, by the original decoder"""


def export(
    model: Whisper,
    folder: str | Path,
    *,
    format: Format,
    steering: Steering | None = None,
    quantization: str | None = None,
) -> dict[str, Any]:
    """Write the folder, whole or not at all; returns the card.

    steering: what is baked, always on, without its gate; None converts only. quantization: ct2 only, as its converter
    names them. Raises `UsageError` for a method that is no constant vector and for a folder in use (`check_free`),
    `MissingPackageError`, `FingerprintError`.
    """
    check_free(folder)
    if format not in get_args(Format):
        raise UsageError(f"unknown format {format!r}; choose one of {', '.join(get_args(Format))}")
    if quantization is not None and format != "ct2":
        raise UsageError("--quantization goes with --format ct2")
    card: dict[str, Any] = {"fingerprint": encoder_fingerprint(model.encoder), "format": format}
    if steering is not None:
        steering.artifact.check(card["fingerprint"])
        model, baked = _bake(model, steering)
        card = {**steering.artifact.card(), **card, "baked": baked}
        card["baked"]["fingerprint"] = encoder_fingerprint(model.encoder)
    with replacing(folder, "exported model", _written) as made:
        if format == "openai":
            _save_openai(model, made / "model.pt")
        elif format == "hf":
            hf.save_hf(model, made)
        else:
            save_ct2(model, made, quantization or "float16")
        card["files"] = sorted(path.name for path in made.iterdir())
        (made / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def check_free(folder: str | Path) -> None:
    """Raise `UsageError` where a model must not be exported to: anything but a new place, an empty folder or the
    folder of an exported model without other files."""
    check_target(folder, "exported model", _written)


def _written(card: dict[str, Any]) -> Collection[str]:
    files = card.get("files")
    ours = card.get("format") in get_args(Format) and isinstance(files, list)
    return [name for name in files if isinstance(name, str)] if ours and files else ()


def check(model: Whisper, steering: Steering | None, folder: str | Path, audio: Sequence[Path]) -> Check:
    """Run the folder in its own runtime, and hooks on the original model, over the first window of recordings."""
    encode = load_exported(folder)
    worst, squares, same = 0.0, [], 0
    language = None if model.is_multilingual else "en"
    options = whisper.DecodingOptions(language=language, fp16=False, without_timestamps=True)
    for path in audio:
        mel = log_mel(model, load_audio(path))
        expected = encoded(model, mel[None].to(model.device), steering)
        found = encode(mel[None])
        worst = max(worst, float((found - expected).abs().max()))
        squares.append(float(expected.square().mean()))
        texts = [whisper.decode(model, features[0], options).tokens for features in (expected, found)]
        same += texts[0] == texts[1]
    return Check(len(audio), worst, float(np.sqrt(np.mean(squares))), same)


def load_exported(folder: str | Path) -> Callable[[Tensor], Tensor]:
    """The encoder of an exported folder in its stock runtime, float32: mel (1, mels, 3000) -> (1, 1500, state)."""
    folder = Path(folder)
    if (folder / "model.pt").is_file():
        model = whisper.load_model(str(folder / "model.pt"), device="cpu")
        return lambda mel: model.encoder(mel).detach()
    if (folder / "model.bin").is_file():
        import ctranslate2

        runtime = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="default")

        def through_ct2(mel: Tensor) -> Tensor:
            view = runtime.encode(ctranslate2.StorageView.from_array(mel.contiguous().numpy()))
            return torch.from_numpy(np.array(view, dtype=np.float32))

        return through_ct2
    if (folder / "model.safetensors").is_file():
        transformers = hf.import_transformers()
        loaded = transformers.WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
        return lambda mel: loaded.model.encoder(mel).last_hidden_state.detach()
    raise UsageError(f"{folder} holds no exported model; make one with: whisper-steer export")


def log_mel(model: Whisper, samples: np.ndarray) -> Tensor:
    """The first 30 s as (mels, 3000)."""
    window = whisper.pad_or_trim(torch.from_numpy(samples))
    return whisper.log_mel_spectrogram(window, n_mels=model.dims.n_mels)


@torch.no_grad()
def encoded(model: Whisper, mel: Tensor, steering: Steering | None) -> Tensor:
    """Log-mel windows (batch, mels, 3000) encoded by the original model, edited by a hook on every frame, ungated."""
    edits = [] if steering is None else [(steering.artifact.hook_point, steering.edit)]
    with hooked(model.encoder, *edits):
        return run(model.encoder, mel)


def _bake(model: Whisper, steering: Steering) -> tuple[Whisper, dict[str, Any]]:
    about = {"method": steering.method_name, "strength": steering.strength, "gated": False}
    return bake_vector(model, steering.artifact.hook_point, constant(steering)), about


def _save_openai(model: Whisper, path: Path) -> None:
    """fp16, as OpenAI's are; what baking changed stays float32 where fp16 would round it."""
    state = {
        name: value.half() if torch.equal(value.half().float(), value.float()) else value
        for name, value in model.state_dict().items()
        if name != "alignment_heads"
    }
    torch.save({"dims": asdict(model.dims), "model_state_dict": state}, path)
