"""The Soft-Frozen control of arXiv 2602.14111: an SAE whose decoder directions may turn only a little from random
ones (cosine of 0.8 or more), trained on the same kind of activations and scored and selected as ours is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.encoders.record import Activations
from whisper_steer.fit.scoring import latent_scores
from whisper_steer.fit.selection import build_edits, edit_latents
from whisper_steer.sae.model import SAE, SAEConfig
from whisper_steer.sae.train import Training, batch_top_k
from whisper_steer.steer.methods import Edits

from ..fits import Bank

COSINE = 0.8
EFFECT_WINDOWS = 20


def soft_frozen_edits(bank: Bank) -> Edits:
    """Train the control on the fit windows and select its latents by the same scores as `whisper-steer fit`."""
    session, artifact = bank.session, bank.session.need_artifact()
    activations = fit_activations(bank, artifact.hook_point)
    ours, budget = artifact.load_sae().config, Training(**artifact.info["plan"]["training"])
    sae = train_soft_frozen(activations, ours, replace(budget, seed=session.seed))
    scores = latent_scores(session.model, artifact.hook_point, sae, activations, EFFECT_WINDOWS, session.seed)
    return build_edits(sae, scores, activations, edit_latents(scores, len(artifact.edits.sign)))


def fit_activations(bank: Bank, point: str) -> Activations:
    """Activations of the fit windows; a frame of audio carries speech if its clip does."""
    hidden, labels, content, speech = [], [], [], []
    for kind, label in (("speech", SPEECH), ("nonspeech", NONSPEECH)):
        for clip, mel in zip(bank.clips["fit", kind], bank.mels("fit", kind), strict=False):
            hidden.append(bank.session.hidden(mel, point).half().cpu().numpy())
            frames = min(len(hidden[-1]), max(1, round(clip.seconds * 50)))
            labels.append(np.full(len(hidden[-1]), label, np.int8))
            content.append(frames)
            speech.append(label == SPEECH)
    return Activations(
        np.stack(hidden), np.stack(labels), np.array(content), np.array(speech), ["clean"] * len(speech)
    )


def train_soft_frozen(activations: Activations, config: SAEConfig, training: Training) -> SAE:
    """Batch-Top-K training with Adam, as long as ours; after each step every direction is turned back to COSINE
    where it strayed.
    """
    seed = training.seed
    sae = SAE(config, torch.Generator().manual_seed(seed + 1))
    start = sae.W_dec.detach().clone()
    index = activations.frame_index(np.random.default_rng(seed))
    rng = np.random.default_rng(seed)

    def gather(rows: np.ndarray) -> Tensor:
        return torch.from_numpy(activations.hidden[rows[:, 0], rows[:, 1]]).float()

    sae.mean.copy_(gather(index[rng.permutation(len(index))[:20_000]]).mean(dim=0))
    optimizer = torch.optim.Adam(sae.parameters(), lr=training.learning_rate)
    for _ in range(training.steps):
        x, _ = sae.normalise(gather(index[rng.integers(len(index), size=training.batch)]))
        z, kept = batch_top_k(sae.pre_activations(x), config.k)
        loss = (x - sae.decode(z)).pow(2).sum(dim=-1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            sae.W_dec.copy_(turn_back(sae.W_dec, start))
            sae.threshold.mul_(0.99).add_(0.01 * kept.float())
    return sae.eval()


def turn_back(directions: Tensor, start: Tensor) -> Tensor:
    """Unit directions (n, state), each at cosine COSINE or more with its start (n, state)."""
    directions = directions / directions.norm(dim=1, keepdim=True)
    cosine = (directions * start).sum(dim=1, keepdim=True)
    across = directions - cosine * start
    across = across / across.norm(dim=1, keepdim=True).clamp_min(1e-12)
    limited = COSINE * start + (1 - COSINE**2) ** 0.5 * across
    return torch.where(cosine < COSINE, limited, directions)
