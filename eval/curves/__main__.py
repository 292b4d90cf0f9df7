"""``python -m whisper_steer.eval.curves``: fit what methods act with, measure every method, print and plot the curves.

    fit tiny.en --data manifest:FILE --out material/tiny.en       # the shipped artifact's SAE and latents
    fit tiny.en --sae SAE.safetensors --point blocks.2 ...        # another SAE, its latents selected as `fit` does
    measure tiny.en material/* --data manifest:FILE --out run     # on the choose split; the same command resumes
    report run
    latents tiny.en --data manifest:FILE                          # each latent of the shipped edit, moved alone

The run's folder holds ``rows.jsonl`` (a line for each clip, intervention and mode), ``curves.json``, ``curves.md`` and
pictures of the curves.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import click

from whisper_steer.cli import OneLineErrors
from whisper_steer.data.clips import Split
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.files.disk import write_whole

from .greedy import Mode

PATH = click.Path(path_type=Path)
DATA = click.option("--data", required=True, help="KIND:PATH, as of whisper-steer benchmark.")
LIMIT = click.option(
    "--limit", type=click.IntRange(1), default=200, show_default=True, help="Clips of each kind."
)


@click.command(cls=OneLineErrors)
def curves() -> None:
    """False speech against WER for every way to edit the encoder, ungated."""


@curves.command()
@click.argument("model")
@click.option("--sae", "sae_file", type=PATH, help="Parameters of an SAE.  [default: the shipped artifact's]")
@click.option("--point", help="Its hook point.")
@click.option("--soft-frozen", type=PATH, help="Its control, fitted on the same to OUT-soft-frozen.")
@DATA
@LIMIT
@click.option("--out", type=PATH, required=True, help="File to write.")
def fit(
    model: str,
    sae_file: Path | None,
    point: str | None,
    soft_frozen: Path | None,
    data: str,
    limit: int,
    out: Path,
) -> None:
    """Fit what the methods act with on the fit split, at one hook point."""
    from whisper_steer.data.load import load
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.models.load import load_model
    from whisper_steer.steer.artifact import Artifact, read_sae
    from whisper_steer.steer.find import find

    from .bench import pick
    from .material import clip_activations, fit_edits, hear, material_of

    if (sae_file is None) != (point is None):
        raise UsageError("--sae and --point go together")
    loaded = load_model(model, "cpu")
    if sae_file is None or point is None:
        found = find(encoder_fingerprint(loaded.encoder))
        if found is None:
            raise ArtifactError(f"no steering ships for {model}: give --sae and --point")
        artifact = Artifact.load(found)
        point, sae, edits = artifact.hook_point, artifact.load_sae(), artifact.edits
    else:
        sae, edits = read_sae(sae_file), None
    control = None if soft_frozen is None else read_sae(soft_frozen)
    clips = load(data)
    fitted_on = pick(clips, "fit", limit)
    if edits is not None and control is None:
        activations = clip_activations(loaded, point, fitted_on)
    else:
        heard = hear(loaded, point, fitted_on, pick(clips, "choose", limit))
        activations = heard.fit
    if edits is None:
        edits = fit_edits(loaded, sae, heard, point)
    material_of(sae, activations, point, edits).save(out)
    click.echo(f"{out}: {point}, {len(fitted_on)} clips")
    if control is not None:
        beside = out.with_name(f"{out.name}-soft-frozen")
        its = fit_edits(loaded, control, heard, point)
        material_of(control, activations, point, its, "soft-frozen").save(beside)
        click.echo(f"{beside}: the control")


@curves.command()
@click.argument("model")
@click.argument("materials", nargs=-1, required=True, type=PATH)
@DATA
@click.option("--split", type=click.Choice(get_args(Split)), default="choose", show_default=True)
@LIMIT
@click.option(
    "--mode", "modes", type=click.Choice(list(get_args(Mode))), multiple=True, help="[default: both]"
)
@click.option("--only", multiple=True, help="Interventions by name, with * for any: blocks.2/silence@*.")
@click.option("--device", default="cpu", show_default=True)
@click.option("--half", is_flag=True, help="float16, on CUDA.")
@click.option("--out", type=PATH, required=True, help="Folder of the run.")
def measure(
    model: str,
    materials: tuple[Path, ...],
    data: str,
    split: str,
    limit: int,
    modes: tuple[Mode, ...],
    only: tuple[str, ...],
    device: str,
    half: bool,
    out: Path,
) -> None:
    """Measure every method and baseline with each of the MATERIALS."""
    from whisper_steer.data.load import load
    from whisper_steer.models.load import load_model

    from .baselines import interventions, together
    from .bench import Bench, pick
    from .material import Material

    loaded = load_model(model, device)
    found = [Material.load(path).to(loaded.device) for path in materials]
    bench = Bench(loaded, pick(load(data), split, limit), half)
    offered = [each for material in found for each in interventions(material)] + together(found)
    chosen = [
        each for each in offered if not only or any(fnmatchcase(each.name, pattern) for pattern in only)
    ]
    if not chosen:
        raise UsageError(f"no intervention is called {' or '.join(only)}; leave --only out to see all names")
    bench.measure(chosen, out, modes or get_args(Mode))
    _report(out)


@curves.command()
@click.argument("model")
@DATA
@click.option("--limit", type=click.IntRange(1), default=24, show_default=True, help="Clips of each kind.")
def latents(model: str, data: str, limit: int) -> None:
    """What each latent of the shipped `silence` edit does by itself, on the choose split."""
    from whisper_steer.data.load import load
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.eval.report import table
    from whisper_steer.models.load import load_model
    from whisper_steer.steer.artifact import Artifact
    from whisper_steer.steer.find import find

    from .bench import pick
    from .latents import measure as measure_latents

    loaded = load_model(model, "cpu")
    if (found := find(encoder_fingerprint(loaded.encoder))) is None:
        raise ArtifactError(f"no steering ships for {model}: fit it first, whisper-steer fit {model}")
    measured = measure_latents(loaded, Artifact.load(found), pick(load(data), "choose", limit))
    rows = [
        [str(latent), *(f"{value:+.3f}" for value in parts)]
        for latent, *parts in zip(
            measured.latents, *(t[:, side].tolist() for t in measured.parts() for side in (0, 1)), strict=True
        )
    ]
    columns = [
        f"{name}, {kind}"
        for name in ("by the card", "alone", "left out")
        for kind in ("non-speech", "speech")
    ]
    click.echo(table(["latent", *columns], rows))
    click.echo(
        "\nrank correlation with the card: "
        + ", ".join(f"{k} {v:.2f}" for k, v in measured.agreement().items())
    )
    click.echo(
        f"the whole change: {measured.whole[0]:+.3f} on non-speech, {measured.whole[1]:+.3f} on speech\n"
    )
    greedy = [
        [name, str(n), str(latent), f"{gain / measured.whole[0]:.0%}", f"{price:+.3f}"]
        for name, steps in measured.greedy.items()
        for n, (latent, gain, price) in enumerate(steps, start=1)
    ]
    click.echo(table(["greedily", "latents", "the last", "of the whole's silence", "speech"], greedy))


@curves.command()
@click.argument("folder", type=PATH)
def report(folder: Path) -> None:
    """Tables and pictures of a run."""
    _report(folder)


def _report(folder: Path) -> None:
    from .plots import curves as plot
    from .report import markdown
    from .summary import FALSE_SPEECH, summarise

    points = summarise(folder)
    table = markdown(points)
    write_whole(folder / "curves.json", json.dumps([point.to_dict() for point in points]) + "\n")
    write_whole(folder / "curves.md", table + "\n")
    for mode in sorted({point.mode for point in points}):
        for figure in FALSE_SPEECH:
            picture = plot([point for point in points if point.mode == mode], figure)
            write_whole(folder / f"{mode}-{figure}.svg", picture)
    click.echo(table)


if __name__ == "__main__":
    curves(prog_name="python -m whisper_steer.eval.curves")
