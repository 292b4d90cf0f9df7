"""Loss recovered: what is left of Whisper's decoder when it hears through an SAE.

The reconstruction takes the place of the activations at the hook point in all frames of a window (of the SAE's
training: frames of audio and padding alike), and the decoder's cross-entropy on the reference transcript is taken with
the transcript fed to it. With the ablated activations, each frame the mean of training:

    loss recovered = (CE ablated - CE with the SAE) / (CE ablated - CE as it is)

1 is an SAE that loses nothing, 0 one that says no more than the mean (after arXiv 2404.16014, which ablates to zero).
Transcripts in capitals are made small, as Whisper would hardly write them so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiwer
import torch
from torch import Tensor
from torch.nn import functional as F
from whisper.decoding import DecodingOptions, decode
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.data.normalize import normalize
from whisper_steer.formats.hf import load_hf
from whisper_steer.models.hooks import Edit, hooked, run
from whisper_steer.models.load import load_model

LONGEST = 30.0
"""seconds"""


def with_decoder(name: str, device: torch.device) -> Whisper:
    """A whole Whisper, of any format that `whisper_steer.lab.encoders.open_encoder` reads. Raises as that does."""
    if not (Path(name) / "config.json").is_file() or (Path(name) / "model.bin").is_file():
        return load_model(name, device)
    return load_hf(Path(name)).to(device)


@dataclass
class Transcribed:
    """What one way to hear a set of clips gave."""

    losses: list[float] = field(default_factory=list)
    """cross-entropy per token, in nats, of each clip"""
    texts: list[str] = field(default_factory=list)
    """what is written, normalised"""


def suitable(clips: Sequence[Clip], model: Whisper, n: int, choose: Callable[[Clip], Any]) -> list[Clip]:
    """At most n clips of speech with a transcript, of half a minute at most and in a language of the model: the first
    in the order of ``choose``."""
    found = [
        clip
        for clip in clips
        if clip.kind == "speech"
        and clip.text
        and 0 < clip.seconds <= LONGEST
        and (model.is_multilingual or clip.language in ("en", None))
    ]
    return sorted(found, key=choose)[:n]


@torch.no_grad()
def hear(
    model: Whisper, clips: Sequence[Clip], point: str | None = None, edit: Edit | None = None
) -> Transcribed:
    """Every clip with the activations at a point edited, decoded greedily without timestamps."""
    found, device = Transcribed(), next(model.parameters()).device
    edits = [] if point is None or edit is None else [(point, edit)]
    for clip in clips:
        mel = window_mel(clip.samples(), model.dims.n_mels)[None].to(device)
        with hooked(model.encoder, *edits):
            features = run(model.encoder, mel)
        language = clip.language or "en"
        found.losses.append(cross_entropy(model, features, clip.text or "", language))
        options = DecodingOptions(language=language, without_timestamps=True, fp16=False)
        (result,) = decode(model, features, options)
        found.texts.append(normalize(result.text, clip.normalizer))
    return found


@torch.no_grad()
def cross_entropy(model: Whisper, features: Tensor, text: str, language: str) -> float:
    """Nats per token of a transcript, its end included, fed to the decoder; ``features``: (1, 1500, n_state)."""
    tokenizer = get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages, language=language, task="transcribe"
    )
    start = list(tokenizer.sot_sequence_including_notimestamps)
    written = tokenizer.encode(" " + (text.lower() if text.isupper() else text).strip())
    written = [*written[: model.dims.n_text_ctx - len(start)], tokenizer.eot]
    tokens = torch.tensor([start + written], device=features.device)
    logits = model.decoder(tokens[:, :-1], features)[0, len(start) - 1 :]
    return float(F.cross_entropy(logits.float(), tokens[0, len(start) :]))


def recovered(
    clean: Transcribed, ablated: Transcribed, through: Transcribed, clips: Sequence[Clip]
) -> dict[str, float]:
    """The figures of one SAE: means over clips, word error rates over all words."""
    references = [normalize(clip.text or "", clip.normalizer) for clip in clips]
    kept = [i for i, text in enumerate(references) if text]
    found = {}
    for name, heard in (("clean", clean), ("sae", through), ("ablated", ablated)):
        found[f"ce_{name}"] = sum(heard.losses) / len(heard.losses)
        found[f"wer_{name}"] = float(jiwer.wer([references[i] for i in kept], [heard.texts[i] for i in kept]))
    lost = found["ce_ablated"] - found["ce_clean"]
    return {"loss_recovered": (found["ce_ablated"] - found["ce_sae"]) / lost, **found}


def replaced(by: Callable[[Tensor], Tensor]) -> Edit:
    """An edit that puts something of (frames, n_state) in place of the activations (batch, frames, n_state)."""

    def edit(hidden: Tensor) -> Tensor:
        return by(hidden.flatten(0, 1).float()).reshape(hidden.shape)

    return edit
