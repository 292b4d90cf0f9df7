"""``whisper-steer sae train``."""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli.lab import DATA
from whisper_steer.sae.plan import CONTROLS, KINDS, Plan

COLUMNS = {
    "sae": "SAE", "explained_variance": "explained variance", "l0": "L0", "dead": "dead",
    "loss_recovered": "loss recovered", "ce_clean": "CE", "ce_sae": "CE, SAE", "ce_ablated": "CE, mean",
    "wer_clean": "WER", "wer_sae": "WER, SAE",
}  # fmt: skip
PERCENT = ("explained_variance", "dead", "loss_recovered", "wer_clean", "wer_sae")


@click.command()
@click.argument("model")
@DATA
@click.option(
    "--points", required=True, help='Hook points separated by commas, as blocks.1,ln_post, or "all".'
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the SAEs and the log.")
@click.option("--kind", type=click.Choice(KINDS), default=Plan.kind, show_default=True)
@click.option("--k", type=click.IntRange(1), default=Plan.k, show_default=True, help="Latents per frame.")
@click.option(
    "--expansion",
    type=click.IntRange(1),
    default=Plan.expansion,
    show_default=True,
    help="Latents per dimension.",
)
@click.option("--steps", type=click.IntRange(1), default=Plan.steps, show_default=True)
@click.option("--batch", type=click.IntRange(4), default=Plan.batch, show_default=True, help="Frames a step.")
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), default=Plan.learning_rate, show_default=True
)
@click.option(
    "--control",
    "controls",
    type=click.Choice(CONTROLS),
    multiple=True,
    help="Train this control of each point as well, on the same batches; repeatable.",
)
@click.option("--augment", is_flag=True, help="Mix noise (p 0.05) and music (p 0.025) in at 0 to 20 dB.")
@click.option(
    "--buffer",
    type=click.IntRange(20_000),
    default=250_000,
    show_default=True,
    help="Frames of a point that are held and shuffled; with room for all, each is computed once.",
)
@click.option("--record", type=click.Path(path_type=Path), help="Keep activations in this folder.")
@click.option(
    "--threshold-from",
    type=click.FloatRange(0, 1, min_open=True),
    default=Plan.threshold_from,
    show_default=True,
    help="Share of a batch from which Batch-Top-K takes its threshold; 0.25 is quicker on a GPU.",
)
@click.option("--half", is_flag=True, help="Multiply matrices in bfloat16.")
@click.option(
    "--loss-clips",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    help="Clips of held-out speech for the loss recovered, of Whisper.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", help="cpu, cuda, ...  [default: cuda where there is one]")
def train(
    model: str,
    data: tuple[str, ...],
    points: str,
    out: Path,
    kind: str,
    k: int,
    expansion: int,
    steps: int,
    batch: int,
    learning_rate: float,
    controls: tuple[str, ...],
    augment: bool,
    buffer: int,
    record: Path | None,
    threshold_from: float,
    half: bool,
    loss_clips: int,
    seed: int,
    device: str | None,
) -> None:
    """Train sparse autoencoders of MODEL's activations: a Whisper (an official name, a .pt, a folder of CTranslate2 or
    transformers) or a folder of HuBERT.

    They learn from the clips of split fit and are measured on those of choose. A killed training goes on where it was
    when it is called again. Several devices: accelerate launch --num_processes N --no_python whisper-steer sae train
    """
    from contextlib import nullcontext
    from typing import cast

    from whisper_steer.data.load import load
    from whisper_steer.eval.report import table
    from whisper_steer.files.lock import alone_in
    from whisper_steer.sae.plan import Kind
    from whisper_steer.sae.processes import Processes
    from whisper_steer.sae.run import Job, run

    plan = Plan(cast(Kind, kind), k, expansion, steps, batch, learning_rate, threshold_from, half, seed)
    clips = [clip for each in data for clip in load(each)]
    processes = Processes.started(device)
    job = Job(
        model,
        clips,
        points,
        out,
        plan,
        tuple(dict.fromkeys(controls)),
        buffer,
        augment,
        record,
        loss_clips,
        device,
    )
    with alone_in(out, "training") if processes.index == 0 else nullcontext():
        rows = run(job, processes)
    if processes.index == 0:
        shown = [key for key in COLUMNS if any(key in row for row in rows)]
        click.echo(
            table(
                [COLUMNS[key] for key in shown], [[_text(key, row.get(key)) for key in shown] for row in rows]
            )
        )
    processes.end()


def _text(key: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return (
        f"{100 * value:.1f} %"
        if key in PERCENT
        else f"{value:.2f}"
        if key.startswith("ce")
        else f"{value:.1f}"
    )
