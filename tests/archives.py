"""Public corpora in small, in their publishers' layouts, and a server that sends them as one is asked to test it."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler

import numpy as np
import soundfile
from places import answered_by

from whisper_steer.data.public.catalogue import CORPORA, Corpus

SPEAKERS = [str(84 + 7 * i) for i in range(8)]


def audio(seconds: float, seed: int, format: str = "WAV", rate: int = 16000) -> bytes:
    """Noise in bursts: speech enough for a test that replaces Silero, and hiss."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    samples = 0.2 * np.sign(np.sin(2 * np.pi * (110 + 20 * (seed % 8)) * t)) * (np.sin(2 * np.pi * 4 * t) > 0)
    file = io.BytesIO()
    soundfile.write(file, samples + 0.01 * rng.normal(size=len(t)), rate, format=format)
    return file.getvalue()


def tar_gz(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def librispeech(part: str) -> bytes:
    """``LibriSpeech/PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER-0000.flac`` with one ``*.trans.txt`` a chapter."""
    files = {"LibriSpeech/README.TXT": b"", "LibriSpeech/SPEAKERS.TXT": b"; ID\n"}
    for number, speaker in enumerate(SPEAKERS):
        folder, lines = f"LibriSpeech/{part}/{speaker}/1000", []
        for i in range(2):
            name = f"{speaker}-1000-{i:04d}"
            files[f"{folder}/{name}.flac"] = audio(1.5, 10 * number + i, "FLAC")
            lines.append(f"{name} SOME WORDS OF {speaker}\n")
        files[f"{folder}/{speaker}-1000.trans.txt"] = "".join(lines).encode()
    return tar_gz(files)


def esc50() -> bytes:
    """``ESC-50-master/meta/esc50.csv`` and ``ESC-50-master/audio/FOLD-SOURCE-TAKE-CLASS.wav``."""
    rows, made = ["filename,fold,target,category,esc10,src_file,take"], io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number in range(20):
            fold, source = number % 5 + 1, 100000 + number
            category = "dog" if number % 2 else "crying_baby"
            rows.append(f"{fold}-{source}-A-0.wav,{fold},0,{category},True,{source},A")
            archive.writestr(f"ESC-50-master/audio/{fold}-{source}-A-0.wav", audio(1, number))
        archive.writestr("ESC-50-master/meta/esc50.csv", "\n".join(rows))
    return made.getvalue()


def musan() -> bytes:
    """``musan/{music,noise,speech}/SOURCE/NAME.wav``; the music's ANNOTATIONS tell vocals in their third column."""
    files = {"musan/speech/librivox/speech-librivox-0000.wav": audio(1, 0)}
    lines = []
    for number in range(10):
        vocals = "Y" if number % 2 else "N"
        lines.append(f"music-fma-{number:04d} rock {vocals} somebody\n")
        files[f"musan/music/fma/music-fma-{number:04d}.wav"] = audio(1, number)
        files[f"musan/noise/free-sound/noise-free-sound-{number:04d}.wav"] = audio(1, 50 + number)
    files["musan/music/fma/ANNOTATIONS"] = "".join(lines).encode()
    files["musan/noise/free-sound/ANNOTATIONS"] = b"background\nnoise-free-sound-0000\n"
    return tar_gz(files)


def fleurs_audio(n: int = 4) -> bytes:
    """``dev/NAME.wav``"""
    return tar_gz({f"dev/{1000 + i}.wav": audio(1.5, i) for i in range(n)})


def fleurs_table(n: int = 4) -> bytes:
    """id, file, raw text, normalised text, characters, samples, gender; no header"""
    return "".join(
        f"{i // 2}\t{1000 + i}.wav\tEin Satz.\tein satz\te i n | s a t z |\t24000\tMALE\n" for i in range(n)
    ).encode()


def mirror() -> dict[str, bytes]:
    """Path on a mirror -> a small file in the publisher's layout, for every public corpus."""
    made: dict[str, bytes] = {}
    for corpus in CORPORA.values():
        for file in corpus.files:
            path = "/" + file.url.partition("://")[2]
            if corpus.name.startswith("librispeech"):
                made[path] = librispeech(corpus.name.removeprefix("librispeech-"))
            elif corpus.name == "esc50":
                made[path] = esc50()
            elif corpus.name == "musan":
                made[path] = musan()
            else:
                made[path] = fleurs_table() if path.endswith(".tsv") else fleurs_audio()
    return made


def small(name: str, contents: dict[str, bytes]) -> Corpus:
    """A corpus with the checksums and sizes of the small files, where the real ones are pinned."""
    corpus = CORPORA[name]
    files = []
    for file in corpus.files:
        content = contents["/" + file.url.partition("://")[2]]
        algorithm = (file.checksum or "").partition(":")[0]
        checksum = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}" if algorithm else None
        files.append(replace(file, size=len(content), checksum=checksum))
    return replace(corpus, files=tuple(files), unpacked=1)


@dataclass
class Server:
    """What is sent, how, and what was asked for."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    """path -> content"""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range)"""
    sent: int = 0
    """bytes of content"""
    break_after: int | None = None
    """close the connection after so many bytes of one answer, once"""
    seconds_a_block: float = 0.0
    ranges: bool = True
    on_to: dict[str, str] = field(default_factory=dict)
    """path -> where it sends on to"""
    headers: dict[str, str] = field(default_factory=dict)
    """of every answer"""


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            server.asked.append((self.path, self.headers.get("Range")))
            if self.path in server.on_to:
                self.send_response(302)
                self.send_header("Location", server.on_to[self.path])
                self.answer_headers(0)
                return
            content = server.files.get(self.path)
            if content is None:
                self.send_response(404)
                self.answer_headers(0)
                return
            tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(found[1]) if found and server.ranges and self.headers.get("If-Range") == tag else None
            if start is not None and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.answer_headers(0)
                return
            self.send_response(200 if start is None else 206)
            if start is not None:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if server.ranges:
                self.send_header("ETag", tag)
            body = content[start or 0 :]
            self.answer_headers(len(body))
            self.send(body)

        def answer_headers(self, length: int) -> None:
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def send(self, body: bytes) -> None:
            end, server.break_after = server.break_after, None
            for first in range(0, len(body), 4096):
                if end is not None and first >= end:
                    self.close_connection = True
                    self.connection.close()
                    return
                try:
                    self.wfile.write(body[first : first + 4096])
                except OSError:  # the other side was killed
                    self.close_connection = True
                    return
                server.sent += len(body[first : first + 4096])
                time.sleep(server.seconds_a_block)

    with answered_by(Handler) as address:
        server = Server(address)
        yield server
