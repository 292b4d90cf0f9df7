"""``whisper-steer archive``: a whole archive of recordings to manifests, in parts, on one machine or on Ray."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.common import choose_model
from whisper_steer.cli.faster_options import faster_options
from whisper_steer.cli.loading import load as load_model
from whisper_steer.cli.loading import settle_decoding, steering_options, take_runtime, take_steering
from whisper_steer.cli.options import STOCK, runtime_options, some_options, underscored

if TYPE_CHECKING:
    from whisper_steer.archive.work import Transcribe

NOT_HERE = {
    "output_dir",
    "output_format",
    "verbose",
    "clip_timestamps",
    "word_timestamps",
    "prepend_punctuations",
    "append_punctuations",
    "highlight_words",
    "max_line_width",
    "max_line_count",
    "max_words_per_line",
    "hallucination_silence_threshold",
}
"""options of ``transcribe`` that have no meaning where rows of segments are written"""
OURS = [names.split()[0] for names, *_ in STOCK if names.split()[0] not in NOT_HERE]
HOW = ("device", "model_dir", "threads", "local_files_only")
"""options that change where and how fast a text is made, not what it says"""


@click.command(context_settings={"token_normalize_func": underscored, "max_content_width": 110})
@click.argument("source", metavar="INPUT")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the archive.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes of one model each; with --ray, actors.  [default: 1; with --ray as many as there is room for]",
)
@click.option(
    "--ray", "address", metavar="ADDRESS", help="Work on this Ray cluster: HOST:PORT, auto or local."
)
@click.option(
    "--part_seconds",
    type=click.FloatRange(min=1),
    default=1800.0,
    show_default=True,
    help="Seconds of audio that a worker does at a time, and that a kill can cost.",
)
@steering_options
@runtime_options
@faster_options
@some_options(STOCK, *OURS)
@click.pass_context
def archive(
    ctx: click.Context,
    /,
    source: str,
    out: Path,
    workers: int | None,
    address: str | None,
    part_seconds: float,
    backend: str,
    **options: Any,
) -> None:
    """Transcribe all of INPUT into OUT: manifest.jsonl, manifest.parquet, errors.jsonl.

    INPUT is a folder of recordings with all its folders, a JSONL manifest (audio_filepath, offset, duration, text), or
    tars of a WebDataset, with * or braces: 'train-{000..127}.tar'. A run that was ended goes on where it was, and a
    further one does what is new in INPUT. Exit codes: 0 all done, 1 some bad, 2 wrong usage, 130 interrupted.
    """
    if options["auto_fit"]:
        raise click.UsageError("--auto_fit goes with transcribe: fit first, then transcribe the archive")
    steered, _ = take_steering(backend, options)
    given = {"backend": backend, **steered, **options}
    runtime = take_runtime(backend, options)
    options["model"] = choose_model(options["model"], options["model_dir"])
    settings = {
        **{name: value for name, value in given.items() if name not in HOW},
        "model": _named(options["model"]),
        "steering": steered["steering"] and _named(steered["steering"]),
    }

    from whisper_steer.archive.run import run

    if address is None:
        from whisper_steer.archive.local import Processes

        count = workers or 1
        options["threads"] = options["threads"] or (max(1, _processors() // count) if count > 1 else 0)
        load = partial(load_transcriber, backend, runtime, options, steered)
        pool: Any = Processes(load, count)
    else:
        from whisper_steer.archive.on_ray import RayPool

        options["threads"] = options["threads"] or 1
        load = partial(load_transcriber, backend, runtime, options, steered)
        gpus = int(options["device"] is not None and options["device"].startswith("cuda"))
        pool = RayPool(load, address, workers, options["threads"], gpus)
    report = run(source, out, settings, pool, part_seconds, partial(click.echo, err=True))
    click.echo(f"{out}: {report}")
    ctx.exit(1 if report.archive.bad else 0)


def load_transcriber(
    backend: str, runtime: dict[str, Any], options: dict[str, Any], steered: dict[str, Any]
) -> Transcribe:
    """In a worker: load model and steering; returns what makes of samples a result."""
    settled = dict(options)
    loaded = load_model(backend, dict(runtime), settled, steered, auto_fit=False)
    settle_decoding(settled, loaded.name, loaded.is_multilingual)
    return partial(loaded.transcribe, **{**settled, "verbose": None})


def _named(name: str) -> str:
    """A model or artifact by its name; a file or folder with what tells whether it was replaced."""
    from whisper_steer.archive.sources import stamp

    path = Path(name)
    if not path.exists():
        return name
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    return " ".join([name, *(stamp(each) for each in files)])


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
