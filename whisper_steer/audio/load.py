"""Audio input: any file, address, bytes, stdin or array becomes float32 mono at 16 kHz, without an ffmpeg binary.

libsndfile (soundfile) reads what it can; PyAV, which carries the FFmpeg libraries in its wheel, reads the rest (mp4,
m4a, webm, mov, ...) and MP3, of which libsndfile loses the end where a variable bit rate comes without a Xing header.
No file but the one that is named is opened, whatever a playlist says in it. One that is cut off is read as far as it
goes, with an `AudioWarning`. Blocks are mixed down and resampled as they are read, so a recording with many channels
or a high rate is never held whole in its own format; a long one is kept in a temporary file.

Samples are checked when they are read. Full scale is 1; what goes beyond it is kept up to `LOUDEST`, far more than any
recording needs, and refused above: floats that were never divided by their full scale (32768 where they come from 16
bit) would be judged to be without speech although somebody speaks, and larger ones overflow in the spectrogram.
"""

from __future__ import annotations

import io
import math
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
import torch
from torch import Tensor

from whisper_steer.audio.decode import OVERFLOWS, SAMPLE_RATE, Mono, by_av, by_soundfile, mixed, resampled
from whisper_steer.audio.spectrogram import LONG, reserve, temporary_file
from whisper_steer.errors import AudioError

LOUDEST = 100.0
"""the largest magnitude of a sample, 40 dB over full scale; up to here the gate was seen to hear speech as before"""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def load_audio(
    file: str | Path | bytes | BinaryIO | np.ndarray,
    sr: int = SAMPLE_RATE,
    *,
    longest: float = math.inf,
) -> Mono:
    """Read a recording as the waveform that Whisper expects.

    ``file`` is a path, an address that FFmpeg opens (``https://...``), ``"-"`` for stdin, the bytes of a file in any
    container, a file opened to read bytes and to seek, or an array that already has the rate ``sr``: ``(samples,)`` or
    ``(samples, channels)``, floats as they are, integers of 8, 16 or 32 bits divided by their full scale. Channels are
    averaged with equal weights; rates are converted with soxr (HQ). Float samples beyond +-1 are kept up to `LOUDEST`.
    A recording of any length above zero is accepted: Whisper pads it to 30 s. Only an array may be empty, as in
    openai-whisper. No more than ``longest`` seconds of a file are decoded.

    Returns float32 ``(n,)``, contiguous, at ``sr`` Hz; an ``np.memmap`` where it is longer than 20 min.

    Raises ``AudioError``, one line, for a file that is missing, a folder, empty, no recording, without audio
    stream, without samples, or longer than ``longest`` seconds; for an address that cannot be read; for samples that
    are NaN, infinite or beyond `LOUDEST`; for arrays of other types or shapes; where a long recording finds no room in
    the temporary folder.
    """
    if isinstance(file, np.ndarray):
        return _checked(_from_array(file), "the array")
    if isinstance(file, bytes):
        return _decode(io.BytesIO(file), "the audio bytes", sr, longest)
    if not isinstance(file, str | Path):
        return _decode(file, "the file", sr, longest)
    if str(file) == "-":
        return _decode(io.BytesIO(sys.stdin.buffer.read()), "stdin", sr, longest)
    if isinstance(file, str) and _ADDRESS.match(file):
        return _by_av(file, file, sr, longest)
    path = Path(file)
    try:
        with path.open("rb") as opened:
            whole = opened if opened.seekable() else io.BytesIO(opened.read())
            return _decode(whole, str(path), sr, longest)
    except IsADirectoryError:
        raise AudioError(f"{path} is a folder: name the recordings in it") from None
    except FileNotFoundError:
        raise AudioError(f"{path} does not exist: check the path") from None
    except OSError as exc:
        raise AudioError(f"{path} cannot be opened: {exc.strerror or exc}") from None
    except ValueError:  # a NUL, or half of a surrogate pair
        raise AudioError(f"{str(path)!r} is no path that a file can have: check the path") from None


