"""``whisper-steer benchmark``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from whisper_steer.files.disk import write_whole

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--model", help="Name or path of a checkpoint. [default: tiny.en]")
@click.option(
    "--data", multiple=True, help="KIND:PATH, repeatable; KIND alone for synthetic. [default: synthetic]"
)
@click.option("--config", "config_file", type=PATH, help="A JSON file with these options; given options win.")
@click.option(
    "--systems", help="Names, separated by commas; main, recordings, all; NAME@STRENGTH. [default: main]"
)
@click.option(
    "--conditions",
    help="snr, music, quiet, recordings, or one such as snr:0, recordings:pauses:24, separated by commas.",
)
@click.option("--only-conditions", is_flag=True, help="Leave out the clean clips themselves.")
@click.option("--limit", type=click.IntRange(1), help="Clips per data set, spread over its groups.")
@click.option(
    "--condition-limit",
    type=click.IntRange(1),
    help="The same in each condition. [default: 20]",
)
@click.option("--seed", type=int, help="Of every draw. [default: 0]")
@click.option(
    "--temperatures", help="Decoding temperatures, separated by commas. [default: stock's 0,0.2,...,1]"
)
@click.option("--sample-len", type=click.IntRange(1), help="Most tokens a window. [default: stock's 224]")
@click.option("--without-timestamps", is_flag=True, help="Decode text only.")
@click.option("--language", help="Of the speech. [default: detected; English models: en]")
@click.option("--steering", help="Folder or name of an artifact. [default: the one for the model]")
@click.option("--split", help="Split to report on. [default: test]")
@click.option(
    "--out", type=PATH, default=Path("runs/benchmark"), show_default=True, help="Folder of the run."
)
@click.option(
    "--cache", type=PATH, help="Store of model outputs, shared between runs. [default: in the run's folder]"
)
@click.option("--compare", "compare_with", type=PATH, help="results.json of another run.")
@click.option(
    "--bars", multiple=True, help="SYSTEM:METRIC<=VALUE, repeatable; exit code 1 where one is broken."
)
@click.option("--minutes", type=click.FloatRange(0), help="Stop after that long and report what is finished.")
@click.option(
    "--cost",
    "cost_rounds",
    type=click.IntRange(0),
    default=0,
    help="Rounds of measuring cost.",
)
@click.option(
    "--embed", type=click.IntRange(0), default=60, show_default=True, help="Sounds embedded in report.html."
)
@click.option("--list", "listing", is_flag=True, help="List systems and kinds of data, and exit.")
def benchmark(
    config_file: Path | None,
    out: Path,
    cache: Path | None,
    compare_with: Path | None,
    bars: tuple[str, ...],
    minutes: float | None,
    cost_rounds: int,
    embed: int,
    listing: bool,
    **options: Any,
) -> None:
    """Measure how often systems write text where nobody speaks, and what they lose of speech.

    Results go to --out as they come; the same command goes on where a killed run stopped. Each --bars is checked on
    the finished run, and with --compare what changed since another run is shown.
    """
    from whisper_steer.data.load import LOADERS

    from . import compare, report, report_html, results, runner
    from .config import RunConfig
    from .systems import SYSTEMS

    if listing:
        for name, system in SYSTEMS.items():
            click.echo(f"{name:28}{system.stage:9}{system.about}")
        click.echo("data: " + ", ".join(sorted(LOADERS)))
        return
    changes = given(options)
    config = RunConfig(**changes) if config_file is None else RunConfig.from_file(config_file, **changes)
    old = None if compare_with is None else results.read(compare_with)
    compare.check_bars(EMPTY, list(bars))
    done = runner.run(config, out, cache, minutes)
    cost = None
    if cost_rounds:
        from .cost import measure

        cost = measure(done.session, done.systems, done.clips, cost_rounds)
    built = results.build(done, cost)
    written = [results.write(built, out)]
    for name, text in (
        ("report.md", report.markdown(built)),
        ("report.html", report_html.page(built, done.clips, out, embed)),
    ):
        write_whole(out / name, text)
        written.append(out / name)
    click.echo(report.headline(built))
    click.echo("\n".join(["", *map(str, written)]))
    if old is not None:
        click.echo(compare.compare(old, built))
    checked = compare.check_bars(built, list(bars))
    for bar, value, holds in checked:
        click.echo(
            f"{'holds ' if holds else 'BROKEN'} {bar} (is {'missing' if value is None else f'{value:.4g}'})"
        )
    if not all(holds for _, _, holds in checked):
        raise SystemExit(1)


EMPTY: dict[str, Any] = {"summary": {"nonspeech": {}, "speech": {}, "recording": {}}}


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, in the types of `RunConfig`."""
    from .config import RunConfig

    changes: dict[str, Any] = {}
    for name, value in options.items():
        if value is None or value == () or value is False:
            continue
        if name in ("systems", "conditions"):
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif name == "temperatures":
            try:
                value = [float(part) for part in value.split(",")]
            except ValueError:
                raise click.BadParameter(
                    f"{value!r} is not a list of numbers", param_hint="--temperatures"
                ) from None
        elif name == "data":
            value = list(value)
        changes[name] = value
    assert set(changes) <= set(asdict(RunConfig()))
    return changes
