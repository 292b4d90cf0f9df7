"""uvicorn, ended by SIGTERM and Ctrl-C when what it has received is answered."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from whisper_steer.errors import UsageError


def run(app: FastAPI, host: str, port: int, grace: float) -> None:
    """Serve until a signal. ``grace``: seconds that requests have left then. Raises `UsageError`: no such address."""
    config = uvicorn.Config(app, host, port, log_level="info", timeout_graceful_shutdown=max(1, round(grace)))
    server = uvicorn.Server(config)
    try:
        server.run()
    except SystemExit:  # uvicorn has said why
        raise UsageError(f"cannot listen at {host}:{port}: choose another with --host and --port") from None


__all__ = ["run"]
