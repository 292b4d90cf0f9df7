"""``whisper-steer serve``: an endpoint that the clients of OpenAI's transcription interface can be pointed at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.loading import Loaded, load, steering_options, take_steering
from whisper_steer.cli.options import RUNTIMES, STOCK, defaults, some_options, underscored
from whisper_steer.errors import MissingPackageError

if TYPE_CHECKING:
    from whisper_steer.serve.model import Served

LOADING = ("model", "model_dir", "device", "threads", "fp16")
DECODING = (
    "best_of",
    "beam_size",
    "suppress_tokens",
    "condition_on_previous_text",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
)
NOT_HERE = (
    "output_dir",
    "output_format",
    "highlight_words",
    "max_line_width",
    "max_line_count",
    "max_words_per_line",
    "temperature_increment_on_fallback",
)


@click.command(
    context_settings={
        "token_normalize_func": underscored,
        "max_content_width": 110,
        "default_map": {"backend": "faster"},
    }
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 is all.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 is any."
)
@click.option(
    "--api_key",
    envvar="WHISPER_STEER_API_KEY",
    show_envvar=True,
    help="Ask clients for this key.  [default: ask for none]",
)
@click.option(
    "--batch_size",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="With faster: requests in work side by side, and windows in a batch.",
)
@click.option(
    "--max_megabytes", type=click.FloatRange(min=0, min_open=True), default=25, show_default=True,
    help="Largest file.",
)  # fmt: skip
@click.option(
    "--max_minutes", type=click.FloatRange(min=0, min_open=True), default=240, show_default=True,
    help="Longest recording.",
)  # fmt: skip
@click.option(
    "--max_requests",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Requests that may wait or be in work; what comes beyond is told to come again.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=600, show_default=True,
    help="Seconds that an upload may take, and again its answer.",
)  # fmt: skip
@steering_options
@some_options(RUNTIMES, "backend", "compute_type", "local_files_only")
@some_options(STOCK, *LOADING, *DECODING)
def serve(
    host: str,
    port: int,
    api_key: str | None,
    batch_size: int,
    max_megabytes: float,
    max_minutes: float,
    max_requests: int,
    timeout: float,
    backend: str,
    **options: Any,
) -> None:
    """Answer POST /v1/audio/transcriptions and /v1/audio/translations as OpenAI's interface does.

    Point a client's base_url at http://HOST:PORT/v1. SIGTERM and Ctrl-C end it when all that it has received is
    answered. Options may be written with _ or with -. Exit codes: 1 it cannot start, 2 wrong usage.
    """
    steered, auto_fit = take_steering(backend, options)
    runtime = defaults(RUNTIMES[1:]) | {
        name: options.pop(name) for name in ("compute_type", "local_files_only")
    }
    if backend == "openai" and runtime != defaults(RUNTIMES[1:]):
        raise click.UsageError("--compute_type and --local_files_only do not go with --backend openai")
    try:
        from whisper_steer.serve.app import Limits, make_app
        from whisper_steer.serve.run import run
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"serving needs the package {error.name}: pip install 'whisper-steer[serve]'"
        ) from None

    decoding = decoding_of(options)
    loaded = load(backend, runtime, decoding, steered, auto_fit)
    limits = Limits(round(max_megabytes * 1e6), max_minutes * 60, max_requests, timeout)
    app = make_app(served(loaded, decoding, batch_size), limits, api_key)
    run(app, host, port, timeout)


def decoding_of(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `STOCK` -> those and the defaults of all others, without such as shape files or are a request's."""
    return {name: value for name, value in (defaults(STOCK) | options).items() if name not in NOT_HERE}


def served(loaded: Loaded, decoding: dict[str, Any], batch_size: int) -> Served:
    """A loaded model for the endpoint. decoding: the options of `whisper_steer.transcribe` that every request has.

    faster-whisper's transcriptions run side by side and compute in batches. Those of other runtimes run one after
    another, and stop before the next window where nobody waits for them any more.
    """
    from whisper.model import Whisper

    from whisper_steer.cli.backends.faster import Faster
    from whisper_steer.serve.jobs import stop_if_dropped
    from whisper_steer.serve.model import Served
    from whisper_steer.serve.together import compute_together

    def run(samples: Any, **options: Any) -> dict[str, Any]:
        return loaded.transcribe(samples, **{**decoding, **options, "verbose": None})

    name = Path(loaded.name).stem if Path(loaded.name).exists() else loaded.name
    if isinstance(loaded.inner, Faster):
        compute_together(loaded.inner.model, batch_size)
        return Served(name, loaded.is_multilingual, run, batch_size, reports=True)
    if isinstance(loaded.inner, Whisper):
        loaded.inner.encoder.register_forward_pre_hook(stop_if_dropped)
    return Served(name, loaded.is_multilingual, run)
