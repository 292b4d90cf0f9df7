"""Recordings as users have them: damaged, odd, or none at all."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path

import av
import numpy as np
import soundfile
from PIL import Image

RATE = 16000


def tone(seconds: float = 3.0) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)


def encoded(kind: str, samples: np.ndarray, rate: int = RATE, **options: object) -> bytes:
    """A file of libsndfile: wav, flac, ogg, mp3, ..."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind.upper(), **options)
    return file.getvalue()


def muxed(kind: str, samples: np.ndarray | None, video: bool = False, codec: str = "aac") -> bytes:
    """A container of FFmpeg with a sound track, a picture track, or both; what a player needs comes first."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        _mux(path, kind, samples, video, codec)
        return path.read_bytes()


def _mux(path: Path, kind: str, samples: np.ndarray | None, video: bool, codec: str) -> None:
    with av.open(
        path, "w", format=kind, options={"movflags": "faststart"} if kind == "mp4" else {}
    ) as container:
        picture = container.add_stream("mpeg4", rate=5) if video else None
        sound = container.add_stream(codec, rate=RATE) if samples is not None else None
        if picture is not None:
            picture.width = picture.height = 32
            picture.pix_fmt = "yuv420p"
            for _ in range(5):
                container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(picture.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")  # type: ignore[index]
            frame.sample_rate = RATE
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))


def stating(wav: bytes, field: str, value: int) -> bytes:
    """A WAV whose header says something else."""
    place, kind = {
        "riff": (4, "<I"), "length of format": (16, "<I"), "format": (20, "<H"), "channels": (22, "<H"),
        "rate": (24, "<I"), "bits": (34, "<H"), "length": (40, "<I"),
    }[field]  # fmt: skip
    changed = bytearray(wav)
    struct.pack_into(kind, changed, place, value)
    return bytes(changed)


def cover_art(sound: bytes = b"") -> bytes:
    """An ID3 tag with a picture, and the sound behind it."""
    picture = io.BytesIO()
    Image.new("RGB", (32, 32)).save(picture, "JPEG")
    frame = b"\x00image/jpeg\x00\x03\x00" + picture.getvalue()
    frame = b"APIC" + struct.pack(">I", len(frame)) + b"\0\0" + frame
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frame + sound


def without_xing(mp3: bytes) -> bytes:
    """An MP3 of variable bit rate whose first frame, which says how long it is, is gone."""
    return mp3[mp3.find(mp3[:2], 4) :]


def readable() -> dict[str, tuple[bytes, float]]:
    """Odd, and whole: file name -> content, seconds."""
    x = tone()
    wav = encoded("wav", x)
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 4 * RATE).astype(np.float32)
    noise[: 2 * RATE] = 0
    return {
        "dc.wav": (encoded("wav", np.full(RATE, 0.9)), 1),
        "clipped.wav": (encoded("wav", np.sign(x)), 3),
        "silent.wav": (encoded("wav", np.zeros(RATE)), 1),
        "one-sample.wav": (encoded("wav", np.full(1, 0.5)), 1 / RATE),
        "eight-channels.wav": (encoded("wav", np.tile(x[:, None], (1, 8))), 3),
        "192-kHz.wav": (encoded("wav", np.resize(x, 192000), 192000), 1),
        "8-kHz-ulaw.wav": (encoded("wav", x, 8000, subtype="ULAW"), 6),
        "int24.wav": (encoded("wav", x, subtype="PCM_24"), 3),
        "float64.wav": (encoded("wav", x, subtype="DOUBLE"), 3),
        "flac-named.wav": (encoded("flac", x), 3),
        "wav-named.mp3": (wav, 3),
        "wav-named.raw": (wav, 3),
        "streamed.wav": (stating(wav, "length", 2**32 - 1), 3),
        "streamed-half.wav": (stating(wav, "length", 2**31 - 1), 3),
        "never-finished.wav": (stating(stating(wav, "length", 0), "riff", 36), 3),
        "riff-length.wav": (stating(wav, "riff", 2**32 - 1), 3),
        "cover-and-sound.mp3": (cover_art(encoded("mp3", x)), 3),
        "no-length.mp3": (without_xing(encoded("mp3", noise, bitrate_mode="VARIABLE", compression_level=0.3)), 4),
        "film.mp4": (muxed("mp4", x, video=True), 3),
        "film.mkv": (muxed("matroska", x, video=True), 3),
        "voice.m4a": (muxed("mp4", x), 3),
    }  # fmt: skip


def cut_off() -> dict[str, bytes]:
    """The first half of files whose header says 20 s."""
    x = tone(20) + np.random.default_rng(0).uniform(-0.05, 0.05, 20 * RATE).astype(np.float32)
    files = {kind: encoded(kind, x) for kind in ("wav", "flac", "mp3", "aiff")}
    files |= {"mp4": muxed("mp4", x), "mkv": muxed("matroska", x)}
    return {f"half.{kind}": content[: len(content) // 2] for kind, content in files.items()}


def unreadable() -> dict[str, tuple[bytes, str]]:
    """What must be refused: file name -> content, and a part of what is said of it."""
    x = tone()
    wav, flac, ogg, mp4 = encoded("wav", x), encoded("flac", x), encoded("ogg", x), muxed("mp4", x)
    noise = np.random.default_rng(0).bytes(20_000)
    is_none = "is not a recording that can be decoded: "
    flawed = {}
    for name, value in (("nan", np.nan), ("infinite", np.inf), ("overflowing", 3e38)):
        broken = x.copy()
        broken[100] = value
        flawed[f"{name}.wav"] = encoded("wav", broken, subtype="FLOAT")
    return {
        "empty.wav": (b"", "empty, 0 bytes"),
        "one-byte.wav": (b"R", is_none),
        "text.wav": (b"hello there\n" * 30, is_none),
        "page.mp3": (b"<!DOCTYPE html><html>Not found</html>" * 50, is_none),
        "document.wav": (b"%PDF-1.4" + noise, is_none),
        "archive.wav": (b"PK\x03\x04" + noise, is_none),
        "noise.wav": (noise, is_none),
        "zeros.wav": (bytes(5000), is_none),
        "header.wav": (wav[:30], is_none),
        "header.flac": (flac[:30], is_none),
        "header.ogg": (ogg[:30], is_none),
        "no-index.mp4": (mp4[:40] + bytes(400), "no audio stream"),
        "no-samples.wav": (encoded("wav", x[:0]), "holds no samples"),
        "0-Hz.wav": (stating(wav, "rate", 0), is_none),
        "1-Hz.wav": (stating(wav, "rate", 1), "sampling rate of 1 Hz"),
        "2-GHz.wav": (stating(wav, "rate", 2**31 - 1), "sampling rate of 2147483647 Hz"),
        "4-GHz.wav": (stating(wav, "rate", 2**32 - 1), is_none),
        "0-channels.wav": (stating(wav, "channels", 0), is_none),
        "65535-channels.wav": (stating(wav, "channels", 65535), is_none),
        "0-bits.wav": (stating(wav, "bits", 0), is_none),
        "format.wav": (stating(wav, "format", 999), is_none),
        "format-length.wav": (stating(wav, "length of format", 2**31), is_none),
        "nan.wav": (flawed["nan.wav"], "NaN or infinite"),
        "infinite.wav": (flawed["infinite.wav"], "NaN or infinite"),
        "overflowing.wav": (flawed["overflowing.wav"], "full scale"),
        "cover.mp3": (cover_art(), is_none),
        "film.mp4": (muxed("mp4", None, video=True), "no audio stream"),
        "playlist.m3u8": (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.wav\n#EXT-X-ENDLIST\n", is_none),
        "list.wav": (b"ffconcat version 1.0\nfile other.wav\n", is_none),
        "session.wav": (
            b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 96\n", is_none,
        ),
    }  # fmt: skip


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name
