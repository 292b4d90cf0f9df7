"""`whisper-steer fit` from end to end: clips in, a finished artifact out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import Window
from whisper_steer.data.pack import PACK
from whisper_steer.data.splits import halves, select, unfitted
from whisper_steer.encoders.fingerprint import bfloat16_fingerprint, encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.encoders.record import Activations, record
from whisper_steer.errors import FitError
from whisper_steer.fit import conv_gate, listening, windows
from whisper_steer.fit.about import about_gate, describe
from whisper_steer.fit.edits import edits_of, fit_edits
from whisper_steer.fit.fit_gate import INVERSE_PENALTY, STRANGE_INVERSE_PENALTY, fit_gates
from whisper_steer.fit.scenes import scenes
from whisper_steer.fit.strata import calibrate_strata
from whisper_steer.gate.kinds import Gate
from whisper_steer.gate.strata import rows
from whisper_steer.sae.model import SAE
from whisper_steer.sae.plan import Plan as Training
from whisper_steer.steer.artifact import Artifact

DEFAULT_HOOK_POINT = "ln_post"
"""the encoder's output: the one point that every runtime shows"""
SAFE_GATE = "dense"
"""the kind of gate where none can be chosen: where one half of the held-out clips is empty, and from the calibration
pack, whose held-out sounds are too easy to tell gates by (docs/pack.md)"""

PACK_IS_HARDER, PACK_COUNTS = 0.02, 0.2
"""of what the pack's voices say so much more is lost than of what people say, at thresholds at which of theirs 0.3 % or
less is; and the share of its sounds that are as hard as recorded ones. Found on recordings of tiny.en: docs/pack.md"""

TRAINING = Training(k=32, steps=400, batch=2048, learning_rate=1e-3)
"""of an SAE on an hour of audio on two CPU cores"""


@dataclass(frozen=True)
class Plan:
    """How much to spend: docs/pack.md says what the defaults take."""

    scenes: int = 800
    """half minutes on which the gate is fitted"""
    more_windows: int = 200
    """of other kinds beside them, see `whisper_steer.fit.windows.plan`"""
    speech_windows: int = 120
    """on which the SAE is trained"""
    nonspeech_windows: int = 100
    held_out: int = 200
    """single clips of a kind in each half of the held-out ones; 0.3 % can be promised with 333 utterances in all"""
    measured: tuple[int, int] = (100, 40)
    """of those, how many of speech and of non-speech the SAE and the condition of silence are measured on: all blocks
    of the encoder run for each"""
    recordings: int = 6
    """of each style in each half"""
    hard: int = 20
    """utterances of the choosing half in each hard condition"""
    strength_windows: int = 30
    """30 s of one held-out non-speech clip over and over, on which strengths are chosen"""
    training: Training = TRAINING
    conv_steps: int = conv_gate.Training.fewest_steps
    """fewest steps of the convolutional gate"""
    seed: int = 0


def default_gate_point(n_blocks: int) -> str:
    """Behind an eighth of the encoder, at least one block: there speech can be told, and listening is cheap."""
    return f"blocks.{n_blocks // 8}"


