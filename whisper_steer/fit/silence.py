"""Finds the latents that silence the decoder, how far to move them, and those that say where nobody speaks.

The change is what an optimiser finds on windows of non-speech, with an L1 penalty, so that few latents carry it; each
is told with two numbers, its effect there and on the transcripts of speech (integrated gradients, Sundararajan et
al., arXiv 1703.01365). What it costs on speech is kept down by the condition: see `whisper_steer.steer.silence`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.data.labels import FRAMES, NONSPEECH
from whisper_steer.encoders.prefix import run_from
from whisper_steer.encoders.record import Activations
from whisper_steer.fit.scoring import auroc, english
from whisper_steer.fit.strengths import texts
from whisper_steer.sae.model import SAE
from whisper_steer.steer.silence import Condition, Silence

CHANGED, TOLD = 64, 512
"""latents that are moved, and that the condition reads"""
FRAMES_OF_A_KIND = 20_000
TOLD_BY = 24
"""windows of a kind on which effects are told"""
SURE, UNSURE = -0.05, -1.8
"""log probabilities: of no speech, at least; of any one token as the first text, at most"""


@dataclass(frozen=True)
class Training:
    """How the change is found."""

    steps: int = 60
    batch: int = 8
    learning_rate: float = 0.01
    penalty: float = 0.004
    """L1, taken off in every step"""


def fit_condition(
    sae: SAE, nonspeech: Activations, speech: Sequence[Activations], seed: int = 0
) -> Condition:
    """From non-speech against all else: speech, clean and degraded, and the padding behind any of them.

    Reads the latents that tell them best frame by frame. The threshold is 0 until it is calibrated.
    """
    rng = np.random.default_rng(seed)
    parts = [_sample(nonspeech, nonspeech.heard, 2 * FRAMES_OF_A_KIND, rng)]
    for each in speech:
        parts.append(_sample(each, each.heard & (each.labels != NONSPEECH), FRAMES_OF_A_KIND, rng))
    for each in (nonspeech, *speech):
        padding = each.content[:, None] + 10 < np.arange(FRAMES)
        parts.append(_sample(each, padding, FRAMES_OF_A_KIND // 8, rng))
    with torch.no_grad():
        z = torch.cat([sae.encode(part).half() for h in parts for part in h.split(2048)])
    quiet = torch.arange(len(z)) < len(parts[0])
    shown = torch.from_numpy(rng.permutation(len(z))[:FRAMES_OF_A_KIND])
    worth = (auroc(z[shown].float(), quiet[shown]) - 0.5).abs()
    chosen = worth.topk(min(TOLD, len(worth))).indices.sort().values
    x = z[:, chosen].float()
    spread = x.std(dim=0).clamp_min(1e-4)
    model = LogisticRegression(C=0.1, max_iter=200, class_weight="balanced").fit(
        (x / spread).numpy(), quiet.numpy()
    )
    weight = torch.from_numpy(model.coef_[0]).float() / spread
    bias = torch.tensor(float(model.intercept_[0]))
    return Condition(sae.latents(chosen), weight, bias, torch.zeros(()))


@torch.no_grad()
def calibrate(condition: Condition, clean: Activations, hard: Activations) -> None:
    """Set the threshold so that 1 % of clean utterances and 5 % of hard ones have a frame that is edited."""
    levels = []
    for each, share in ((clean, 0.01), (hard, 0.05)):
        tops = []
        for i, content in enumerate(each.content):
            tops.append(condition.logits(each.frames(i)[None])[0, : int(content)].amax())
        levels.append(torch.stack(tops).quantile(1 - share))
    condition.threshold = torch.stack(levels).amax()


def fit_silence(
    model: Whisper,
    point: str,
    sae: SAE,
    fitted: Activations,
    clean: Activations,
    hard: Activations,
    degraded: Activations | None = None,
    seed: int = 0,
) -> tuple[Silence, Tensor]:
    """The latents that silence the decoder, under a condition; and their change among all latents (n_latents,).

    ``fitted``: windows of both kinds; ``degraded``: more speech to fit the condition on; ``clean`` and ``hard``: speech
    to calibrate it on.
    """
    nonspeech, speech = (fitted.of(rows) for rows in (~fitted.speech, fitted.speech))
    condition = fit_condition(sae, nonspeech, (speech,) if degraded is None else (speech, degraded), seed)
    calibrate(condition, clean, hard)
    change = find_change(model, point, sae, nonspeech, seed=seed)
    chosen = change.nonzero()[:, 0]
    return Silence(sae.latents(chosen), change[chosen], condition), change


def find_change(
    model: Whisper,
    point: str,
    sae: SAE,
    nonspeech: Activations,
    training: Training = Training(),
    seed: int = 0,
) -> Tensor:
    """(n_latents,) how far to move each latent in the frames of non-speech; all but `CHANGED` are 0.

    Wanted are: a probability of no speech near 1, and end-of-text as the likeliest first text token, without and with
    timestamps, but none that is likely, so that Whisper's own rule would drop the window, too.
    """
    change = torch.zeros(sae.config.n_latents, requires_grad=True)
    kept = torch.ones_like(change)
    optimizer = torch.optim.Adam([change], lr=training.learning_rate)
    rng = np.random.default_rng(seed)
    bar = tqdm(range(training.steps), desc="what silences", unit="step")
    for step in bar:
        rate = training.learning_rate * min(1.0, 2 * (1 - step / training.steps))
        optimizer.param_groups[0]["lr"] = rate
        rows = rng.choice(len(nonspeech.speech), min(training.batch, len(nonspeech.speech)), replace=False)
        features = moving(model, point, sae, nonspeech, rows)(change * kept)
        loss = not_silent(model, features).mean()
        (change.grad,) = torch.autograd.grad(loss, change)  # of nothing else: the model is the user's
        optimizer.step()
        with torch.no_grad():
            shrunk = (change.abs() - training.penalty * rate / training.learning_rate).clamp_min(0)
            change.copy_(change.sign() * shrunk)
            if step + 1 == training.steps // 2:
                kept = torch.zeros_like(change)
                kept[change.abs().topk(CHANGED).indices] = 1.0
        bar.set_postfix(loss=f"{float(loss.detach()):.2f}", refresh=False)
    return (change * kept).detach()


def not_silent(model: Whisper, features: Tensor) -> Tensor:
    """What `find_change` makes small: (batch,) from the encoder's output (batch, 1500, n_state)."""
    tokenizer = english(model)
    sot = list(tokenizer.sot_sequence)
    lost = features.new_zeros(len(features))
    for last in (tokenizer.no_timestamps, tokenizer.timestamp_begin):
        prompt = torch.tensor([[*sot, last]], device=features.device).expand(len(features), -1)
        logits = model.decoder(prompt, features).float()
        if last == tokenizer.no_timestamps:
            silent = logits[:, sot.index(tokenizer.sot)].log_softmax(dim=-1)[:, tokenizer.no_speech]
            lost = lost - silent.clamp_max(SURE)
        first = logits[:, -1, : tokenizer.eot + 1].log_softmax(dim=-1)
        text, end = first[:, : tokenizer.eot].amax(dim=-1), first[:, tokenizer.eot]
        lost = lost + torch.relu(text - end + 0.1) + torch.relu(torch.maximum(text, end) - UNSURE)
    return lost


