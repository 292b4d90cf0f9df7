"""If these fail, a laboratory command is missing, or asking it for help takes as long as running it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import run

from whisper_steer.cli.lab import LAB, SAE

COMMANDS = [("sae", name) for name in SAE] + [("lab", name) for name in LAB]


@pytest.mark.parametrize(("group", "commands"), [("sae", SAE), ("lab", LAB)])
def test_groups_say_what_their_commands_are_for(group: str, commands: dict[str, tuple[str, str]]) -> None:
    done = run(group, "--help")
    assert done.exit_code == 0
    said = " ".join(done.stdout.split())
    for name, (_, line) in commands.items():
        assert f"{name} {line}" in said
    assert run(group, "no-such-command").exit_code == 2


@pytest.mark.parametrize(("group", "name"), COMMANDS)
def test_every_command_is_where_the_table_says(group: str, name: str) -> None:
    done = run(group, name, "--help")
    assert done.exit_code == 0, done.output
    assert f"{group} {name}" in done.stdout


def test_help_does_not_wait_for_torch() -> None:
    written = [[group, name, "--help"] for group, name in COMMANDS]
    code = (
        "import sys\nfrom whisper_steer.cli import main\n"
        f"for args in {[['sae', '--help'], ['lab', '--help'], *written]!r}:\n"
        "    main(args, standalone_mode=False)\n"
        "    slow = {'torch', 'sklearn', 'whisper', 'matplotlib'} & set(sys.modules)\n"
        "    assert not slow, (args, slow)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
