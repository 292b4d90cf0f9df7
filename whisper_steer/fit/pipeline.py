"""`whisper-steer fit` from end to end: clips in, a finished artifact out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.pack import PACK
from whisper_steer.data.splits import halves, select
from whisper_steer.encoders.fingerprint import bfloat16_fingerprint, encoder_fingerprint
from whisper_steer.encoders.record import Activations, record
from whisper_steer.errors import FitError
from whisper_steer.fit import scoring, selection, strengths, windows
from whisper_steer.fit.conv_gate import FEWEST_STEPS
from whisper_steer.fit.fit_gate import fit_gates, window_scores
from whisper_steer.fit.windows import Window
from whisper_steer.gate.kinds import Gate, smallest_promise
from whisper_steer.sae.model import SAEConfig
from whisper_steer.sae.train import Training, measure, train
from whisper_steer.steer.artifact import Artifact

DEFAULT_HOOK_POINT = "ln_post"
"""the encoder's output: the one point that every runtime shows"""
SAFE_GATE = "dense + context"
"""the kind of gate where none can be chosen: in a fit from the calibration pack, whose held-out sounds are too easy to
tell gates by, and where one half of the held-out clips is empty"""


@dataclass(frozen=True)
class Plan:
    """How much to spend. The defaults fit `base` on two CPU cores in 20 minutes, 12 of them in its encoder."""

    speech_windows: int = 200
    nonspeech_windows: int = 160
    calibration_speech: int = 200
    """the fewest with which 0.5 % can be promised is 199"""
    calibration_nonspeech: int = 100
    choosing_speech: int = 100
    """gates are compared on these and the next two: clips of other speakers and recordings than those that calibrate"""
    choosing_nonspeech: int = 100
    hard_windows: int = 120
    """speech of the choosing half in noise and from afar"""
    voice_windows: int = 240
    """non-speech of classes that hold human voice, on which nothing is fitted"""
    strength_windows: int = 40
    """30 s of one held-out non-speech clip over and over, on which strengths are chosen"""
    expansion: int = 8
    k: int = 32
    training: Training = field(default_factory=Training)
    conv_steps: int = FEWEST_STEPS
    """fewest steps of the convolutional gate"""
    seed: int = 0


def fit(
    model: Whisper,
    clips: list[Clip],
    work: Path,
    *,
    name: str,
    hook_point: str | None = None,
    plan: Plan | None = None,
) -> Artifact:
    """Fit SAE, gate and edits for a model.

    ``clips`` are used by their splits: everything is fitted on ``fit``; ``choose`` is halved by speakers and source
    recordings (`whisper_steer.data.clips.halves`): on one half gate and strengths are chosen, on the other the gate is
    calibrated, so that the promise is that of a gate fixed beforehand; ``test`` is never read. Where no gate can be
    chosen, all of ``choose`` calibrates a `SAFE_GATE`. ``work`` keeps activations and checkpoints; a second call
    with the same arguments goes on where the first was killed, and one with others keeps its own beside. Raises
    `FitError`, `AudioError`, `OSError`.
    """
    plan = plan or Plan()
    encoder = model.encoder
    point = hook_point or DEFAULT_HOOK_POINT
    data = {
        (kind, split): select(clips, kind, split)
        for kind in ("speech", "nonspeech")
        for split in ("fit", "choose")
    }
    for (kind, split), found in data.items():
        if not found:
            raise FitError(
                f"no {kind} recordings in the {split} split; give more recordings or more speakers"
            )

    n_mels = encoder.conv1.in_channels
    rng = np.random.default_rng(plan.seed)
    choosing, calibrating = held_out(data["speech", "choose"], data["nonspeech", "choose"], plan, rng)

    def run(
        label: str, n: int, make: Callable[..., Iterable[Window]], *args: list[Clip] | int
    ) -> Activations:
        made_from = [[c.identity() for c in arg] if isinstance(arg, list) else arg for arg in args]
        return record(encoder, make(*args), n, point, n_mels, work, label, made_from)

    sources = (data["speech", "fit"], data["nonspeech", "fit"])
    counts = (plan.speech_windows, plan.nonspeech_windows)
    fitted = run("fit", sum(counts), windows.plan, *sources, *counts, plan.seed)
    calibration = run("calibrate", len(calibrating), windows.singles, calibrating)

    sae = train(
        fitted, SAEConfig(fitted.hidden.shape[-1], plan.expansion, plan.k), plan.training, work / "sae"
    )
    scores = scoring.latent_scores(model, point, sae, fitted, n=60, seed=plan.seed)

    latents = sae.latents(selection.gate_latents(scores))
    gates = fit_gates(fitted, sae.mean, latents, plan.seed, plan.conv_steps)
    best, comparison = SAFE_GATE, {}
    if choosing:
        spoken, other = (select(choosing, kind, "choose") for kind in ("speech", "nonspeech"))
        chosen_on = run("choose", len(choosing), windows.singles, choosing)
        n = plan.hard_windows
        hard = run("hard", n, windows.hard, spoken, other, n, plan.seed + 1)
        heard = _sample([c for c in clips if c.voice and c.split != "test"], plan.voice_windows, rng)
        voice = run("voice", len(heard), windows.singles, heard) if heard else None
        comparison = {kind: compare(gate, chosen_on, hard, voice) for kind, gate in gates.items()}
        best = min(gates, key=lambda kind: comparison[kind]["cost"])
    has_speech = torch.from_numpy(calibration.speech)
    scored = window_scores(gates[best], calibration)

    indices = selection.edit_latents(scores)
    edits = selection.build_edits(sae, scores, fitted, indices)
    loops = select(choosing or calibrating, "nonspeech", "choose")
    n = min(plan.strength_windows, len(loops))
    full = run("full", n, windows.filled, loops, n, plan.seed + 2)
    chosen, shares = strengths.choose(model, point, edits, full)
    return Artifact(
        name=name,
        fingerprint=encoder_fingerprint(encoder),
        fingerprint_bfloat16=bfloat16_fingerprint(encoder),
        hook_point=point,
        edits=edits,
        gate=gates[best],
        speech_scores=scored[has_speech],
        nonspeech_scores=scored[~has_speech],
        strengths=chosen,
        sae=sae,
        info={
            "model": {
                "n_state": encoder.ln_post.normalized_shape[0],
                "n_blocks": len(encoder.blocks),
                "n_mels": n_mels,
            },
            "sae": {
                **asdict(sae.config),
                "n_latents": sae.config.n_latents,
                **asdict(measure(sae, calibration)),
            },
            "selected_by": "effect on the decoder",
            "latents": selection.describe(scores, indices, edits),
            "gates_compared": comparison,
            "calibration": {
                "speech_windows": int(has_speech.sum()),
                "smallest_promise": smallest_promise(int(has_speech.sum())),
            },
            "text_share_by_strength": shares,
            "data": describe_data(data),
            "plan": asdict(plan),
        },
    )