def effects(
    model: Whisper,
    point: str,
    sae: SAE,
    change: Tensor,
    activations: Activations,
    score: Callable[[Tensor, np.ndarray], Tensor],
    steps: int = 5,
    batch: int = 8,
) -> Tensor:
    """(n_latents,) the share of each latent in what the whole change, made on all frames of audio, adds to a score.

    ``score`` takes features (batch, 1500, n_state) and the windows' indices and gives (batch,).
    Integrated gradients (arXiv 1703.01365) along the straight way to the change, in so many steps.
    """
    total, n = torch.zeros_like(change), len(activations.speech)
    for rows in np.split(np.arange(n), range(batch, n, batch)):
        features = moving(model, point, sae, activations, rows)
        for step in range(steps):
            partial = ((step + 0.5) / steps * change).requires_grad_()
            (slope,) = torch.autograd.grad(score(features(partial), rows).sum(), partial)
            total += slope * change / (steps * n)
    return total


def describe(
    model: Whisper, point: str, sae: SAE, change: Tensor, activations: Activations
) -> list[dict[str, float]]:
    """The latents of a change for the card, those that silence most first: how far each is moved, and its part in what
    the change does to silence on `TOLD_BY` windows of non-speech and to the log probability of what stock writes on as
    many of speech, were it made on every frame."""
    kinds = (~activations.speech, activations.speech)
    silent, spoken = (activations.of(np.flatnonzero(windows)[:TOLD_BY]) for windows in kinds)
    hidden = torch.stack([spoken.frames(i) for i in range(len(spoken.speech))])
    said = [text for part in hidden.split(8) for text in texts(model, point, part)]
    gains = effects(model, point, sae, change, silent, silent_score(model))
    losses = effects(model, point, sae, change, spoken, spoken_score(model, said))
    rows = []
    for i in change.nonzero()[:, 0].tolist():
        figures = {"change": change[i], "effect_nonspeech": gains[i], "effect_speech": losses[i]}
        rows.append({"latent": i, **{name: round(float(value), 5) for name, value in figures.items()}})
    return sorted(rows, key=lambda row: -row["effect_nonspeech"])


def spoken_score(model: Whisper, texts: Sequence[str]) -> Callable[[Tensor, np.ndarray], Tensor]:
    """A score for `effects`: the mean log probability of a transcript's tokens."""
    tokenizer = english(model)

    def score(features: Tensor, rows: np.ndarray) -> Tensor:
        found = []
        for feature, row in zip(features, rows, strict=True):
            prompt = list(tokenizer.sot_sequence_including_notimestamps)
            text = [*tokenizer.encode(" " + texts[int(row)].strip())[:100], tokenizer.eot]
            logits = model.decoder(torch.tensor([[*prompt, *text[:-1]]]), feature[None]).float()[0]
            said = logits[len(prompt) - 1 :].log_softmax(dim=-1)
            found.append(said.gather(1, torch.tensor(text)[:, None]).mean())
        return torch.stack(found)

    return score


def silent_score(model: Whisper) -> Callable[[Tensor, np.ndarray], Tensor]:
    """A score for `effects`: how near a window is to what `find_change` wants."""
    return lambda features, rows: -not_silent(model, features)


def moving(
    model: Whisper, point: str, sae: SAE, activations: Activations, rows: np.ndarray
) -> Callable[[Tensor], Tensor]:
    """The encoder's output (n, 1500, n_state) of some windows as a function of a change (n_latents,) of their frames of
    audio."""
    h = torch.stack([activations.frames(int(row)) for row in rows])
    _, scale = sae.normalise(h)
    heard = torch.from_numpy(activations.heard[rows])[..., None].float()
    return lambda change: run_from(model.encoder, point, h + heard * scale * (change @ sae.W_dec))


def _sample(activations: Activations, keep: np.ndarray, n: int, rng: np.random.Generator) -> Tensor:
    """At most n of the frames (windows, 1500) to keep: (n, n_state)."""
    index = np.argwhere(keep)
    return activations.gather(index[rng.permutation(len(index))[:n]])
