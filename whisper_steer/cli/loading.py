"""What `transcribe`, `archive` and `serve` share: a model with its steering in a runtime, ready to transcribe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from whisper_steer.cli.common import choose_model
from whisper_steer.cli.faster_options import for_faster, used
from whisper_steer.cli.options import RUNTIMES, SHARE
from whisper_steer.errors import ArtifactError
from whisper_steer.steer.methods import METHODS

if TYPE_CHECKING:
    from whisper.model import Whisper

    from whisper_steer.cli.backends import Backend


F = TypeVar("F", bound=Callable[..., Any])

STEERING = (
    click.option(
        "--steering", default="auto", show_default=True, help="auto, an artifact's folder or name, or none."
    ),
    click.option(
        "--mode",
        type=click.Choice(["skip", "steer", "off"]),
        help="What is no speech: not decoded, edited, or as stock.  [default: skip]",
    ),
    click.option(
        "--method",
        type=click.Choice(list(METHODS)),
        metavar="NAME",
        help=f"With --mode steer: {', '.join(METHODS)}.  [default: silence]",
    ),
    click.option("--max_suppressed_speech", type=SHARE, help="Share of speech at risk.  [default: 0.003]"),
    click.option("--auto_fit", is_flag=True, help="Fit steering, once, for a checkpoint that has none."),
    click.option(
        "--repetition_guard",
        type=click.Choice(["on", "off"]),
        help="Mend text that repeats itself without end.  [default: on, without steering off]",
    ),
)


def steering_options(function: F) -> F:
    """Decorate a click command with the options that `take_steering` takes."""
    for option in reversed(STEERING):
        function = option(function)
    return function


@dataclass(frozen=True)
class Loaded:
    """A model in a runtime."""

    name: str
    is_multilingual: bool
    transcribe: Callable[..., dict[str, Any]]
    """a recording and the options of `whisper_steer.transcribe` -> its result"""
    inner: Whisper | Backend


def take_steering(backend: str, options: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Take the options of steering out: as keywords of every runtime, and whether to fit what is missing.

    Raises ``click.UsageError`` for such as contradict each other or the backend.
    """
    names = ("steering", "mode", "method", "max_suppressed_speech", "auto_fit", "repetition_guard")
    steering, mode, method, max_suppressed_speech, auto_fit, repetition_guard = map(options.pop, names)
    if steering == "none" and (mode not in (None, "off") or method or max_suppressed_speech or auto_fit):
        raise click.UsageError("--mode, --method, --max_suppressed_speech and --auto_fit need steering")
    if method and mode != "steer":
        raise click.UsageError("--method needs --mode steer")
    if backend != "openai" and auto_fit:
        raise click.UsageError("--auto_fit goes with --backend openai; other backends find what it made")
    guard = None if repetition_guard is None else repetition_guard == "on"
    if steering == "none" or mode == "off":
        return {"steering": None, "repetition_guard": guard}, auto_fit
    how = {"mode": mode, "method": method, "max_suppressed_speech": max_suppressed_speech}
    return {"steering": steering, **how, "repetition_guard": guard}, auto_fit


def take_runtime(backend: str, options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of other runtimes out; refuse those that do not go with this one, or with each other."""
    if options["patience"] is not None and options["beam_size"] is None:
        raise click.UsageError("--patience needs --beam_size")
    given = [name for name, _, default, _ in RUNTIMES[1:] if options[name] != default]
    foreign = {"openai": [*given, *used(options)], "transformers": used(options)}.get(backend)
    if foreign:
        raise click.UsageError(f"--{foreign[0]} does not go with --backend {backend}: take --backend faster")
    faster = for_faster(options)
    return {**{name: options.pop(name) for name, *_ in RUNTIMES[1:]}, **faster}


def load(
    backend: str,
    runtime: dict[str, Any],
    options: dict[str, Any],
    steered: dict[str, Any],
    auto_fit: bool,
) -> Loaded:
    """Load model and steering.

    options: of `STOCK`; those about loading are taken out, the rest are options of `Loaded.transcribe`. runtime: the
    options of `RUNTIMES` but for the backend. Raises `ArtifactError`, `FingerprintError`, `MissingPackageError`,
    `ModelError`, `UsageError`.
    """
    if backend == "openai":
        return _with_openai(options, dict(steered), auto_fit)
    from whisper_steer.cli.backends import Runtime, refuse_missing
    from whisper_steer.cli.backends import load as load_backend

    refuse_missing(backend, options)
    name = choose_model(options.pop("model"), options["model_dir"])
    where = {key: options.pop(key) for key in ("device", "model_dir", "threads")}
    loaded = load_backend(backend, name, steered, Runtime(**where, **runtime))
    return Loaded(name, loaded.is_multilingual, loaded.transcribe, loaded)


def _with_openai(options: dict[str, Any], steered: dict[str, Any], auto_fit: bool) -> Loaded:
    import torch

    from whisper_steer.models.load import load_model
    from whisper_steer.runtimes.openai import prepare, transcribe

    if threads := options.pop("threads"):
        torch.set_num_threads(threads)
    model_dir = options.pop("model_dir")
    name = choose_model(options.pop("model"), model_dir)
    model = load_model(name, options.pop("device"), model_dir)
    if model.device.type == "cpu":
        options["fp16"] = False
    if steered["steering"] == "auto":
        _require_artifact(model, name, auto_fit)
    guard = steered.pop("repetition_guard")
    run = partial(transcribe, model, steering=prepare(model, **steered), repetition_guard=guard)
    return Loaded(name, model.is_multilingual, run, model)


def settle_decoding(options: dict[str, Any], name: str, is_multilingual: bool) -> None:
    """Make of the command's options those of `transcribe`, as openai-whisper's command does."""
    import numpy as np

    if not is_multilingual:
        if options["language"] is not None and options["language"].lower() not in ("en", "english"):
            click.echo(
                f"Note: {name} knows English only; --language {options['language']} is ignored", err=True
            )
        options["language"] = "en"
    temperature, step = options["temperature"], options.pop("temperature_increment_on_fallback")
    if step is not None and temperature <= 1.0:
        options["temperature"] = tuple(np.arange(temperature, 1.0 + 1e-6, step).tolist())


def _require_artifact(model: Whisper, name: str, auto_fit: bool) -> None:
    """Make sure that an artifact for the model's encoder can be found: shipped, cached, or fitted now."""
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.steer.find import find

    if find(encoder_fingerprint(model.encoder)) is not None:
        return
    if not auto_fit:
        raise ArtifactError(
            f"no steering for {name} yet: add --auto-fit to make it once, run `whisper-steer fit {name}`, "
            "or pass --steering none for stock Whisper"
        )
    from whisper_steer.fit.auto import auto_fit as fit_and_keep

    click.echo(f"Fitting steering for {name}, once ...", err=True)
    fit_and_keep(model, Path(name).stem if Path(name).is_file() else name)


__all__ = ["Loaded", "load", "settle_decoding", "steering_options", "take_runtime", "take_steering"]
