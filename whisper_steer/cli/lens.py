"""``whisper-steer lens``: what each block of a Whisper would write of a recording, and where its heads look."""

from __future__ import annotations

import json
from pathlib import Path

import click

from whisper_steer.cli.common import choose_model, output_names
from whisper_steer.cli.options import STOCK, Language, some_options, underscored
from whisper_steer.errors import ArtifactError


@click.command(context_settings={"token_normalize_func": underscored, "max_content_width": 110})
@click.argument("audio")
@some_options(STOCK, "model", "model_dir", "device")
@click.option("--steering", default="auto", show_default=True, help="auto, or an artifact's folder or name.")
@click.option(
    "--mode", type=click.Choice(["skip", "off"]), default="skip", show_default=True,
    help="What is looked at: the speech that the gate hears, or all of it, as stock decodes it.",
)  # fmt: skip
@click.option("--language", type=Language(), help="Language spoken.  [default: detected]")
@click.option("--out", "-o", type=click.Path(path_type=Path), default=Path(), show_default=True,
              help="Folder of the page, AUDIO.lens.html, or its file.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the numbers to this file.")
def lens(
    audio: str,
    model: str | None,
    model_dir: str | None,
    device: str | None,
    steering: str,
    mode: str,
    language: str | None,
    out: Path,
    json_file: Path | None,
) -> None:
    """Make a page to look into the model while it writes down AUDIO.

    AUDIO is a sound or video file, or - for stdin. Window by window: what each block of the decoder would write in
    place of every token (logit lens), the text from each block of the encoder (encoder lens), and where each head of
    the cross-attention looks. A browser opens the page from its file.
    """
    from whisper_steer.audio.load import load_audio
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.files.output import finite, moved_into
    from whisper_steer.lens.page import page
    from whisper_steer.lens.report import report
    from whisper_steer.lens.windows import decode_windows
    from whisper_steer.models.load import load_model
    from whisper_steer.runtimes.openai import prepare
    from whisper_steer.steer.find import find

    name = choose_model(model, model_dir)
    loaded = load_model(name, device, model_dir)
    if mode == "skip" and steering == "auto" and find(encoder_fingerprint(loaded.encoder)) is None:
        raise ArtifactError(
            f"no steering for {name} yet: pass --mode off to look at all of it, or run `whisper-steer fit {name}`"
        )
    chosen = prepare(loaded, steering) if mode == "skip" else None
    samples = load_audio(audio)
    decoded = decode_windows(loaded, samples, chosen, language if loaded.is_multilingual else "en")
    title = output_names((audio,))[audio]
    found = finite(report(title, name, loaded, chosen.artifact.name if chosen else None, decoded))
    target = out if out.suffix == ".html" else out / f"{Path(title).stem}.lens.html"
    texts = {target: page(found, samples)}
    if json_file is not None:
        texts[json_file] = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    for path, text in texts.items():
        with moved_into(path.parent) as folder:
            (folder / path.name).write_text(text, encoding="utf-8")
    windows = len(decoded.windows)
    click.echo(f"{audio}: {windows} window{'s' * (windows != 1)} -> {', '.join(map(str, texts))}")
