"""How long a file says it is, so that one that was cut off can be told from one that ends.

WAV, AIFF, AU and FLAC, MP4, Matroska and WebM, and MP3 with a Xing header state their length. Ogg, other MP3, AAC and
MPEG streams do not, and what a recorder that streams writes for "unknown" is no length.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from whisper_steer.errors import AudioWarning

TOLERANCE = 0.5
"""seconds that may be missing: containers round, and codecs have delays"""
SHARE = 0.01
"""of what is stated, likewise"""
UNKNOWN = 0x7FFFF000
"""bytes; from here on a 32-bit length is what a streaming recorder writes for a length that it does not know"""

_SHORTER = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
"""libsndfile's remark on a chunk of samples that ends behind the file: bytes stated, bytes found"""
_CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_STATING = ("flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2")


def by_soundfile(sound: Any) -> float:
    """Seconds that an open `soundfile.SoundFile` states."""
    seconds = sound.frames / sound.samplerate
    for stated, found in _SHORTER.findall(sound.extra_info):
        if int(found) and int(stated) < UNKNOWN:
            return seconds * int(stated) / int(found)
    return seconds


def by_av(container: Any, stream: Any) -> float | None:
    """Seconds that an audio stream of an open container of PyAV states; None where its format estimates at best."""
    name = container.format.name
    if name == "mp3":
        # Only a Xing header gives the number of samples, and the encoder's delay; else the length is guessed.
        return float(stream.duration * stream.time_base) if stream.start_time else None
    if name not in _STATING:
        return None
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if clock := _CLOCK.match(stream.metadata.get("DURATION", "")):
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    return None


def warn_if_cut_off(name: str, seconds: float, stated: float | None) -> None:
    """Give an `AudioWarning` where a file holds less than it states."""
    if stated is None or not 0 < seconds < stated - max(TOLERANCE, SHARE * stated):
        return
    text = (
        f"{name} is cut off: its header states {stated:.1f} s, it ends at {seconds:.1f} s; what is there is used, "
        "copy or download it again for the rest"
    )
    warnings.warn(AudioWarning(text), stacklevel=2)


__all__ = ["by_av", "by_soundfile", "warn_if_cut_off"]