def fit(
    model: Whisper,
    clips: list[Clip],
    work: Path,
    *,
    name: str,
    hook_point: str | None = None,
    gate_point: str | None = None,
    edits: Artifact | None = None,
    gate: Gate | None = None,
    sae: SAE | None = None,
    plan: Plan | None = None,
) -> Artifact:
    """Fit SAE, edits and gate for a model.

    ``clips`` are used by their splits: everything is fitted on ``fit``; ``choose`` is halved by speakers and source
    recordings (`whisper_steer.data.splits.halves`): on one half the gate's kind is chosen, on the other the gate is
    calibrated, so that the promise is that of a gate fixed beforehand; ``test`` is never read. Where no gate can be
    chosen, all of ``choose`` calibrates a `SAFE_GATE`. ``edits``: an artifact of the same model whose SAE and edits are
    kept. ``sae``: one of activations at ``hook_point``, in place of training.
    ``gate``: one trained before at ``gate_point``, to be calibrated only. ``work`` keeps activations and checkpoints; a
    second call with the same arguments goes on where the first was killed, and one with others keeps its own beside.
    Raises `FitError`, `AudioError`, `OSError`.
    """
    plan = plan or Plan()
    encoder = model.encoder
    fingerprint = encoder_fingerprint(encoder)
    if edits is not None:
        edits.check(fingerprint)
    n_state = encoder.ln_post.normalized_shape[0]
    if gate is not None and len(gate.mean) != n_state:
        raise FitError(
            f"the gate reads activations of width {len(gate.mean)}, this encoder has {n_state}: name its own"
        )
    if sae is not None and sae.config.n_state != n_state:
        raise FitError(f"the SAE reads activations of width {sae.config.n_state}, this encoder has {n_state}")
    point = edits.hook_point if edits is not None else hook_point or DEFAULT_HOOK_POINT
    listening_point = gate_point or default_gate_point(len(encoder.blocks))
    data = split_up(clips)
    sources = (data["speech", "fit"], data["nonspeech", "fit"])
    from_pack = are_pack(clips)

    def run(
        at: str, label: str, n: int, make: Callable[..., Iterable[Window]], *args: list[Clip] | int
    ) -> Activations:
        made_from = [[c.identity() for c in arg] if isinstance(arg, list) else arg for arg in args]
        return record(encoder, make(*args), n, at, encoder.conv1.in_channels, work, label, made_from)

    choosing, calibrating = held_out(data["speech", "choose"], data["nonspeech", "choose"], plan)
    if edits is not None:
        fitted = edits_of(edits)
    else:
        counts = (plan.speech_windows, plan.nonspeech_windows)
        spoken, other = (select(choosing or calibrating, kind, "choose") for kind in ("speech", "nonspeech"))
        n = min(plan.strength_windows, len(other))
        measured = [
            *select(calibrating, "speech", "choose")[: plan.measured[0]],
            *select(calibrating, "nonspeech", "choose")[: plan.measured[1]],
        ]
        fitted = fit_edits(
            model,
            point,
            run(point, "fit", sum(counts), windows.plan, *sources, *counts, plan.seed),
            run(point, "held-out", len(measured), windows.singles, measured),
            run(point, "hard", 2 * plan.hard, windows.hard, spoken, other, 2 * plan.hard, plan.seed + 3),
            lambda: run(point, "full", n, windows.filled, other, n, plan.seed + 2),
            work,
            training=plan.training,
            seed=plan.seed,
            sae=sae,
        )

    if gate is not None:
        gates = {gate.kind: gate}
    else:
        n = plan.scenes + plan.more_windows
        heard = run(listening_point, "scenes", n, mixed, *sources, plan.scenes, plan.more_windows, plan.seed)
        latents = (
            fitted.sae.latents(fitted.gate_latents)
            if point == listening_point and len(fitted.gate_latents)
            else None
        )
        penalty = STRANGE_INVERSE_PENALTY if from_pack else INVERSE_PENALTY
        gates = fit_gates(heard, latents, plan.seed, plan.conv_steps if choosing else None, penalty)
    prefix = Prefix(encoder, listening_point, fast=True)
    name_of_gate = gate.kind if gate is not None else SAFE_GATE
    compared: dict[str, dict[str, float]] = {}
    if choosing:
        spoken, other = (select(choosing, kind, "choose") for kind in ("speech", "nonspeech"))
        voices = [clip for clip in clips if clip.voice and clip.split == "choose"]
        chosen_on = [
            *choosing,
            *voices[: plan.held_out],
            *listening.hard_speech(spoken, other, plan.hard, plan.seed),
            *listening.held_out_recordings(choosing, plan.recordings, plan.seed),
        ]
        compared = {
            each: listening.compare(found)
            for each, found in listening.hear(prefix, gates, chosen_on, "to choose").items()
        }
        name_of_gate = min(compared, key=lambda each: compared[each]["cost"])
    calibrate_on = [*calibrating, *listening.held_out_recordings(calibrating, plan.recordings, plan.seed + 1)]
    found = listening.hear(prefix, {name_of_gate: gates[name_of_gate]}, calibrate_on, "to calibrate")[
        name_of_gate
    ]
    calibration = listening.calibrate(found, *((PACK_IS_HARDER, PACK_COUNTS) if from_pack else ()))
    artifact = Artifact(
        name=name,
        fingerprint=fingerprint,
        fingerprint_bfloat16=bfloat16_fingerprint(encoder),
        hook_point=point,
        gate_point=listening_point,
        edits=fitted.edits,
        gate=gates[name_of_gate],
        calibration=calibration,
        strengths=fitted.strengths,
        sae=fitted.sae,
        info={**describe(model, fitted), **about_gate(compared, calibration.utterances, data, asdict(plan))},
    )
    spoken, other = (select(calibrating, kind, "choose") for kind in ("speech", "nonspeech"))
    strata = calibrate_strata(prefix, artifact, unfitted(spoken, clips), other, plan.seed)
    artifact.info["strata"] = rows(strata)
    if from_pack:
        artifact.info["calibration"]["harder_than_people"] = PACK_IS_HARDER
    return artifact


def mixed(
    speech: list[Clip], nonspeech: list[Clip], n_scenes: int, n_more: int, seed: int
) -> Iterable[Window]:
    """What the gate is fitted on: scenes, and windows of the kinds that the SAE is trained on."""
    yield from scenes(speech, nonspeech, n_scenes, seed)
    yield from windows.plan(speech, nonspeech, n_more // 2, n_more - n_more // 2, seed)


def split_up(clips: list[Clip]) -> dict[tuple[str, str], list[Clip]]:
    """The clips that a fit reads, by kind and split. Raises `FitError` where there are none."""
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
    return data


def are_pack(clips: list[Clip]) -> bool:
    """Whether all of the clips are of the calibration pack."""
    return all(clip.dataset == PACK for clip in clips)


def held_out(speech: list[Clip], nonspeech: list[Clip], plan: Plan) -> tuple[list[Clip], list[Clip]]:
    """The clips to choose a gate by and those to calibrate it on; the former empty where no gate can be chosen."""
    rng = np.random.default_rng(plan.seed)
    spoken, other = halves(speech), halves(nonspeech)
    if not (spoken[0] and other[0]) or are_pack([*speech, *nonspeech]):
        spoken, other = ([], speech), ([], nonspeech)

    def sample(half: int) -> list[Clip]:
        parts = (spoken[half], other[half])
        return [part[i] for part in parts for i in rng.permutation(len(part))[: plan.held_out]]

    return sample(0), sample(1)
