"""Options read as argparse, and so the ``whisper`` command, reads them: by any beginning of a name that only one has.

What is enough for openai-whisper's command is enough here, although there are more options.
A boolean option also works alone, as a flag that means True: ``--batched`` is ``--batched True``.
"""

from __future__ import annotations

import click
from click.types import BoolParamType

from whisper_steer.cli.options import STOCK, underscored

_STOCK = {f"--{names.split()[0]}" for names, *_ in STOCK}


class StockLike(click.Command):
    """A command whose options may be abbreviated; written with - or with _ they are one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = {
            name: param
            for param in self.get_params(ctx)
            if isinstance(param, click.Option)
            for name in param.opts
        }
        return super().parse_args(ctx, spelled_out(args, options))


def spelled_out(args: list[str], options: dict[str, click.Option]) -> list[str]:
    """The same arguments with whole names of options and with every boolean value.

    Raises `click.UsageError` for a beginning that several names have.
    """
    found: list[str] = []
    left = list(args)
    while left:
        token = left.pop(0)
        if token == "--":
            return [*found, token, *left]
        name, sign, value = token.partition("=") if token.startswith("--") else (token, "", "")
        name = whole_name(name, options) if name.startswith("--") else name
        option = options.get(name)
        found.append(f"{name}{sign}{value}")
        if option is None or option.is_flag or sign:
            continue
        if isinstance(option.type, BoolParamType) and not (left and _is_boolean(left[0])):
            found.append("True")
        elif left:
            found.append(left.pop(0))
    return found


def whole_name(name: str, options: dict[str, click.Option]) -> str:
    """The option that ``name`` is or begins; ``name`` itself where there is none."""
    name = f"--{underscored(name[2:])}"
    begun = sorted(each for each in options if each.startswith(name))
    if name in options or not begun:
        return name
    stocks = [each for each in begun if each in _STOCK]
    if len(begun) > 1 and len(stocks) != 1:
        raise click.UsageError(f"{name} is ambiguous: it could be {', '.join(begun)}")
    return (stocks or begun)[0]


def _is_boolean(word: str) -> bool:
    return BoolParamType.str_to_bool(word) is not None and word != ""


__all__ = ["StockLike", "spelled_out", "whole_name"]
