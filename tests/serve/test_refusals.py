"""What cannot be answered is refused in the interface's form, so that the official client raises what users catch."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serving import Endpoint, Slow, serving

from whisper_steer.serve.model import Served


def ask(endpoint: Endpoint, file: Any, **fields: Any) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as error:
        endpoint.client().audio.transcriptions.create(
            file=file, model=fields.pop("model", "whisper-1"), **fields
        )
    found = error.value
    assert set(found.body) == {"message", "type", "param", "code"}
    return found


@pytest.mark.parametrize(
    "content", [b"", b"no sound at all" * 99, b"RIFF\x00\x00\x00\x00WAVE"], ids=["empty", "text", "cut"]
)
def test_bad_upload(endpoint: Endpoint, content: bytes) -> None:
    found = ask(endpoint, ("a.wav", content))
    assert (found.status_code, found.param, found.code) == (400, "file", "invalid_audio")
    endpoint.comes_to(running=0, waiting=0)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "yaml"}, "response_format"),
        ({"temperature": 3}, "temperature"),
        ({"language": "de"}, "language"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
        ({"include": ["logprobs"]}, "include[]"),
        ({"stream": True, "response_format": "srt"}, "stream"),
        ({"extra_body": {"vad_threshold": 0.5}}, "vad_threshold"),
    ],
)
def test_bad_fields(endpoint: Endpoint, wav_files: dict[str, Path], fields: Any, param: str) -> None:
    found = ask(endpoint, wav_files["tone"], **fields)
    assert (found.status_code, found.param) == (400, param)
    assert found.type == "invalid_request_error"


def test_another_model(endpoint: Endpoint, wav_files: dict[str, Path]) -> None:
    found = ask(endpoint, wav_files["tone"], model="large-v3")
    assert (found.status_code, found.code) == (404, "model_not_found")


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the client's mark on translations
def test_translation_by_an_english_model(endpoint: Endpoint, wav_files: dict[str, Path]) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot translate"):
        endpoint.client().audio.translations.create(file=wav_files["tone"], model="whisper-1")


def test_no_form_and_no_route(endpoint: Endpoint) -> None:
    answers = [
        httpx.post(f"{endpoint.url}/v1/audio/transcriptions", json={"model": "whisper-1"}),
        httpx.post(f"{endpoint.url}/v1/audio/transcriptions", data={"model": "whisper-1"}),
        httpx.get(f"{endpoint.url}/v1/chat/completions"),
        httpx.get(f"{endpoint.url}/v1/audio/transcriptions"),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 404, 405]
    for answer in answers:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def silence(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * round(16000 * seconds)))
    return file.getvalue()


def test_limits_of_size_and_length(small: Served) -> None:
    with serving(small, bytes=100_000, seconds=2.0) as endpoint:
        assert ask(endpoint, ("a.wav", silence(2.5))).code == "invalid_audio"
        assert ask(endpoint, ("a.wav", silence(4))).status_code == 413
        too_long = ask(endpoint, ("a.wav", silence(120)))  # more than the form's slack too, and said before
        assert (too_long.status_code, too_long.code) == (413, "file_too_large")

        def unannounced() -> Any:
            yield from [b"x" * 60_000] * 40

        headers = {"content-type": "multipart/form-data; boundary=b"}
        url = f"{endpoint.url}/v1/audio/transcriptions"
        assert httpx.post(url, content=unannounced(), headers=headers).status_code in (400, 413)


def test_limit_of_time(slow: Slow) -> None:
    with serving(Served("slow", True, slow), wait=0.3) as endpoint:
        found = ask(endpoint, ("a.wav", silence(1)))
        assert (found.status_code, found.code) == (504, "timeout")
        endpoint.comes_to(running=0, waiting=0)  # the work ended as well
        assert slow.begun == 1


def test_key(small: Served, wav_files: dict[str, Path]) -> None:
    with serving(small, api_key="open sesame") as endpoint:
        assert ask(endpoint, wav_files["tone"]).status_code == 401
        assert endpoint.client(api_key="open sesame").models.list().data[0].id == small.name
        with pytest.raises(openai.AuthenticationError):
            endpoint.client().models.list()
        assert httpx.get(f"{endpoint.url}/health").json()["status"] == "ok"
