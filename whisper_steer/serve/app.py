"""The routes: ``/v1/audio/transcriptions``, ``/v1/audio/translations``, ``/v1/models``, ``/health``."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from whisper_steer.audio.load import SAMPLE_RATE, load_audio
from whisper_steer.serve.answer import answer, server_sent, usage
from whisper_steer.serve.form import Asked, Task, check_model, read
from whisper_steer.serve.jobs import Dropped, Job, Jobs
from whisper_steer.serve.model import Report, Served
from whisper_steer.serve.refusal import Refusal, refusal_of
from whisper_steer.serve.upload import read_form

log = logging.getLogger("whisper_steer.serve")
HUNG_UP = Response(status_code=499)
"""nobody reads it; the status stands in the log"""


@dataclass(frozen=True)
class Limits:
    """What a request may cost."""

    bytes: int = 25_000_000
    """of the file"""
    seconds: float = 4 * 3600
    """of the recording"""
    requests: int = 100
    """that are received, wait, or are in work"""
    wait: float = 600.0
    """seconds for the upload, and again for the answer"""


def make_app(served: Served, limits: Limits, api_key: str | None = None) -> FastAPI:
    """The endpoint for one model. With ``api_key``, all of ``/v1`` asks for it as a bearer token."""
    started = int(time.time())
    jobs = Jobs(served.at_once)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(jobs.close)

    app = FastAPI(title="whisper-steer", lifespan=lifespan, openapi_url=None)
    app.state.jobs = jobs
    desk = Desk(served, limits, jobs)
    about = {"id": served.name, "object": "model", "created": started, "owned_by": "openai"}

    async def authorised(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if api_key and not secrets.compare_digest(given.encode(), api_key.encode()):
            raise Refusal("the API key is not this server's", 401, code="invalid_api_key")

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> Response:
        return refusal.response()

    @app.exception_handler(HTTPException)
    async def no_such_route(request: Request, error: HTTPException) -> Response:
        return Refusal(f"{request.method} {request.url.path}: {error.detail}", error.status_code).response()

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": served.name, **jobs.counts()}

    v1 = APIRouter(prefix="/v1", dependencies=[Depends(authorised)])

    @v1.get("/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [about]}

    @v1.get("/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        check_model(name, served)
        return about

    @v1.post("/audio/transcriptions")
    async def transcriptions(request: Request) -> Response:
        return await desk.serve(request, "transcribe")

    @v1.post("/audio/translations")
    async def translations(request: Request) -> Response:
        return await desk.serve(request, "translate")

    app.include_router(v1)
    return app


class Desk:
    """Takes requests, hands them to the queue, and answers."""

    def __init__(self, served: Served, limits: Limits, jobs: Jobs) -> None:
        self._served, self._limits, self._jobs = served, limits, jobs
        self._receiving = 0

    async def serve(self, request: Request, task: Task) -> Response:
        """The answer to a request, whatever happens."""
        try:
            form = await self._received(request)
            try:
                asked = read(form, task, self._served)
            except Refusal:
                await form.close()
                raise
            return await (self._stream if asked.stream else self._answer)(request, asked)
        except (Dropped, ClientDisconnect, asyncio.CancelledError):
            return HUNG_UP
        except Exception as error:
            return self._refused(error)

    async def _received(self, request: Request) -> FormData:
        if self._receiving + sum(self._jobs.counts().values()) >= self._limits.requests:
            raise Refusal("too many requests wait already", 429, code="queue_full", retry=2)
        self._receiving += 1
        try:
            return await read_form(request, self._limits.bytes, self._limits.wait)
        finally:
            self._receiving -= 1

    def _refused(self, error: Exception) -> Response:
        refusal = refusal_of(error)
        if refusal.status == 500:
            log.error("a request failed", exc_info=error)
        return refusal.response()

    def _submit(self, asked: Asked, on_segment: Report | None = None) -> Job:
        """Put a request in the queue; its file goes when the work is done or dropped."""

        def work() -> tuple[dict[str, Any], float]:
            samples = load_audio(asked.file, longest=self._limits.seconds)
            return self._served(samples, asked.options(), on_segment), len(samples) / SAMPLE_RATE

        job = self._jobs.submit(work)
        job.future.add_done_callback(lambda _: asked.file.close())
        return job

    async def _answer(self, request: Request, asked: Asked) -> Response:
        job = self._submit(asked)
        try:
            result, seconds = await self._while_there(request, asyncio.wrap_future(job.future))
            return answer(result, asked, seconds)
        finally:
            job.drop()

    async def _while_there(self, request: Request, wanted: asyncio.Future[Any]) -> Any:
        """What comes of it. Raises `Dropped` where the client hangs up, `Refusal` where it takes too long."""
        gone = asyncio.ensure_future(_hung_up(request))
        try:
            await asyncio.wait({wanted, gone}, timeout=self._limits.wait, return_when="FIRST_COMPLETED")
            if wanted.done():
                return wanted.result()
            if gone.done():
                raise Dropped
            raise Refusal(f"no answer within {self._limits.wait:g} s", 504, code="timeout", retry=False)
        finally:
            gone.cancel()
            wanted.cancel()

    async def _stream(self, request: Request, asked: Asked) -> Response:
        """Server-sent events. The first is waited for, so that a request that fails at once has its status."""
        events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(event: dict[str, Any] | None) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        job = self._submit(asked, put)
        job.future.add_done_callback(lambda _: put(None))
        try:
            first = await self._while_there(request, asyncio.ensure_future(events.get()))
            if first is None:
                job.future.result()
        except BaseException:
            job.drop()
            raise

        async def told() -> AsyncIterator[bytes]:
            try:
                segment, begun = first, False
                while segment is not None:
                    delta = segment["text"] if begun else segment["text"].lstrip()
                    if delta:
                        yield server_sent({"type": "transcript.text.delta", "delta": delta})
                        begun = True
                    segment = await events.get()
                try:
                    result, seconds = job.future.result()
                except Exception as error:
                    yield server_sent(refusal_of(error).body())
                    return
                done = {"type": "transcript.text.done", "text": result["text"].strip()}
                yield server_sent({**done, "usage": usage(seconds)})
                yield b"data: [DONE]\n\n"
            finally:
                job.drop()

        return StreamingResponse(told(), media_type="text/event-stream")


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


__all__ = ["Limits", "make_app"]
