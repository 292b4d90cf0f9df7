"""Many at once: each gets what it would get alone, and work that nobody waits for is not done."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import soundfile
from serving import Endpoint, Slow, serving

from whisper_steer.serve.jobs import Jobs
from whisper_steer.serve.model import Served
from whisper_steer.serve.together import OneThread

PROMPTS = ("", "Mozambique, Mombasa, Malindi.", "Notes on a visit.", "x", "Yes")


def test_fifty_at_once(endpoint: Endpoint) -> None:
    def tone(hertz: int) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, 0.3 * np.sin(np.arange(16000) * hertz / 2546), 16000, format="wav")
        return file.getvalue()

    client = endpoint.client()
    asked = [(tone(200 * (i + 1)), PROMPTS[i % len(PROMPTS)]) for i in range(10)]

    def answer(request: tuple[bytes, str]) -> tuple[str, float]:
        found = client.audio.transcriptions.create(
            file=("a.wav", request[0]), prompt=request[1], model="whisper-1", response_format="verbose_json"
        )
        return found.text, sum(segment.avg_logprob for segment in found.segments)

    alone = [answer(each) for each in asked]
    with ThreadPoolExecutor(50) as threads:
        together = list(threads.map(answer, asked * 5))
    assert [text for text, _ in together] == [text for text, _ in alone] * 5
    assert [score for _, score in together] == pytest.approx([score for _, score in alone] * 5, abs=1e-3)
    assert len({text for text, _ in alone}) > 1
    endpoint.comes_to(running=0, waiting=0)


def test_who_hangs_up_is_dropped(slow: Slow, wav_files: dict[str, Path]) -> None:
    with serving(Served("slow", True, slow)) as endpoint, ThreadPoolExecutor(6) as threads:
        content = wav_files["tone"].read_bytes()

        def ask(patience: float) -> httpx.Response:
            return httpx.post(
                f"{endpoint.url}/v1/audio/transcriptions",
                files={"file": ("a.wav", content)},
                data={"model": "whisper-1"},
                timeout=httpx.Timeout(100, read=patience),
            )

        patient = threads.submit(ask, 100)
        endpoint.comes_to(running=1, waiting=0)
        impatient = [threads.submit(ask, 3) for _ in range(5)]
        endpoint.comes_to(running=1, waiting=5)
        for each in impatient:
            with pytest.raises(httpx.ReadTimeout):
                each.result()
        endpoint.comes_to(running=1, waiting=0)
        slow.go.set()
        assert patient.result().json()["text"] == "Well."
        assert slow.begun == 1
        slow.go.clear()
        with pytest.raises(httpx.ReadTimeout):  # in work: it ends at the next window
            ask(1)
        endpoint.comes_to(running=0, waiting=0)


def test_too_many(slow: Slow, wav_files: dict[str, Path]) -> None:
    with serving(Served("slow", True, slow), requests=2) as endpoint, ThreadPoolExecutor(2) as threads:
        create = endpoint.client().audio.transcriptions.create
        first = [threads.submit(create, file=wav_files["tone"], model="whisper-1") for _ in range(2)]
        endpoint.comes_to(running=1, waiting=1)
        with pytest.raises(openai.RateLimitError) as error:
            create(file=wav_files["tone"], model="whisper-1")
        assert error.value.code == "queue_full" and error.value.response.headers["retry-after"] == "2"
        slow.go.set()
        assert [each.result().text for each in first] == ["Well.", "Well."]


def test_files_are_closed(slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads over a megabyte have a file; none is left, neither on disk nor open."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content = io.BytesIO()
    soundfile.write(content, np.zeros(16000 * 60), 16000, format="wav")
    slow.go.set()

    def open_here() -> list[str]:
        links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [str(link) for link in links if str(link).startswith(str(tmp_path))]

    with serving(Served("slow", True, slow)) as endpoint:
        create = endpoint.client().audio.transcriptions.create
        assert create(file=("a.wav", content.getvalue()), model="whisper-1").text == "Well."
        with pytest.raises(openai.BadRequestError):
            create(file=("a.wav", content.getvalue()), model="whisper-1", language="klingon")
        with pytest.raises(openai.BadRequestError):
            create(file=("a.bin", bytes(2_000_000)), model="whisper-1")
        endpoint.comes_to(running=0, waiting=0)
    assert not list(tmp_path.iterdir())
    if Path("/proc/self/fd").is_dir():
        assert not open_here()


def test_jobs_are_dropped_at_the_end() -> None:
    jobs, begun = Jobs(1), threading.Event()
    first = jobs.submit(lambda: (begun.set(), time.sleep(0.1)))
    second = jobs.submit(lambda: pytest.fail("it was dropped"))
    begun.wait()
    jobs.close()
    assert first.future.done() and second.future.cancelled()


def test_what_waits_together_is_one_batch() -> None:
    one_thread, gate, batches = OneThread(4), threading.Event(), []

    def compute(items: list[int]) -> list[int]:
        batches.append(items)
        gate.wait()
        return [-item for item in items]

    def call(item: int) -> int:
        return int(one_thread("other" if item == 9 else "kind", 1, item, compute))

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(call, 0)
        while not batches:
            time.sleep(0.001)
        rest = []
        for item in (1, 9, 2, 3, 4, 5):
            rest.append(threads.submit(call, item))
            time.sleep(0.02)
        gate.set()
        assert [each.result() for each in [first, *rest]] == [0, -1, -9, -2, -3, -4, -5]
    assert batches == [[0], [1, 2, 3, 4], [9], [5]]


def test_an_error_reaches_all_of_its_batch_and_nobody_else() -> None:
    one_thread = OneThread(4)

    def fail(_: list[int]) -> list[int]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        one_thread("a", 1, 0, fail)
    assert one_thread("b", 1, 7, lambda items: items) == 7
