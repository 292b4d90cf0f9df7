"""``whisper-steer features``: pages to look at the latents of an SAE, and to listen to them."""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli.lab import DATA


@click.command()
@click.argument("source", metavar="ARTIFACT_OR_SAE")
@click.option("--model", help="Whisper or a folder of HuBERT.  [default: the artifact's]")
@click.option("--point", help="Where the SAE lies: blocks.N or ln_post.  [default: the artifact's]")
@DATA
@click.option(
    "--split",
    type=click.Choice(["fit", "choose", "test"]),
    default="test",
    show_default=True,
    help="Of the data.",
)
@click.option(
    "--clips", type=click.IntRange(min=1), default=400, show_default=True, help="Most that are heard."
)
@click.option(
    "--latents",
    default="top:300",
    show_default=True,
    help="Which are shown in full: all, top:N by how well they tell speech, or numbers with commas.",
)
@click.option("--moments", type=click.IntRange(min=1), default=5, show_default=True, help="Of each of them.")
@click.option(
    "--texts",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Of how many of them, those with the strongest effect, to write down what clamping does to the text.",
)
@click.option("--stability", type=click.Path(path_type=Path), help="JSON of whisper-steer lab stability.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the pages.")
def features(
    source: str,
    model: str | None,
    point: str | None,
    data: tuple[str, ...],
    split: str,
    clips: int,
    latents: str,
    moments: int,
    texts: int,
    stability: Path | None,
    out: Path,
) -> None:
    """Make pages to look at the latents of ARTIFACT_OR_SAE: OUT/index.html, which a browser opens from the folder.

    A table of all latents, to sort, filter and search: how well each tells speech, how often it is active, on what,
    its effect on the decoder, how stable it is, its name. Of those that are shown in full, the strongest moments to
    play, with spectrogram and activation, and what clamping does to the text. The effect and the texts need a Whisper.
    Nothing on the pages comes from a network. The folder is replaced as a whole, where it holds nothing else.
    """
    from whisper.model import AudioEncoder

    from whisper_steer.data.load import load
    from whisper_steer.files.replace import check_target, replacing
    from whisper_steer.lab.encoders import open_encoder
    from whisper_steer.models.load import load_model
    from whisper_steer.pages import choose, make
    from whisper_steer.pages.clamp import Clamping
    from whisper_steer.pages.source import opened
    from whisper_steer.pages.write import WHAT, Extras, written

    check_target(out, WHAT, written)
    found = opened(source, model, point)
    choose.check(latents, found.n_latents)
    encoder = open_encoder(found.model, "cpu")
    found.check(encoder)
    known = choose.read_stability(stability, found.path, found.n_latents) if stability else None
    heard = choose.sampled([c for spec in data for c in load(spec) if c.split == split], clips)
    listened = make.listen(encoder, found.point, found.sae, heard, lambda line: click.echo(line, err=True))
    numbers = listened.numbers
    shown = choose.chosen(latents, numbers.auroc, numbers.density)
    extras, written_down = Extras(found.names(encoder), known), {}
    silent = make.effect_clips(listened.frames.clips)
    if isinstance(getattr(encoder, "encoder", None), AudioEncoder) and silent:
        clamping = Clamping(load_model(found.model, "cpu"), found.point, found.sae)
        extras.effect, extras.gradient = clamping.effect(silent, numbers.high)
        written_down = make.texts_of(clamping, listened, make.most_effective(shown, extras.effect, texts))
    elif texts:
        click.echo(
            "No effect on the decoder and no texts: they need a Whisper and clips without speech", err=True
        )
    about = {
        "SAE": found.name,
        "model": Path(found.model).name,
        "point": found.point,
        "data": f"{', '.join(Path(spec).name for spec in data)}, split {split}",
        "clips": make.counted(listened.frames.clips),
        "frames": len(listened.frames.clip),
        "effect_clips": len(silent) if extras.effect is not None else 0,
    }
    with replacing(out, WHAT, written) as folder:
        make.write_pages(folder, about, listened, extras, shown, moments, written_down)
        size = sum(path.stat().st_size for path in folder.iterdir())
    alive = int((numbers.density > 0).sum())
    click.echo(
        f"{found.n_latents} latents, {alive} of them active on {len(listened.frames.clips)} clips; "
        f"{len(shown)} shown in full, {len(written_down)} with texts; {size / 1e6:.1f} MB: {out / 'index.html'}"
    )


__all__ = ["features"]
