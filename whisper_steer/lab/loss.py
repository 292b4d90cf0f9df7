"""``whisper-steer lab loss``: what Whisper's decoder loses when it hears through an SAE's reconstruction."""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli.lab import DATA, DEVICE, OUT
from whisper_steer.lab.inputs import DATASET, MODEL, SAES, open_saes, read_data, shared


@click.command()
@shared(MODEL, SAES, DATA, DATASET)
@click.option(
    "--clips", type=click.IntRange(1), default=20, show_default=True, help="Of speech, of the test split."
)
@shared(DEVICE, OUT)
def loss(
    model: str,
    saes: tuple[str, ...],
    data: tuple[str, ...],
    datasets: tuple[str, ...],
    clips: int,
    device: str | None,
    out: Path | None,
) -> None:
    """Cross-entropy of transcripts and WER with each reconstruction in place of the activations (arXiv 2404.16014).

    Loss recovered is 1 where nothing is lost, and 0 where as much as with every frame replaced by the mean.
    """
    import torch

    from whisper_steer.data.splits import order_key, select
    from whisper_steer.lab.findings import Findings
    from whisper_steer.sae.recovered import hear, recovered, replaced, suitable, with_decoder

    encoder, found = open_saes(model, saes, device)
    whole = with_decoder(model, encoder.device)
    heard = suitable(
        select(read_data(data, datasets), "speech", "test"), whole, clips, lambda c: order_key(c, 0)
    )
    clean = hear(whole, heard)
    values = []
    for point, each in ((point, each) for point, placed in found.items() for each in placed):
        ablated = hear(whole, heard, point, replaced(each.sae.mean.expand_as))
        with torch.no_grad():
            through = hear(whole, heard, point, replaced(each.sae.reconstruct))
        values.append({"point": each.label, **recovered(clean, ablated, through, heard)})
    rows = [
        [
            *(str(value["point"]), f"{value['loss_recovered']:.1%}"),
            *(f"{value[key]:.2f}" for key in ("ce_clean", "ce_sae", "ce_ablated")),
            *(f"{value[key]:.1%}" for key in ("wer_clean", "wer_sae")),
        ]
        for value in values
    ]
    columns = ["SAE of", "loss recovered", "CE", "CE, SAE", "CE, mean", "WER", "WER, SAE"]
    about = {"model": model, "clips": len(heard), "data": " ".join(data)}
    Findings("loss", about, columns, rows, values).show(out)