def held_out(
    speech: list[Clip], nonspeech: list[Clip], plan: Plan, rng: np.random.Generator
) -> tuple[list[Clip], list[Clip]]:
    """The clips to choose a gate by and those to calibrate it on; the former empty where no gate can be chosen."""
    spoken, other = halves(speech), halves(nonspeech)
    if not (spoken[0] and other[0]) or all(clip.dataset == PACK for clip in [*speech, *nonspeech]):
        spoken, other = ([], speech), ([], nonspeech)
    choosing = [
        *_sample(other[0], plan.choosing_nonspeech, rng),
        *_sample(spoken[0], plan.choosing_speech, rng),
    ]
    calibrating = [
        *_sample(other[1], plan.calibration_nonspeech, rng),
        *_sample(spoken[1], plan.calibration_speech, rng),
    ]
    return choosing, calibrating


def compare(
    gate: Gate, held_out: Activations, hard_speech: Activations, voice: Activations | None
) -> dict[str, float]:
    """What a gate can do on held-out windows: shares leaked and suppressed at the threshold where they are least.

    ``cost`` = leaked non-speech + leaked voice + suppressed speech + suppressed hard speech, by which the gates are
    compared. The threshold in use is another: the one that the calibrating half gives.
    """
    scored, has_speech = window_scores(gate, held_out), torch.from_numpy(held_out.speech)
    speech, nonspeech, hard = scored[has_speech], scored[~has_speech], window_scores(gate, hard_speech)
    voices = torch.zeros(0) if voice is None else window_scores(gate, voice)

    def at(threshold: float) -> dict[str, float]:
        shares = {
            "leaked": _share(nonspeech >= threshold),
            "leaked_voice": _share(voices >= threshold) if len(voices) else 0.0,
            "suppressed": _share(speech < threshold),
            "suppressed_hard": _share(hard < threshold),
        }
        return {"threshold": threshold, **shares, "cost": sum(shares.values())}

    return min(map(at, torch.cat([speech, nonspeech, hard, voices]).tolist()), key=lambda row: row["cost"])


def describe_data(data: dict[tuple[str, str], list[Clip]]) -> dict[str, dict[str, int]]:
    """Clips per data set, by kind and split."""
    table: dict[str, dict[str, int]] = {}
    for (kind, split), clips in data.items():
        for clip in clips:
            row = table.setdefault(f"{kind}/{split}", {})
            row[clip.dataset] = row.get(clip.dataset, 0) + 1
    return table


def _share(found: Tensor) -> float:
    return float(found.float().mean())


def _sample(clips: list[Clip], n: int, rng: np.random.Generator) -> list[Clip]:
    return [clips[i] for i in rng.permutation(len(clips))[:n]]