def as_samples(audio: Any) -> Any:
    """Check an array or a tensor of samples at 16 kHz, and make of it what `load_audio` returns.

    Tensors are taken like arrays: detached, of any float type, int8, int16 or int32. A float32 tensor ``(n,)`` on
    another device than the CPU stays there. What is neither, a path for instance, comes back as it is.
    Raises ``AudioError``.
    """
    if isinstance(audio, np.ndarray):
        return load_audio(audio)
    if not isinstance(audio, Tensor):
        return audio
    audio = audio.detach()
    if audio.device.type != "cpu" and audio.dtype == torch.float32 and audio.ndim == 1:
        if len(audio):
            _check_peak(float(audio.abs().max()), "the tensor")
        return audio
    if audio.dtype in (torch.bfloat16, torch.float16):
        audio = audio.float()
    return _checked(_from_array(audio.cpu().numpy(), "the tensor"), "the tensor")


def _decode(file: BinaryIO, name: str, sr: int, longest: float) -> Mono:
    head = file.read(3)
    if not head:
        raise AudioError(f"{name}: empty, 0 bytes; record or download it again")
    file.seek(0)
    is_mp3 = head == b"ID3" or (head[0] == 0xFF and len(head) > 1 and head[1] & 0xE0 == 0xE0)
    try:
        if not is_mp3:
            found = _joined(resampled(by_soundfile(file, name), sr, name), name, sr, longest)
            if found.size:
                return found
    except soundfile.SoundFileError:
        pass
    file.seek(0)  # also where a recorder was killed before it wrote how many samples there are
    return _by_av(file, name, sr, longest)


def _by_av(file: BinaryIO | str, name: str, sr: int, longest: float) -> Mono:
    found = _joined(resampled(by_av(file, name), sr, name), name, sr, longest)
    if not found.size:
        raise AudioError(f"{name} holds no samples: record or download it again")
    return found


def _joined(chunks: Iterator[Mono], name: str, sr: int, longest: float) -> Mono:
    """Join chunks, of which there may be none: in memory, or in a temporary file once they are longer than `LONG`."""
    parts: list[Mono] = []
    held = 0
    with ExitStack() as stack:
        file: BinaryIO | None = None
        for chunk in chunks:
            parts.append(_checked(chunk, name))
            held += chunk.size
            if held > longest * sr:
                raise AudioError(f"{name} is longer than {longest:g} s: cut it into shorter recordings")
            if file is None and held > LONG:
                file = stack.enter_context(temporary_file())
            if file is not None:
                joined = np.concatenate(parts, dtype=np.float32)
                reserve(file, file.tell() + joined.nbytes)
                file.write(joined.tobytes())
                parts.clear()
        if file is not None:
            file.flush()
            return np.memmap(file, np.float32, "r+")
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


@OVERFLOWS
def _from_array(array: np.ndarray, name: str = "the array") -> Mono:
    if array.ndim not in (1, 2) or (array.ndim == 2 and 0 < array.shape[0] < array.shape[1]):
        raise AudioError(f"{name} has shape {array.shape}: expected (samples,) or (samples, channels)")
    if np.issubdtype(array.dtype, np.signedinteger) and array.itemsize <= 4:
        array = array / -float(np.iinfo(array.dtype).min)
    elif not np.issubdtype(array.dtype, np.floating):
        raise AudioError(
            f"{name} is of {array.dtype}: expected floats within +-1, int8, int16 or int32; "
            "divide by the full scale, 32768 where the samples come from 16 bit"
        )
    return np.ascontiguousarray(array if array.ndim == 1 else mixed(array, axis=1), dtype=np.float32)


def _checked(mono: Mono, name: str) -> Mono:
    if mono.size:
        _check_peak(float(max(mono.max(), -mono.min())), name)
    return mono


def _check_peak(peak: float, name: str) -> None:
    if not np.isfinite(peak):
        raise AudioError(f"{name} holds NaN or infinite samples: repair or export it again")
    if peak > LOUDEST:
        raise AudioError(
            f"{name} has samples up to {peak:.6g} where full scale is 1: divide them by their full scale "
            "(32768 where they come from 16 bit), or export the recording again"
        )


__all__ = ["LOUDEST", "SAMPLE_RATE", "Mono", "as_samples", "load_audio"]
