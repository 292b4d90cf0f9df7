"""``whisper-steer lab permute``: a Whisper whose encoder has learned nothing, with the statistics of one that has.

SAEs of such a model are a control: what they show as well was not learned by the model (arXiv 2501.17727, which draws
weights anew with the mean and variance of each matrix; here the entries of each tensor change places).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from whisper.model import Whisper


@click.command()
@click.argument("model")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The checkpoint, as MODEL.pt.")
def permute(model: str, seed: int, out: Path) -> None:
    """Write MODEL with the entries of every tensor of its encoder in random order."""
    from dataclasses import asdict
    from io import BytesIO

    import torch

    from whisper_steer.files.disk import write_whole
    from whisper_steer.models.load import load_model

    whisper = load_model(model, "cpu")
    permute_encoder(whisper, seed)
    content = BytesIO()
    torch.save({"dims": asdict(whisper.dims), "model_state_dict": whisper.state_dict()}, content)
    write_whole(out, content.getvalue())
    click.echo(f"{out}: {model} with a permuted encoder, seed {seed}")


def permute_encoder(model: Whisper, seed: int) -> None:
    """In place: every parameter tensor of the encoder keeps its entries, not their places. The sinusoids that tell
    positions are no parameter and stay."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.encoder.parameters():
            order = torch.randperm(tensor.numel(), generator=generator)
            tensor.copy_(tensor.flatten()[order].view_as(tensor))
