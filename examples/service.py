"""Whisper inside a service of your own, in thirty lines of FastAPI: upload a recording, get its spans and its text.

uvicorn examples.service:app                            # needs the extra [serve]
curl -F file=@recording.wav localhost:8000/transcripts
An endpoint that OpenAI's clients can talk to, with limits and a queue, is `whisper-steer serve`.
"""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, UploadFile
from fastapi.params import File

import whisper_steer
from whisper_steer.errors import WhisperSteerError

app = FastAPI(title="Transcripts without inventions")


@lru_cache(maxsize=1)
def model() -> Any:
    return whisper_steer.load_model(os.environ.get("MODEL", "tiny.en"))


@app.post("/transcripts")
def transcript(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """A plain function, so that FastAPI runs it in a thread of its own; a model's transcriptions take turns."""
    with tempfile.NamedTemporaryFile() as kept:
        while part := file.file.read(1 << 20):
            kept.write(part)
        kept.flush()
        try:
            result = whisper_steer.transcribe(model(), kept.name, fp16=model().device.type == "cuda")
        except WhisperSteerError as error:
            raise HTTPException(400, str(error)) from error
    return {"text": result["text"].strip(), "spans": result["steering"]["spans"]}
