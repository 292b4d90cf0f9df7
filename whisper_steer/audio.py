"""Audio input: any file, bytes, stdin or array becomes float32 mono at 16 kHz, without an ffmpeg binary.

libsndfile (soundfile) reads what it can; PyAV, which carries the FFmpeg libraries in its wheel, reads the
rest (mp4, m4a, webm, mov, ...). Blocks are mixed down and resampled as they are read, so a recording with
many channels or a high rate is never held whole in its own format; a long one is kept in a temporary file.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr

from whisper_steer.errors import AudioError
from whisper_steer.spectrogram import LONG

SAMPLE_RATE = 16000
"""Rate in Hz that every Whisper model expects."""

_BLOCK = 1 << 18  # samples per channel read at a time by soundfile

Mono = np.ndarray[Any, np.dtype[np.float32]]
Chunk = tuple[int, Mono]  # (sampling rate in Hz, mono samples)


def load_audio(source: str | Path | bytes | np.ndarray, sr: int = SAMPLE_RATE) -> Mono:
    """Read a recording as the waveform that Whisper expects.

    ``source`` is a path, ``"-"`` for stdin, the bytes of a file in any container, or an array that already
    has the rate ``sr``: ``(samples,)`` or ``(samples, channels)``, floats as they are, integers divided by
    their full scale. Channels are averaged with equal weights; rates are converted with soxr (HQ). Float
    samples beyond +-1 are kept. A recording of any length above zero is accepted: Whisper pads it to 30 s.

    Returns float32 ``(n,)``, contiguous, ``n >= 1``, at ``sr`` Hz; an ``np.memmap`` where it is longer than 20 min.

    Raises ``AudioError``, one line, for a file that is missing, a folder, empty, no recording, without audio
    stream, without samples, or with NaN or infinite samples.
    """
    if isinstance(source, np.ndarray):
        if source.size == 0:
            raise AudioError("the array holds no samples")
        return _finite(_from_array(source), "the array")
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), "the audio bytes", sr)
    if str(source) == "-":
        return _decode(io.BytesIO(sys.stdin.buffer.read()), "stdin", sr)
    path = Path(source)
    try:
        with path.open("rb") as file:
            return _decode(file if file.seekable() else io.BytesIO(file.read()), str(path), sr)
    except IsADirectoryError:
        raise AudioError(f"{path} is a folder: name the recordings in it") from None
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist: check the path") from None
    except OSError as exc:
        raise AudioError(f"{path} cannot be opened: {exc.strerror or exc}") from None


def _decode(file: BinaryIO, name: str, sr: int) -> Mono:
    if not file.read(1):
        raise AudioError(f"{name}: empty, 0 bytes; record or download it again")
    try:
        file.seek(0)
        return _joined(_resample(_soundfile_chunks(file), sr), name)
    except (soundfile.SoundFileError, TypeError):  # TypeError: a file named .raw, of which it asks the rate
        file.seek(0)
        return _joined(_resample(_pyav_chunks(file, name), sr), name)


def _soundfile_chunks(file: BinaryIO) -> Iterator[Chunk]:
    with soundfile.SoundFile(file) as sound:
        while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
            yield sound.samplerate, block.mean(axis=1)


def _pyav_chunks(file: BinaryIO, name: str) -> Iterator[Chunk]:
    import av

    try:
        with av.open(file, mode="r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(f"{name} has no audio stream")
            stream = container.streams.audio[0]
            to_float = av.AudioResampler(format="fltp")  # planar float32; layout and rate as in the file
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    continue  # a damaged packet: go on with the next, as ffmpeg does
                for frame in frames:
                    for planar in to_float.resample(frame):
                        yield planar.sample_rate, planar.to_ndarray().mean(axis=0)
    except (av.error.FFmpegError, ValueError):
        raise AudioError(
            f"{name} is not a recording that can be decoded: convert it, for instance to 16-bit WAV"
        ) from None


def _resample(chunks: Iterator[Chunk], sr: int) -> Iterator[Mono]:
    """Chunks of one sampling rate at ``sr`` Hz."""
    stream: soxr.ResampleStream | None = None
    for rate, mono in chunks:
        if rate != sr:
            stream = stream or soxr.ResampleStream(rate, sr, num_channels=1, dtype="float32")
            mono = stream.resample_chunk(np.ascontiguousarray(mono, dtype=np.float32))
        yield mono
    if stream is not None:
        yield stream.resample_chunk(np.empty(0, np.float32), last=True)


def _joined(chunks: Iterator[Mono], name: str) -> Mono:
    """Join chunks: in memory, or in a temporary file once they are longer than `LONG`."""
    parts: list[Mono] = []
    held = 0
    with tempfile.TemporaryFile(prefix="whisper-steer-") as file:
        for chunk in chunks:
            parts.append(_finite(chunk, name))
            held += chunk.size
            if held > LONG or file.tell():
                file.write(np.concatenate(parts, dtype=np.float32).tobytes())
                parts, held = [], 0
        if file.tell():
            file.flush()
            return np.memmap(file, np.float32, "r+")
    if not held:
        raise AudioError(f"{name} holds no samples")
    return np.concatenate(parts)


def _from_array(array: np.ndarray) -> Mono:
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] < array.shape[1]):
        raise AudioError(f"the array has shape {array.shape}: expected (samples,) or (samples, channels)")
    if np.issubdtype(array.dtype, np.signedinteger):
        array = array / -float(np.iinfo(array.dtype).min)
    elif not np.issubdtype(array.dtype, np.floating):
        raise AudioError(f"the array is of {array.dtype}: expected floats within +-1 or signed integers")
    return np.ascontiguousarray(array if array.ndim == 1 else array.mean(axis=1), dtype=np.float32)


def _finite(mono: Mono, name: str) -> Mono:
    if not np.isfinite(mono).all():
        raise AudioError(f"{name} holds NaN or infinite samples: repair or export it again")
    return mono
