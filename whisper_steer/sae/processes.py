"""One process, or several that ``accelerate launch`` or ``torchrun`` started: each trains some of the hook points.

SAEs of different points share nothing but the audio, so nothing has to be exchanged while they train.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whisper_steer.errors import MissingPackageError, UsageError
from whisper_steer.sae.train import Rows


@dataclass
class Processes:
    """This process among others. ``state`` is accelerate's `PartialState`, None where there is one process."""

    state: Any = None

    @classmethod
    def started(cls, device: str | None) -> Processes:
        """Those that the environment tells of. Raises `MissingPackageError` where several need accelerate."""
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            return cls()
        try:
            from accelerate import PartialState
        except ImportError:
            raise MissingPackageError(
                "several processes need the package accelerate: pip install 'whisper-steer[accelerate]'"
            ) from None
        return cls(PartialState(cpu=device == "cpu"))

    @property
    def index(self) -> int:
        return 0 if self.state is None else int(self.state.process_index)

    def device(self, asked: str | None) -> str | None:
        """This process's own device, where there are several."""
        if self.state is None:
            return asked
        found = self.state.device
        return "cpu" if found.type == "cpu" else str(found)

    def share(self, points: Sequence[str]) -> list[str]:
        """Every n-th of the points. Raises `UsageError` where there are fewer than processes."""
        n = 1 if self.state is None else int(self.state.num_processes)
        if len(points) < n:
            raise UsageError(f"{n} processes for {len(points)} hook points: start at most one for each point")
        return list(points[self.index :: n])

    def gather(self, rows: Rows) -> Rows:
        """The rows of all processes, known to each of them; the processes wait here for one another."""
        if self.state is None:
            return rows
        from accelerate.utils import gather_object

        return list(gather_object(rows))

    def end(self) -> None:
        if self.state is not None:
            self.state.destroy_process_group()
