"""Blocks of mono samples out of a file, by libsndfile or by PyAV, and from one sampling rate to another.

No file but the one that is named is opened, whatever a playlist says in it. One that is cut off is read as far as it
goes, with an `AudioWarning`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from whisper_steer.audio import stated
from whisper_steer.errors import AudioError

SAMPLE_RATE = 16000
"""Rate in Hz that every Whisper model expects."""
RATES = (1_000, 10_000_000)
"""Hz; a header that states another rate than these is damaged"""

OVERFLOWS = np.errstate(over="ignore", invalid="ignore")
"""to infinity, which is refused afterwards"""
_ALONE = {"protocol_whitelist": "none"}  # of FFmpeg: what a playlist in a file names is not opened
_BLOCK = 1 << 18  # samples per channel read at a time by soundfile

Mono = np.ndarray[Any, np.dtype[np.float32]]
Chunk = tuple[int, Mono]
"""sampling rate in Hz, mono samples"""


class _Steady:
    """A file for libsndfile, which calls from C: a seek to nowhere, as damaged headers ask for, is not made."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read, self.tell = file.read, file.tell
        self.readinto: Any = file.readinto  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return self._file.tell()


def by_soundfile(file: BinaryIO, name: str) -> Iterator[Chunk]:
    """Raises ``soundfile.SoundFileError`` for what libsndfile cannot read."""
    with soundfile.SoundFile(_Steady(file)) as sound:
        held = 0
        while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
            held += len(block)
            yield sound.samplerate, mixed(block, axis=1)
        stated.warn_if_cut_off(name, held / sound.samplerate, stated.by_soundfile(sound))


def by_av(file: BinaryIO | str, name: str) -> Iterator[Chunk]:
    """Of a file, or at an address. Raises `AudioError`."""
    import av

    try:
        alone = {} if isinstance(file, str) else _ALONE
        with av.open(file, mode="r", metadata_errors="ignore", options=alone) as container:
            if not container.streams.audio:
                raise AudioError(f"{name} has no audio stream")
            stream = container.streams.audio[0]
            held = 0.0
            to_float = av.AudioResampler(format="fltp")  # planar float32; layout and rate as in the file
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    continue  # a damaged packet: go on with the next, as ffmpeg does
                for frame in frames:
                    held += frame.samples / (frame.sample_rate or SAMPLE_RATE)
                    for planar in to_float.resample(frame):
                        yield planar.sample_rate, mixed(planar.to_ndarray(), axis=0)
            stated.warn_if_cut_off(name, held, stated.by_av(container, stream))
    except (av.error.FFmpegError, ValueError) as error:
        if isinstance(file, str) and not isinstance(error, av.error.InvalidDataError):
            reason = getattr(error, "strerror", None) or error
            raise AudioError(f"{name} cannot be read ({reason}): check the address, or download it") from None
        raise AudioError(
            f"{name} is not a recording that can be decoded: "
            "download it again, or convert it, for instance to 16-bit WAV"
        ) from None


def resampled(chunks: Iterator[Chunk], sr: int, name: str) -> Iterator[Mono]:
    """Chunks of one sampling rate at ``sr`` Hz. Raises `AudioError` for a rate that no recording has."""
    stream: soxr.ResampleStream | None = None
    for rate, mono in chunks:
        if not RATES[0] <= rate <= RATES[1]:
            raise AudioError(
                f"{name} states a sampling rate of {rate} Hz: its header is damaged, export it again"
            )
        if rate != sr:
            stream = stream or soxr.ResampleStream(rate, sr, num_channels=1, dtype="float32")
            mono = stream.resample_chunk(np.ascontiguousarray(mono, dtype=np.float32))
        yield mono
    if stream is not None:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)


@OVERFLOWS
def mixed(channels: np.ndarray, axis: int) -> np.ndarray:
    """The mean of channels, of equal weights."""
    return channels.mean(axis=axis)
