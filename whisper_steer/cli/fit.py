"""``whisper-steer fit``: steering for any checkpoint, from own recordings, public corpora or the built-in pack."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from whisper_steer.data import own
from whisper_steer.data.clips import Clip
from whisper_steer.data.load import load
from whisper_steer.data.pack import load_pack
from whisper_steer.data.public.catalogue import Corpus, named
from whisper_steer.data.public.clips import load_public
from whisper_steer.data.splits import one_side
from whisper_steer.errors import UsageError
from whisper_steer.fit import pipeline
from whisper_steer.fit.workplace import workplace
from whisper_steer.gate.conformal import choose_threshold
from whisper_steer.gate.store import load_gate
from whisper_steer.models.load import load_model
from whisper_steer.sae.files import load as load_sae
from whisper_steer.sae.model import SAE
from whisper_steer.steer.artifact import Artifact, check_free
from whisper_steer.steer.steering import DEFAULT_MAX_SUPPRESSED_SPEECH

DEFAULTS = pipeline.Plan()
HELD_OUT_OF_CORPORA = 400
"""as of the artifacts that ship: enough utterances for a promise of 0.25 %"""


@click.command()
@click.argument("model")
@click.option("--speech", type=click.Path(path_type=Path), help="Folder of speech; sub-folders are speakers.")
@click.option("--nonspeech", type=click.Path(path_type=Path), help="Folder of recordings without speech.")
@click.option(
    "--manifest", type=click.Path(path_type=Path), help="JSONL with path, kind, split, group a line."
)
@click.option(
    "--data",
    multiple=True,
    help="Repeatable: public, or one corpus of it by name, downloaded once; or KIND:PATH as of the benchmark.",
)
@click.option(
    "--out", "-o", type=click.Path(path_type=Path), help="Folder of the artifact.  [default: ./NAME.steering]"
)
@click.option("--name", help="Name of the artifact.  [default: the model's]")
@click.option(
    "--hook-point", help="blocks.N (counted from 0) or ln_post, the encoder's output.  [default: ln_post]"
)
@click.option("--gate-point", help="Where the gate listens.  [default: behind an eighth of the blocks]")
@click.option(
    "--edits", type=click.Path(path_type=Path), help="An artifact of MODEL whose SAE and edits are kept."
)
@click.option(
    "--sae",
    type=click.Path(path_type=Path),
    help="An SAE of activations at --hook-point, in place of training: ours, SAELens', AudioSAE's, "
    "dictionary_learning's.",
)
@click.option(
    "--gate",
    type=click.Path(path_type=Path),
    help="A gate trained by whisper_steer.lab.gates: it is calibrated only.",
)
@click.option(
    "--scenes", type=click.IntRange(1), default=DEFAULTS.scenes, show_default=True, help="For the gate."
)
@click.option("--speech-windows", type=click.IntRange(1), default=DEFAULTS.speech_windows, show_default=True)
@click.option(
    "--nonspeech-windows", type=click.IntRange(1), default=DEFAULTS.nonspeech_windows, show_default=True
)
@click.option(
    "--held-out",
    type=click.IntRange(2),
    help=f"Clips of a kind, twice.  [default: {DEFAULTS.held_out}, of --data {HELD_OUT_OF_CORPORA}]",
)
@click.option("--sae-steps", type=click.IntRange(1), default=DEFAULTS.training.steps, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", help="cpu, cuda, ...  [default: cuda where there is one]")
@click.option("--model-dir", help="Where official checkpoints are kept.")
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path),
    help="Keeps activations and checkpoints, so that a killed fit goes on where it was.",
)
def fit(
    model: str,
    speech: Path | None,
    nonspeech: Path | None,
    manifest: Path | None,
    data: tuple[str, ...],
    out: Path | None,
    name: str | None,
    hook_point: str | None,
    gate_point: str | None,
    edits: Path | None,
    sae: Path | None,
    gate: Path | None,
    scenes: int,
    speech_windows: int,
    nonspeech_windows: int,
    held_out: int | None,
    sae_steps: int,
    seed: int,
    device: str | None,
    model_dir: str | None,
    work_dir: Path | None,
) -> None:
    """Fit steering for MODEL: an official name, or a local .pt.

    With --speech and --nonspeech, or --manifest, from your recordings; with --data public from public corpora
    (LibriSpeech, FLEURS, ESC-50, MUSAN); with none of them from the pack of synthesised speech and noise that comes
    with the package.
    """
    if gate is not None and gate_point is not None:
        raise UsageError("--gate knows its own point: leave out --gate-point")
    if sae is not None and edits is not None:
        raise UsageError("--edits keeps an artifact's SAE: leave out --sae")
    name = name or Path(model).name.removesuffix(".pt")
    target = out or Path(f"{name}.steering")
    check_free(target)
    corpora = _public(data)
    clips = _clips(speech, nonspeech, manifest, data, corpora)
    if held_out is None:
        held_out = HELD_OUT_OF_CORPORA if data else DEFAULTS.held_out
    trained, gate_point = (None, gate_point) if gate is None else load_gate(gate)
    read = None if sae is None else load_sae(sae)
    hook_point = _point_of(read, hook_point)
    loaded = load_model(model, device, model_dir)
    plan = pipeline.Plan(
        speech_windows=speech_windows,
        nonspeech_windows=nonspeech_windows,
        scenes=scenes,
        more_windows=scenes // 4,
        held_out=held_out,
        recordings=max(1, held_out // 30),
        training=replace(DEFAULTS.training, steps=sae_steps, seed=seed),
        seed=seed,
    )
    with workplace(work_dir) as work:
        artifact = pipeline.fit(
            loaded,
            clips,
            work,
            name=name,
            hook_point=hook_point,
            gate_point=gate_point,
            edits=None if edits is None else Artifact.load(edits),
            gate=trained,
            sae=read,
            plan=plan,
        )
    if corpora:
        artifact.info["corpora"] = [
            {"name": each.name, "licence": each.licence, "source": each.source} for each in corpora
        ]
    artifact.info["command"] = shlex.join(
        ["whisper-steer", *(Path(a).name if "/" in a else a for a in sys.argv[1:])]
    )
    path = artifact.save(target)
    click.echo(summary(artifact, path))


def summary(artifact: Artifact, path: Path) -> str:
    """What was fitted and how good it is, in a few lines."""
    info, calibration = artifact.info, artifact.calibration
    sae, gates = info["sae"], info["gates_compared"]
    lines = [
        f"{path}: {artifact.name}, edits at {artifact.hook_point}, gate at {artifact.gate_point}",
        f"SAE: {sae['n_latents']} latents, {sae['mean_active']:.0f} active a frame, "
        f"{sae['explained_variance']:.1%} of variance explained, {sae['dead']:.1%} dead",
        *_calibration(sae.get("calibrated")),
        f"edits: {len(info['latents'])} latents, selected by {info['selected_by']}",
    ]
    best = min(gates, key=lambda kind: gates[kind]["cost"], default=None)
    for kind, row in gates.items():
        mark = " (chosen)" if kind == best else ""
        lines.append(
            f"gate {kind}{mark}: with 0.25 to 2% of held-out speech left out, {row['pauses_in_spans']:.2%} of pauses "
            f"lie in spans, {row['nonspeech_with_spans']:.1%} of clips without speech have one, "
            f"{row['voice_with_spans']:.1%} of voice classes; {row['hard_without_spans']:.1%} of hard speech has none"
        )
    smallest = info["calibration"]["smallest_promise"]
    threshold = choose_threshold(
        calibration.curve,
        calibration.utterances,
        calibration.nonspeech,
        max(DEFAULT_MAX_SUPPRESSED_SPEECH, smallest),
    )
    lines.append(
        f"calibration: {calibration.utterances} utterances, smallest promise {smallest:.2%}; threshold {threshold:.2f}"
    )
    return "\n".join(lines)


def _point_of(sae: SAE | None, hook_point: str | None) -> str | None:
    """Where the edits are to be: where the SAE's file says it lies, if it does. Raises `UsageError` for another."""
    said = None if sae is None else sae.about.get("hook_point")
    if said is not None and hook_point not in (None, said):
        raise UsageError(f"the SAE is one of {said}, not of {hook_point}: leave out --hook-point")
    return hook_point or said


