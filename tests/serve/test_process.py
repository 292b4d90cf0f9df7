"""The command itself: the genuine tiny.en behind it, and how it ends."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import soundfile
from helpers import run


def test_ends_when_all_is_answered(tiny_en_folder: Path, spoken: np.ndarray) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, spoken[: 16000 * 8], 16000, format="wav")
    start = [sys.executable, "-c", "from whisper_steer.cli import main; main()", "serve"]
    arguments = ["--model", "tiny.en", "--port", "0", "--batch-size", "2", "--beam-size", "1"]
    with subprocess.Popen([*start, *arguments], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = None
            while found is None:
                line = process.stderr.readline()
                assert line, "it did not start"
                found = re.search(r"running on (http://\S+)", line)
            url = found[1]
            options = {"api_key": "none", "max_retries": 0}
            with openai.OpenAI(base_url=f"{url}/v1", **options) as client, ThreadPoolExecutor(3) as threads:
                create = client.audio.transcriptions.create
                asked = [
                    threads.submit(create, file=("a.wav", sound.getvalue()), model="tiny.en")
                    for _ in range(3)
                ]
                while sum(httpx.get(f"{url}/health").json()[name] for name in ("running", "waiting")) < 3:
                    time.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                texts = {each.result().text for each in asked}
            assert len(texts) == 1 and len(texts.pop().split()) > 8
            assert process.wait(20) == -signal.SIGTERM
            with pytest.raises(httpx.ConnectError):
                httpx.get(f"{url}/health")
        finally:
            process.kill()


def test_says_what_does_not_go_together() -> None:
    found = run("serve", "--backend", "openai", "--compute-type", "int8")
    assert found.exit_code == 2 and "--backend openai" in found.output
    found = run("serve", "--steering", "none", "--mode", "steer")
    assert found.exit_code == 2 and "need steering" in found.output
