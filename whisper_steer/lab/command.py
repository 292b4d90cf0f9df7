"""A command whose errors are one line and an exit code, as those of ``whisper-steer``."""

from __future__ import annotations

from typing import Any

import click

from whisper_steer.cli import one_line_errors


class Command(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        with one_line_errors(ctx):
            return super().invoke(ctx)


__all__ = ["Command"]