def _calibration(told: dict[str, float] | None) -> list[str]:
    if not told:
        return []
    return [
        f"SAE: it kept the {told['k']} largest latents of each frame; here those above {told['threshold']:.4f}, "
        f"as many on average over {told['frames']} frames"
    ]


def _public(data: tuple[str, ...]) -> list[Corpus]:
    """The public corpora that are named, each once."""
    found = [corpus for spec in data if ":" not in spec for corpus in named(spec)]
    return list({corpus.name: corpus for corpus in found}.values())


def _clips(
    speech: Path | None,
    nonspeech: Path | None,
    manifest: Path | None,
    data: tuple[str, ...],
    corpora: list[Corpus],
) -> list[Clip]:
    if sum((manifest is not None, bool(speech or nonspeech), bool(data))) > 1:
        raise UsageError("give --manifest, or --speech with --nonspeech, or --data, not several of them")
    if data:
        local = [clip for spec in data if ":" in spec for clip in load(spec)]
        return one_side(local + load_public(corpora, partial(click.echo, err=True)))
    if manifest is not None:
        return own.manifest(manifest)
    if speech is None and nonspeech is None:
        return load_pack()
    if speech is None or nonspeech is None:
        raise UsageError(
            "--speech and --nonspeech go together; give both, or neither to use the built-in pack"
        )
    return own.folder(speech, "speech") + own.folder(nonspeech, "nonspeech")
