"""Which latents tell speech from non-speech, and which ones make the decoder write.

Detection: AUROC of each latent over frames and over windows, and the weight of a logistic regression. Effect: by
how much clamping the latent would raise the decoder's preference for an empty result, to first order (attribution
patching: change times gradient), on non-speech windows. A latent may detect speech well and have no effect.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper
from whisper.tokenizer import Tokenizer, get_tokenizer

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.encoders.prefix import run_from
from whisper_steer.encoders.record import Activations
from whisper_steer.sae.model import SAE

FRAMES_PER_WINDOW = 40
MOST_WINDOWS = 300


@dataclass
class LatentScores:
    """Scores of all latents, each (n_latents,)."""

    frame_auroc: Tensor
    """0.5 = tells nothing; 1 = always larger on speech frames"""
    window_auroc: Tensor
    """of the largest 0.2 s mean in a window"""
    speech_mean: Tensor
    nonspeech_mean: Tensor
    typical: Tensor
    """mean activation where active"""
    high: Tensor
    """95th percentile where active"""
    effect: Tensor
    """mean gain in the log odds of an empty result when clamped"""
    gradient: Tensor
    """mean gradient of those log odds per unit of activation, summed over frames"""


def auroc(values: Tensor, positive: Tensor) -> Tensor:
    """Area under the ROC curve of each column of (n, m) for a bool target (n,), ties counted half."""
    chosen = positive.numpy()
    sums = [rankdata(part.numpy(), axis=0)[chosen].sum(axis=0) for part in values.split(512, dim=1)]
    n_positive = int(chosen.sum())
    above = torch.from_numpy(np.concatenate(sums)) - n_positive * (n_positive + 1) / 2
    return (above / (n_positive * (len(values) - n_positive))).float()


def latent_scores(
    model: Whisper, point: str, sae: SAE, activations: Activations, n: int, seed: int = 0
) -> LatentScores:
    """All scores; the effect on the decoder is measured on up to ``n`` non-speech windows."""
    detection = _detection(sae, activations, seed)
    effect, gradient = effect_on_decoder(model, point, sae, activations, detection["high"], n)
    return LatentScores(**detection, effect=effect, gradient=gradient)


@torch.no_grad()
def _detection(sae: SAE, activations: Activations, seed: int) -> dict[str, Tensor]:
    """The scores that need no decoder, by name."""
    rng = np.random.default_rng(seed)
    chosen_windows = np.sort(rng.permutation(len(activations.labels))[:MOST_WINDOWS])
    # Filled in place: keeping small slices of large temporary tensors would fragment memory into gigabytes.
    sample = torch.empty(2 * FRAMES_PER_WINDOW * len(chosen_windows), sae.config.n_latents)
    is_speech = torch.empty(len(sample), dtype=torch.bool)
    tops = torch.empty(len(chosen_windows), sae.config.n_latents)
    n, heard = 0, activations.heard
    for row, i in enumerate(tqdm(chosen_windows, desc="scoring latents", unit="window")):
        labels, encoded = activations.labels[i], sae.encode(activations.frames(int(i)))
        tops[row] = encoded.reshape(-1, 10, encoded.shape[-1]).mean(dim=1).amax(dim=0)
        for label in (SPEECH, NONSPEECH):
            content = np.flatnonzero((labels == label) & heard[i])
            chosen = rng.permutation(content)[:FRAMES_PER_WINDOW]
            sample[n : n + len(chosen)] = encoded[chosen]
            is_speech[n : n + len(chosen)] = label == SPEECH
            n += len(chosen)
    z, speech = sample[:n], is_speech[:n]
    active = (z > 0).float()
    typical = z.sum(dim=0) / active.sum(dim=0).clamp_min(1)
    return {
        "frame_auroc": auroc(z, speech),
        "window_auroc": auroc(tops, torch.from_numpy(activations.speech[chosen_windows])),
        "speech_mean": z[speech].mean(dim=0),
        "nonspeech_mean": z[~speech].mean(dim=0),
        "typical": typical,
        "high": z.kthvalue(int(0.95 * len(z)), dim=0).values.maximum(typical),
    }


def effect_on_decoder(
    model: Whisper, point: str, sae: SAE, activations: Activations, high: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """``effect`` and ``gradient`` from up to n non-speech windows."""
    chosen = np.flatnonzero(~activations.speech)[:n]
    effect, slope = torch.zeros(sae.config.n_latents), torch.zeros(sae.config.n_latents)
    for i in tqdm(chosen, desc="effect on the decoder", unit="window"):
        h = activations.frames(int(i))[None]
        gradient = silence_gradient(model, point, h)[0]
        with torch.no_grad():
            z = sae.encode(h[0])
            _, scale = sae.normalise(h[0])
            per_unit = (gradient * scale) @ sae.W_dec.T
            target = torch.where(per_unit.sum(dim=0) > 0, high, 0.0)
            effect += ((target - z) * per_unit).sum(dim=0) / len(chosen)
            slope += per_unit.sum(dim=0) / len(chosen)
    return effect, slope


def silence_gradient(model: Whisper, point: str, hidden: Tensor) -> Tensor:
    """Gradient (batch, 1500, n_state) of the log odds of "end of text" as the first token, at ``point``."""
    hidden = hidden.clone().requires_grad_()
    with torch.enable_grad():
        features = run_from(model.encoder, point, hidden)
        log_odds = silence_log_odds(model, features).sum()
        (gradient,) = torch.autograd.grad(log_odds, hidden)
    return gradient.detach()


def silence_log_odds(model: Whisper, features: Tensor) -> Tensor:
    """Log odds (batch,) that the decoder, asked for text without timestamps, ends at once."""
    tokenizer = english(model)
    prompt = torch.tensor([tokenizer.sot_sequence_including_notimestamps], device=features.device)
    logits = model.decoder(prompt.expand(len(features), -1), features)[:, -1].float()
    text = torch.logsumexp(logits[:, : tokenizer.eot], dim=-1)
    return logits[:, tokenizer.eot] - text


def english(model: Whisper) -> Tokenizer:
    """The tokenizer for transcribing English."""
    return get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages, language="en", task="transcribe"
    )
