"""A command whose errors are one line and an exit code, as those of ``whisper-steer``."""

from __future__ import annotations

from typing import Any

import click

from whisper_steer.cli import describe, fail
from whisper_steer.cli.signals import tidying_up
from whisper_steer.errors import WhisperSteerError


class Command(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            with tidying_up():
                return super().invoke(ctx)
        except (WhisperSteerError, OSError) as error:
            fail(ctx, describe(error), getattr(error, "exit_code", 1))


__all__ = ["Command"]
