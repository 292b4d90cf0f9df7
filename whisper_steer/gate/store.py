"""A gate as a file of its own: safetensors of its fields, with its kind and hook point beside them.

For a gate that was trained elsewhere, by ``python -m whisper_steer.lab.gates``: ``whisper-steer fit --gate FILE``
calibrates it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.files.output import moved_into
from whisper_steer.gate.kinds import KINDS, Gate


def save_gate(gate: Gate, point: str, path: Path) -> None:
    """Write the file; it appears whole or not at all."""
    tensors = {
        name: value.cpu().contiguous() for name, value in vars(gate).items() if isinstance(value, Tensor)
    }
    with moved_into(path.parent) as folder:
        save_file(tensors, folder / path.name, metadata={"kind": gate.kind, "point": point})


def load_gate(path: Path) -> tuple[Gate, str]:
    """The gate and its hook point. Raises `ArtifactError` where the file is missing or no gate."""
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, str] = file.metadata() or {}
            fields: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return KINDS[about["kind"]](**fields), about["point"]
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is no gate that `python -m whisper_steer.lab.gates` has written ({error})"
        ) from error
