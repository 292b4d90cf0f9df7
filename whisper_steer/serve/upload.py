"""Reading a request's form: no more bytes and no longer than allowed.

A file of more than a megabyte lies in a temporary file without a name, which goes when it is closed, and with the
process however that ends.
"""

from __future__ import annotations

import asyncio

from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from whisper_steer.serve.refusal import Refusal

FORM = 1 << 20
"""bytes that the rest of a form may have beside the file"""


async def read_form(request: Request, most_bytes: int, seconds: float) -> FormData:
    """The form of a request. Raises `Refusal`, and `ClientDisconnect` where the client hangs up."""
    left = most_bytes + FORM

    async def receive() -> Message:
        nonlocal left
        message = await request.receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise too_large(most_bytes)
        return message

    try:
        if int(request.headers.get("content-length") or 0) > left:
            raise too_large(most_bytes)
        form = await asyncio.wait_for(Request(request.scope, receive).form(max_files=1), seconds)
    except Refusal:
        await _read_to_the_end(request, seconds)
        raise
    except HTTPException as error:
        raise Refusal(str(error.detail), code="bad_form") from None
    except asyncio.TimeoutError:
        raise Refusal(
            f"the upload took longer than {seconds:g} s", 408, code="timeout", retry=False
        ) from None
    for value in form.values():
        if not isinstance(value, str) and (value.size or 0) > most_bytes:
            await form.close()
            raise too_large(most_bytes)
    return form


def too_large(most_bytes: int) -> Refusal:
    return Refusal(
        f"the file is larger than {most_bytes / 1e6:g} MB", 413, param="file", code="file_too_large"
    )


async def _read_to_the_end(request: Request, seconds: float) -> None:
    """Read what is refused and keep nothing: most clients read no answer before they have sent everything."""

    async def read() -> None:
        async for _ in request.stream():
            pass

    try:
        await asyncio.wait_for(read(), seconds)
    except (asyncio.TimeoutError, ClientDisconnect):
        return


__all__ = ["read_form"]
