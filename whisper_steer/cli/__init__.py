"""The ``whisper-steer`` command. Subcommands are imported when called, so that ``--help`` does not wait for torch.

Errors become one line on stderr and an exit code here, at the edge: 1 for what went wrong, 2 for wrong usage,
130 for Ctrl-C. A traceback means a bug.
"""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn, TextIO

import click

from whisper_steer import __version__
from whisper_steer.cli.signals import tidying_up
from whisper_steer.errors import EXTRAS, AudioWarning, WhisperSteerError

COMMANDS = {
    "transcribe": ("whisper_steer.cli.transcribe:transcribe", "Write down what is said, and nothing else."),
    "serve": ("whisper_steer.cli.serve:serve", "Answer as OpenAI's transcription interface does."),
    "archive": ("whisper_steer.cli.archive:archive", "Transcribe a whole archive, on one machine or many."),
    "listen": ("whisper_steer.cli.listen:listen", "Write where somebody speaks, for other runtimes."),
    "live": ("whisper_steer.cli.live:live", "Say when speech starts and ends while it is being said."),
    "explain": (
        "whisper_steer.cli.explain:explain",
        "Say what was heard, and why it was transcribed or not.",
    ),
    "lens": ("whisper_steer.cli.lens:lens", "Look into the model, block by block, while it writes."),
    "demo": ("whisper_steer.cli.demo:demo", "The shipped recording with and without steering."),
    "fit": ("whisper_steer.cli.fit:fit", "Make a steering artifact for a checkpoint."),
    "calibrate": (
        "whisper_steer.cli.calibrate:calibrate",
        "Set the gate's threshold by your own recordings.",
    ),
    "name-latents": (
        "whisper_steer.cli.name_latents:name_latents",
        "Name an artifact's latents by what they hear.",
    ),
    "inspect": ("whisper_steer.cli.inspect:inspect", "Show what a steering artifact is."),
    "models": ("whisper_steer.cli.models:models", "List checkpoints and where steering exists for them."),
    "push": ("whisper_steer.cli.hub:push", "Upload an artifact to the Hugging Face Hub."),
    "pull": ("whisper_steer.cli.hub:pull", "Download an artifact from there."),
    "export": ("whisper_steer.cli.export:export", "Bake steering into a checkpoint, or copy an artifact."),
    "check-gate": ("whisper_steer.eval.gate_check:check_gate", "Judge your own recordings by a gate."),
    "benchmark": (
        "whisper_steer.eval.cli:benchmark",
        "Measure false speech and lost speech against other systems.",
    ),
    "sae": ("whisper_steer.cli.lab:sae", "Train sparse autoencoders, and convert them."),
    "lab": ("whisper_steer.cli.lab:lab", "Test features: what the papers did to believe in theirs."),
    "features": ("whisper_steer.pages.command:features", "Pages to look at the latents of an SAE."),
}
"""name -> (where the click command is, its line in --help)"""

INTERRUPTED = 130


@contextmanager
def one_line_errors(ctx: click.Context) -> Iterator[None]:
    """What fails in the ``with`` block ends the command with one line on stderr and an exit code."""
    try:
        with tidying_up(), one_line_warnings():
            yield
    except WhisperSteerError as error:
        fail(ctx, str(error), error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in EXTRAS:
            raise
        fail(ctx, f"this needs the package {package}: pip install 'whisper-steer[{EXTRAS[package]}]'", 1)
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output left, as head does: click ends quietly
            raise
        fail(ctx, describe(error), 1)
    except KeyboardInterrupt:
        fail(ctx, "interrupted", INTERRUPTED)


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Meanwhile what the package warns of is one line on stderr; other warnings are shown as Python shows them."""
    shown = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, AudioWarning):
            click.echo(f"Warning: {message}", err=True)
        else:
            shown(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


class OneLineErrors(click.Group):
    """Commands whose failures are one line on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors(ctx):
            return super().invoke(ctx)


class LazyGroup(OneLineErrors):
    """A group that knows its commands by name, where each is and its line in --help, and imports the one that runs."""

    def __init__(
        self, *args: Any, commands_by_name: dict[str, tuple[str, str]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.commands_by_name = COMMANDS if commands_by_name is None else commands_by_name

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_by_name:
            return None
        module, _, attribute = self.commands_by_name[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.commands_by_name.items()])


def fail(ctx: click.Context, message: str, code: int) -> NoReturn:
    """One line on stderr, then exit."""
    click.echo(f"Error: {message}", err=True)
    ctx.exit(code)


def describe(error: Exception) -> str:
    """An exception in one line; for the operating system's, the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0]


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="whisper-steer")
def main() -> None:
    """Stops Whisper from writing text where nobody speaks."""
