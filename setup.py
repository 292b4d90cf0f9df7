"""Writes the extra ``tiny.en`` into the package's metadata under that name.

setuptools writes ``tiny-en``, which means the same (PEP 685); but pip before 23.3, which comes with Python 3.11 and
older, then warns, and leaves the weights out. Everything else about the package is in ``pyproject.toml``.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.egg_info import egg_info


class NamedExtras(egg_info):
    """The command that writes the metadata."""

    def run(self) -> None:
        super().run()
        path = Path(self.egg_info) / "PKG-INFO"
        head, blank, description = path.read_text(encoding="utf-8").partition("\n\n")
        for before in ("Provides-Extra: ", 'extra == "'):
            head = head.replace(f"{before}tiny-en", f"{before}tiny.en")
        path.write_text(head + blank + description, encoding="utf-8")


setup(cmdclass={"egg_info": NamedExtras})
