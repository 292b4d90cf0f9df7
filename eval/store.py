"""A store of model outputs on disk: SQLite, JSON values, keyed by hashes of everything that shaped them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Store:
    """``get`` and ``put`` of JSON values. Several processes may share one file. ``path`` None keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(":memory:" if path is None else path, timeout=60, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS outputs (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self.enabled = path is not None

    def get(self, key: str) -> Any | None:
        if not self.enabled:
            return None
        row = self._db.execute("SELECT value FROM outputs WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        if self.enabled:
            self._db.execute("INSERT OR REPLACE INTO outputs VALUES (?, ?)", (key, json.dumps(value)))

    def close(self) -> None:
        self._db.close()


def digest(*parts: object) -> str:
    """Hash of tensors (their bytes) and of anything else (its JSON or repr)."""
    sha = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, Tensor):
            sha.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            sha.update(json.dumps(part, sort_keys=True, default=repr).encode())
        sha.update(b"\0")
    return sha.hexdigest()


def model_fingerprint(model: nn.Module) -> str:
    """Hash of every weight of the model, in float16 (in which checkpoints are published), names sorted."""
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(name.encode())
        sha.update(tensor.detach().to(torch.float16).cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:32]
