"""Concurrent requests to `whisper-steer serve`. ``python -m benchmarks.endpoint --model tiny.en --requests 50``

For each setting a server of its own is started. The official client sends recordings of the built-in pack, three
clips of speech strung together each: some one after another, then all at once. Processor seconds are the server's, and
tell more than the clock where the machine has other work. The last column counts the recordings of which the crowd got
the text that was got alone. Linux only.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openai
import soundfile

from benchmarks.common import RATE
from whisper_steer.data.pack import load_speech
from whisper_steer.eval.provenance import machine

SETTINGS = {
    "openai, one by one": ["--backend", "openai"],
    "faster, one by one": ["--batch_size", "1"],
    "faster, batches of 8": ["--batch_size", "8"],
    "faster, batches of 16": ["--batch_size", "16"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--requests", type=int, default=50, help="at once")
    parser.add_argument("--alone", type=int, default=50, help="of them, one after another")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    options = parser.parse_args()
    sounds = recordings(options.requests)
    length = sum(len(soundfile.read(io.BytesIO(sound))[0]) for sound in sounds) / RATE
    print(f"{machine()}; {options.model}, the server on {options.threads} threads")
    print(f"{options.requests} recordings, {length:.0f} s in all\n")
    titles = ("", "alone, a request", "processor", "all at once, a request", "processor", "same text")
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles), flush=True)
    for name in options.settings:
        arguments = ["--model", options.model, "--threads", str(options.threads), *SETTINGS[name]]
        with (
            server(arguments) as (url, pid),
            openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=3600) as client,
        ):

            def text(sound: bytes, client: openai.OpenAI = client) -> str:
                return client.audio.transcriptions.create(file=("a.wav", sound), model="whisper-1").text

            text(sounds[0])
            before, cpu = time.perf_counter(), processor_seconds(pid)
            alone = [text(sound) for sound in sounds[: options.alone]]
            between, cpu_between = time.perf_counter(), processor_seconds(pid)
            with ThreadPoolExecutor(options.requests) as threads:
                crowd = list(threads.map(text, sounds))
            after, cpu_after = time.perf_counter(), processor_seconds(pid)
        same = sum(a == b for a, b in zip(alone, crowd, strict=False))
        n, m = len(alone), len(crowd)
        cells = (
            f"{(between - before) / n:.2f} s",
            f"{(cpu_between - cpu) / n:.2f} s",
            f"{(after - between) / m:.2f} s",
            f"{(cpu_after - cpu_between) / m:.2f} s",
            f"{same} of {n}",
        )
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def recordings(count: int) -> list[bytes]:
    """So many WAV files, each another."""
    clips = [clip.samples() for clip in load_speech("choose") if clip.language == "en"]
    order = np.random.default_rng(0).permutation(len(clips))
    files = []
    for i in range(count):
        file = io.BytesIO()
        parts = [clips[order[(3 * i + j + i // len(clips)) % len(clips)]] for j in range(3)]
        soundfile.write(file, np.concatenate(parts)[: 30 * RATE], RATE, format="wav")
        files.append(file.getvalue())
    return files


@contextmanager
def server(arguments: list[str]) -> Iterator[tuple[str, int]]:
    """`whisper-steer serve` in a process of its own: the URL for clients, and its pid."""
    command = [sys.executable, "-c", "from whisper_steer.cli import main; main()", "serve", "--port", "0"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, *arguments], text=True, **pipes) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            sys.exit("the server did not start")
        try:
            with ThreadPoolExecutor(1) as reader:
                reader.submit(process.stderr.read)  # else its log fills the pipe
                yield f"{found[1]}/v1", process.pid
                process.send_signal(signal.SIGTERM)
        finally:
            process.terminate()


def processor_seconds(pid: int) -> float:
    """That a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
