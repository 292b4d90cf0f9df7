"""``whisper-steer lab risk``: collect what a model writes, fit the risk of a segment on it, and test it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from whisper_steer.cli.lab import DATA, DEVICE, OUT
from whisper_steer.lab.inputs import SEED, shared


@click.command()
@click.argument("model")
@shared(DATA)
@click.option(
    "--work", type=click.Path(path_type=Path), required=True,
    help="Folder of the segments collected; a run that was interrupted goes on there.",
)  # fmt: skip
@click.option(
    "--clips", type=click.IntRange(0), default=120, show_default=True,
    help="Of speech and of sounds in each split; 0 collects no more.",
)  # fmt: skip
@click.option("--fit", type=click.Path(path_type=Path), help="Artifact's folder to write the risk into.")
@click.option(
    "--test-on", type=click.Path(path_type=Path),
    help="Folder of segments of another model: tests there what reads no decoder states.",
)  # fmt: skip
@shared(DEVICE, SEED, OUT)
def risk(
    model: str, data: tuple[str, ...], work: Path, clips: int, fit: Path | None, test_on: Path | None,
    device: str | None, seed: int, out: Path | None,
) -> None:  # fmt: skip
    """Fit the probability that a segment of MODEL says what nobody said, and test it on other speakers and sounds."""
    from whisper_steer.data.load import load
    from whisper_steer.files.card import CARD, read_card
    from whisper_steer.files.disk import write_whole
    from whisper_steer.lab.risk_tables import across, tested, told
    from whisper_steer.models.load import load_model
    from whisper_steer.risk.collect import collect, collected
    from whisper_steer.risk.cost import cost
    from whisper_steer.risk.fit import SHIPPED, Labelled, fit_probes, places
    from whisper_steer.risk.material import material
    from whisper_steer.risk.probe import Risk
    from whisper_steer.runtimes.openai import prepare

    loaded = load_model(model, device) if clips else None
    if loaded is not None:
        steering = prepare(loaded, "auto")
        assert steering is not None
        every = [clip for spec in data for clip in load(spec)]
        collect(loaded, steering, material(every, clips, seed), work)
    found = collected(work)
    searched = places(found)
    best = max(searched, key=lambda place: place.auroc)
    probes = fit_probes(found, best)
    about: dict[str, object] = {"model": model, "data": " ".join(data), "seed": seed}
    if loaded is not None:
        taken = cost(loaded, best.block)
        about["processor time of a window"] = ", ".join(
            f"{name} {value * 1000:.0f} ms" for name, value in taken.items() if name != "tokens"
        )
    told(found, about).show(out)
    across(searched, about).show(out)
    results = tested(found, probes, about)
    results.show(out)
    if test_on is not None:
        elsewhere = {name: probe for name, probe in probes.items() if probe.block is None}
        tested(collected(test_on), elsewhere, {**about, "tested on": test_on.name}, "risk-elsewhere").show(
            out
        )
    if fit is not None:
        shipped = {name: probes[name] for name in SHIPPED}
        info = {"command": f"whisper-steer lab risk {model} --clips {clips}", "clips": found.clips}
        decoder = [found.states.shape[1], found.states.shape[3]]
        info |= {"measured": results.values}
        Risk(found.artifact, decoder, shipped, info).save(fit)
        entry = {
            "reads": f"decoder blocks.{best.block}, {best.position}", "clips": found.clips,
            "segments": {split: len(Labelled.of(found, split).rows) for split in ("fit", "choose", "test")},
            "command": info["command"],
        }  # fmt: skip
        write_whole(fit / CARD, json.dumps({**read_card(fit), "risk": entry}, indent=2) + "\n")
