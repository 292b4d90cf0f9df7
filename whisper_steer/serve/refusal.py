"""Errors in the form of OpenAI's interface: ``{"error": {"message", "type", "param", "code"}}``."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from whisper_steer.errors import AudioError, UsageError, WhisperSteerError


class Refusal(UsageError):
    """A request that is not answered as it wishes.

    ``retry``: whether the official client may try again: None leaves that to the status, else it is told so, with the
    seconds to wait where it may.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        retry: float | bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.retry = status, param, code, retry

    @property
    def kind(self) -> str:
        if self.status == 429:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": str(self),
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        headers = {}
        if self.retry is False:
            headers["x-should-retry"] = "false"
        elif self.retry is not None:
            headers["retry-after"] = f"{self.retry:.0f}"
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self.body(), self.status, headers)


def refusal_of(error: Exception) -> Refusal:
    """What a client is told of an error; of one that is a bug, or the machine's, nothing but that it happened."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, AudioError):
        return Refusal(str(error), param="file", code="invalid_audio")
    if isinstance(error, UsageError):
        return Refusal(str(error))
    if isinstance(error, WhisperSteerError):
        return Refusal(str(error), 500, code="server_error", retry=False)
    return Refusal("the server failed; its log says why", 500, code="server_error", retry=False)


__all__ = ["Refusal", "refusal_of"]
