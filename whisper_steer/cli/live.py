"""``whisper-steer live``: a file at real-time speed, or raw samples from stdin, and what is heard as it is heard."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from whisper_steer.cli.common import choose_model
from whisper_steer.cli.listen import require_artifact
from whisper_steer.cli.options import SHARE, STOCK, some_options, underscored

if TYPE_CHECKING:
    from whisper_steer.data.clips import Audio
    from whisper_steer.live.turns import Event

RATE = 16000
CHUNK = RATE // 50
"""samples that come at once, as from a sound card: 20 ms"""


@click.command(context_settings={"token_normalize_func": underscored, "max_content_width": 110})
@click.argument("audio")
@some_options(STOCK, "model", "model_dir", "device")
@click.option("--steering", default="auto", show_default=True, help="auto, or an artifact's folder or name.")
@click.option("--max_suppressed_speech", type=SHARE, help="Share of speech at risk.  [default: 0.003]")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Of a file: how many times faster than it was recorded; inf waits for nothing.",
)
def live(
    audio: str,
    model: str | None,
    model_dir: str | None,
    device: str | None,
    steering: str,
    max_suppressed_speech: float | None,
    speed: float,
) -> None:
    """Say when speech starts and ends in AUDIO while it plays.

    AUDIO is a sound or video file, played at real-time speed, or - for stdin: raw samples, 16-bit signed little-endian,
    mono, 16 kHz, until it ends, as from

        arecord -q -t raw -f S16_LE -r 16000 -c 1 | whisper-steer live -

    Each line says where speech starts or ends, and how much audio had come when it was told.
    """
    if steering == "none":
        raise click.UsageError("listening needs steering: leave --steering out, or name an artifact")
    if audio == "-" and speed != 1.0:
        raise click.UsageError("--speed is for files: stdin comes at the speed at which it comes")

    from whisper_steer.audio.load import load_audio
    from whisper_steer.live.listener import Listener
    from whisper_steer.models.load import load_model

    samples = None if audio == "-" else load_audio(audio)
    name = choose_model(model, model_dir)
    loaded = load_model(name, device, model_dir)
    if steering == "auto":
        require_artifact(loaded, name)
    listener = Listener(loaded, steering=steering, max_suppressed_speech=max_suppressed_speech)
    click.echo("Listening; Ctrl-C ends it" if samples is None else f"Playing {audio}", err=True)
    for chunk in from_stdin() if samples is None else played(samples, speed):
        show(listener.feed(chunk))
    show(listener.finish())


def show(events: Iterable[Event]) -> None:
    """A line for each, written at once."""
    for event in events:
        told = f"told at {clock(event.heard_at)}, evidence {event.evidence:.1f}"
        click.echo(f"{clock(event.time)}  speech {event.kind + 's':6}  {told}")
        sys.stdout.flush()


def clock(seconds: float) -> str:
    """``1:02:03.4``, or ``02:03.4`` within the first hour."""
    tenths = round(seconds * 10)
    hours, rest = divmod(tenths, 36000)
    minutes, rest = divmod(rest, 600)
    return (f"{hours}:" if hours else "") + f"{minutes:02}:{rest // 10:02}.{rest % 10}"


def played(samples: Audio, speed: float) -> Iterator[Audio]:
    """Samples (n,) in chunks, each when its last sample would have been recorded."""
    began = time.monotonic()
    for start in range(0, len(samples), CHUNK):
        chunk = samples[start : start + CHUNK]
        due = began + (start + len(chunk)) / RATE / speed
        time.sleep(max(0.0, due - time.monotonic()))
        yield chunk


def from_stdin() -> Iterator[Audio]:
    """Raw samples from stdin as they come, as floats within +-1."""
    import numpy as np

    left = b""
    read = getattr(sys.stdin.buffer, "read1", sys.stdin.buffer.read)
    while block := read(2 * CHUNK):
        whole = (left + block)[: (len(left) + len(block)) // 2 * 2]
        left = (left + block)[len(whole) :]
        yield np.frombuffer(whole, "<i2").astype(np.float32) / np.float32(32768)
