"""For tests of the endpoint: a real uvicorn in a thread, and something slow that stands where a model does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import openai
import uvicorn

from whisper_steer.serve.app import Limits, make_app
from whisper_steer.serve.jobs import stop_if_dropped
from whisper_steer.serve.model import Served


@dataclass
class Endpoint:
    """A server that runs."""

    url: str
    app: Any

    clients: ExitStack

    def client(self, **options: Any) -> openai.OpenAI:
        given = {"api_key": "none", "max_retries": 0, "timeout": 300.0} | options
        return self.clients.enter_context(openai.OpenAI(base_url=f"{self.url}/v1", **given))

    def comes_to(self, **counts: int) -> None:
        """Wait until so many are ``running`` and ``waiting``."""
        end = time.monotonic() + 30
        while (found := self.app.state.jobs.counts()) != counts:
            assert time.monotonic() < end, found
            time.sleep(0.01)


@contextmanager
def serving(model: Served, api_key: str | None = None, **limits: Any) -> Iterator[Endpoint]:
    app = make_app(model, Limits(**limits), api_key)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with ExitStack() as clients:
            yield Endpoint(f"http://127.0.0.1:{port}", app, clients)
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Slow:
    """Stands where a model does: it takes until it is let go, so that a test can look at what waits meanwhile."""

    go: threading.Event
    begun: int = 0

    def __call__(self, _samples: Any, **_options: Any) -> dict[str, Any]:
        self.begun += 1
        while not self.go.wait(0.01):
            stop_if_dropped()
        return {"text": " Well.", "segments": [], "language": "en"}
