"""What a request asks for: the fields of OpenAI's interface, checked. What this server cannot do is refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from starlette.datastructures import FormData, UploadFile
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

from whisper_steer.serve.model import Served
from whisper_steer.serve.refusal import Refusal

Task = Literal["transcribe", "translate"]
FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("word", "segment")
EVERYBODYS = "whisper-1"
"""the interface's name for Whisper, under which every server of it is asked"""
FIELDS = {"file", "model", "prompt", "response_format", "temperature"}
TRANSCRIPTION_FIELDS = {"language", "timestamp_granularities", "stream", "chunking_strategy"}
"""those that ``/v1/audio/translations`` has not"""


@dataclass(frozen=True)
class Asked:
    """One request."""

    file: BinaryIO
    name: str
    """of the file, for messages"""
    task: Task
    response_format: str
    language: str | None
    prompt: str | None
    temperature: float
    granularities: frozenset[str]
    stream: bool

    def options(self) -> dict[str, Any]:
        """As options of `whisper_steer.transcribe`. At temperature 0 a failed window is tried again at higher ones."""
        steps = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        return {
            "task": self.task,
            "language": self.language,
            "initial_prompt": self.prompt,
            "temperature": steps if self.temperature == 0 else self.temperature,
            "word_timestamps": "word" in self.granularities,
        }


def read(form: FormData, task: Task, served: Served) -> Asked:
    """A request's fields. Raises `Refusal`."""
    _refuse_unknown(form, task)
    check_model(_text(form, "model"), served)
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refusal("send the recording as the file of the form", param="file", code="missing_file")
    response_format = _one_of(_text(form, "response_format") or "json", FORMATS, "response_format")
    granularities = _granularities(form, response_format)
    stream = _flag(form, "stream")
    if stream and response_format not in ("json", "text"):
        raise Refusal(f"stream goes with response_format json or text, not {response_format}", param="stream")
    if task == "translate" and not served.is_multilingual:
        raise Refusal(f"{served.name} knows English only: it cannot translate", param="model")
    return Asked(
        file=file.file,
        name=file.filename or "the file",
        task=task,
        response_format=response_format,
        language=_language(form, served),
        prompt=_text(form, "prompt") or None,
        temperature=_temperature(form),
        granularities=granularities,
        stream=stream,
    )


def check_model(name: str | None, served: Served) -> None:
    """Raise `Refusal` unless the server has that model."""
    if name is None:
        raise Refusal(f"name the model: {served.name}", param="model", code="missing_required_parameter")
    if name not in (served.name, EVERYBODYS):
        raise Refusal(
            f"there is no model {name!r} here: ask for {served.name}, which {EVERYBODYS} names too",
            404,
            param="model",
            code="model_not_found",
        )


def _refuse_unknown(form: FormData, task: Task) -> None:
    known = FIELDS | (TRANSCRIPTION_FIELDS if task == "transcribe" else set())
    for name in form:
        if name.removesuffix("[]") not in known:
            raise Refusal(
                f"this server has no {name}: leave it out", param=name, code="unsupported_parameter"
            )


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    if value is not None and not isinstance(value, str):
        raise Refusal(f"{name} is text, not a file", param=name)
    return value


def _one_of(value: str, allowed: tuple[str, ...], name: str) -> str:
    if value not in allowed:
        raise Refusal(f"{name} is one of {', '.join(allowed)}, not {value!r}", param=name)
    return value


def _granularities(form: FormData, response_format: str) -> frozenset[str]:
    name = "timestamp_granularities"
    given = [str(value) for key in (name, f"{name}[]") for value in form.getlist(key)]
    if given and response_format != "verbose_json":
        raise Refusal(f"{name} goes with response_format verbose_json", param=name)
    return frozenset(_one_of(value, GRANULARITIES, name) for value in given or ["segment"])


def _flag(form: FormData, name: str) -> bool:
    value = (_text(form, name) or "false").lower()
    return _one_of(value, ("true", "false"), name) == "true"


def _language(form: FormData, served: Served) -> str | None:
    value = _text(form, "language")
    if not served.is_multilingual:
        if value and TO_LANGUAGE_CODE.get(value.lower(), value.lower()) != "en":
            raise Refusal(f"{served.name} knows English only, not {value!r}", param="language")
        return "en"
    if not value:
        return None
    code = TO_LANGUAGE_CODE.get(value.lower(), value.lower())
    if code not in LANGUAGES:
        raise Refusal(f"Whisper does not know the language {value!r}: give its code, as en", param="language")
    return code


def _temperature(form: FormData) -> float:
    value = _text(form, "temperature")
    try:
        number = float(value or 0.0)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise Refusal(f"temperature is a number from 0 to 1, not {value!r}", param="temperature")
    return number


__all__ = ["EVERYBODYS", "Asked", "Task", "check_model", "read"]
