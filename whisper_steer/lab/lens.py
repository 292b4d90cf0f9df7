"""``whisper-steer lab lens``: the lenses on speech and on what is none, block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.lab import DATA, DEVICE, OUT
from whisper_steer.lab.inputs import DATASET, read_data, shared

if TYPE_CHECKING:
    from whisper_steer.eval.intervals import Estimate
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lens.clips import Seen


@click.command()
@click.argument("model")
@shared(DATA, DATASET)
@click.option(
    "--clips", type=click.IntRange(1), default=60, show_default=True,
    help="Of speech and of what is none, each, of the test split.",
)  # fmt: skip
@shared(DEVICE, OUT)
def lens(
    model: str, data: tuple[str, ...], datasets: tuple[str, ...], clips: int, device: str | None, out: Path | None
) -> None:  # fmt: skip
    """From which block of the decoder on MODEL's tokens stand, how sure each block is, and what is written from each
    block of the encoder, for English speech and for sounds without voices."""
    from whisper_steer.errors import DataError
    from whisper_steer.eval.curves.bench import pick
    from whisper_steer.lens.clips import look
    from whisper_steer.models.load import load_model

    chosen = pick(read_data(data, datasets), "test", clips)
    if {clip.kind for clip in chosen} != {"speech", "nonspeech"}:
        raise DataError(
            "the test split needs English speech with transcripts and non-speech, of up to 15 s each"
        )
    loaded = load_model(model, device)
    seen = look(loaded, sorted(chosen, key=lambda clip: (clip.kind, clip.seconds)))
    speech, sounds = ([each for each in seen if each.clip.kind == kind] for kind in ("speech", "nonspeech"))
    about = {
        "model": model, "data": " ".join(data), "split": "test",
        "speech": f"{len(speech)} clips, {sum(len(each.first) for each in speech)} text tokens",
        "non-speech": f"{len(sounds)} clips, {sum(len(each.first) for each in sounds)} text tokens on "
        f"{sum(len(each.first) > 0 for each in sounds)} of them",
    }  # fmt: skip
    _logit(about, speech, sounds, loaded.dims.n_text_layer).show(out)
    click.echo()
    _first_words(about, speech, sounds).show(out)
    click.echo()
    _encoder(about, speech, sounds, loaded.dims.n_audio_layer).show(out)


def _logit(about: dict[str, Any], speech: Sequence[Seen], sounds: Sequence[Seen], n: int) -> Findings:
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lens.clips import entropy_at, settled_at

    kinds = {"spoken": speech, "hallucinated": sounds}
    first = {kind: [settled_at(seen, block) for block in range(n + 1)] for kind, seen in kinds.items()}
    entropy = {kind: [entropy_at(seen, block) for block in range(n)] for kind, seen in kinds.items()}
    rows = [
        [
            str(block), *(_percent(found[block]) for found in first.values()),
            *(_number(found[block]) for found in entropy.values()),
        ]
        for block in range(n)
    ]  # fmt: skip
    rows.append(["never", *(_percent(found[n]) for found in first.values()), "", ""])
    values = [
        {
            "block": block if block < n else None,
            "first_from_here": {kind: found[block].to_dict() for kind, found in first.items()},
            "entropy": {kind: found[block].to_dict() for kind, found in entropy.items() if block < n},
        }
        for block in range(n + 1)
    ]
    columns = [
        "block", "first from here on: spoken", "hallucinated", "entropy, nats: spoken", "hallucinated",
    ]  # fmt: skip
    panels = {
        "share of tokens first from here on": {kind: found[:n] for kind, found in first.items()},
        "entropy, nats": entropy,
    }
    return Findings("logit-lens", about, columns, rows, values, _plot("block of the decoder", n, panels))


def _first_words(about: dict[str, Any], speech: Sequence[Seen], sounds: Sequence[Seen]) -> Findings:
    """What the last block would have written first, where nothing is forbidden."""
    from whisper_steer.lab.findings import Findings

    wanted = [Counter(each.wanted for each in seen if each.wanted is not None) for seen in (speech, sounds)]
    names = sorted(wanted[0] | wanted[1], key=lambda name: (name != "", -wanted[1][name], name))
    rows = [
        [f"`{name}`" if name else "what was written", *(str(count[name]) for count in wanted)]
        for name in names
    ]
    values = [{"wanted": name, "speech": wanted[0][name], "nonspeech": wanted[1][name]} for name in names]
    columns = ["first choice for the first word", "speech: clips", "non-speech: clips"]
    return Findings("first-words", about, columns, rows, values)


def _encoder(about: dict[str, Any], speech: Sequence[Seen], sounds: Sequence[Seen], n: int) -> Findings:
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lens.clips import is_elsewhere, is_empty, loops, share_of, wer_at

    def measured(block: int) -> dict[str, Estimate]:
        return {
            "speech_empty": share_of(speech, block, is_empty),
            "speech_loops": share_of(speech, block, loops),
            "speech_elsewhere": share_of(speech, block, is_elsewhere),
            "wer": wer_at(speech, block),
            "nonspeech_empty": share_of(sounds, block, is_empty),
            "nonspeech_loops": share_of(sounds, block, loops),
        }

    found = [measured(block) for block in range(n)]
    columns = [
        "block", "speech: empty", "loops", "fluent but not of the audio", "WER", "non-speech: empty", "loops",
    ]  # fmt: skip
    svg = _plot(
        "block of the encoder", n,
        {
            kind: {what: [each[f"{key}_{what}"] for each in found] for what in whats}
            for kind, key, whats in (
                ("share of speech clips", "speech", ("empty", "loops", "elsewhere")),
                ("share of non-speech clips", "nonspeech", ("empty", "loops")),
            )
        },
    )  # fmt: skip
    return Findings(
        "encoder-lens", about, columns,
        [[str(block), *map(_percent, each.values())] for block, each in enumerate(found)],
        [
            {"block": block, **{name: value.to_dict() for name, value in each.items()}}
            for block, each in enumerate(found)
        ],
        svg,
    )  # fmt: skip


def _percent(share: Estimate) -> str:
    return f"{share.value:.1%} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _number(found: Estimate) -> str:
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def _plot(across: str, n: int, panels: dict[str, dict[str, list[Estimate]]]) -> str:
    """A panel each, with a line for each of its kinds."""
    from matplotlib import pyplot as plt

    from whisper_steer.eval.plots import svg

    figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 3.4))
    for place, (name, lines) in zip(axes, panels.items(), strict=True):
        for label, found in lines.items():
            line = place.plot(range(n), [each.value for each in found], "o-", ms=3, lw=1, label=label)[0]
            low, high = [each.low for each in found], [each.high for each in found]
            place.fill_between(range(n), low, high, color=line.get_color(), alpha=0.12)
        place.set_xticks(range(n))
        place.set_xlabel(across)
        place.set_title(name, fontsize=10)
        place.grid(alpha=0.2)
        place.legend(fontsize=8)
    return svg(figure)
