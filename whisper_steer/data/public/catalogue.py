"""Which public corpora can be fitted on: addresses, sizes, checksums and licences as their publishers state them.

A checksum is pinned where its publisher states one: openslr.org/resources/12/md5sum.txt for LibriSpeech and the hub's
pages of google/fleurs at `FLEURS_REVISION`. For MUSAN openslr.org states none that was found; the MD5 here is the one
that PaddleSpeech and other recipes check. Nothing is pinned for ESC-50, whose archive GitHub makes on request, nor for
the FLEURS languages whose page was not found: those are held to what the hub says of the file when it sends it, else
to the hash of the first download, see `whisper_steer.data.public.fetch`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from whisper_steer.data.clips import Clip
from whisper_steer.data.nonspeech import esc50, musan
from whisper_steer.data.speech import fleurs, librispeech
from whisper_steer.errors import UsageError

MB = 1_000_000
FLEURS_REVISION = "4683b04af03d2d9549064c7d72060a9a94bb6046"


@dataclass(frozen=True)
class File:
    """One file of a corpus."""

    url: str
    size: int
    """bytes; the hub and GitHub state them rounded"""
    checksum: str | None = None
    """``md5:...`` or ``sha256:...``; None where none is published"""
    into: str = "."
    """where it is unpacked, or put, in the corpus's folder"""
    leave_out: tuple[str, ...] = ()
    """folders of the archive that are not unpacked"""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class Corpus:
    """Files that make clips once they are unpacked."""

    name: str
    files: tuple[File, ...]
    unpacked: int
    """bytes on disk, about"""
    licence: str
    source: str
    """the publisher's page"""
    root: str
    """the folder in the corpus's own that ``read`` takes"""
    read: Callable[[Path], list[Clip]]

    @property
    def size(self) -> int:
        """Bytes to download, about."""
        return sum(file.size for file in self.files)


def _librispeech(part: str, size: int, md5: str) -> Corpus:
    file = File(f"https://www.openslr.org/resources/12/{part}.tar.gz", size, f"md5:{md5}")
    return Corpus(
        f"librispeech-{part}",
        (file,),
        size,
        "CC BY 4.0",
        "https://www.openslr.org/12",
        "LibriSpeech",
        librispeech,
    )


def _fleurs(language: str, megabytes: int, sha256: str | None = None) -> Corpus:
    base = f"https://huggingface.co/datasets/google/fleurs/resolve/{FLEURS_REVISION}/data/{language}"
    checksum = None if sha256 is None else f"sha256:{sha256}"
    files = (
        File(f"{base}/dev.tsv", MB // 5, into=language),
        File(f"{base}/audio/dev.tar.gz", megabytes * MB, checksum, f"{language}/audio"),
    )
    return Corpus(
        f"fleurs-{language}",
        files,
        2 * megabytes * MB,
        "CC BY 4.0",
        "https://huggingface.co/datasets/google/fleurs",
        language,
        fleurs,
    )


_FLEURS = (
    _fleurs("ar_eg", 163, "22271b3500c0e952aedbf0a6d7d3b959a91e1f02612293dce761fe5c87b66117"),
    _fleurs("cmn_hans_cn", 217),
    _fleurs("de_de", 228, "72cac13bbddbddf674d8102a9e7b90a3b1db5d777ed92e88eccc5ae69cb8fc9d"),
    _fleurs("es_419", 255),
    _fleurs("fa_ir", 272, "05e562f18e9b7b99383c5ce487828606265f873d00386fad120592570a7348ef"),
    _fleurs("fr_fr", 143, "f2f065dec3b02212e27151c51162d2213df55d0a8efc6b88e36992673ddf66e6"),
    _fleurs("hi_in", 132, "9adbca6d6fc70e40c121910941bcd7c8906eee60b402b6d21b4bd160e20030c7"),
    _fleurs("hu_hu", 237),
    _fleurs("ja_jp", 179, "2547f19203e1272aeba99c2235326fea525d6cfb9348bafbea2c3a7929e8e441"),
    _fleurs("ko_kr", 126),
)
"""development parts; sizes from the hub's pages"""

CORPORA = {
    corpus.name: corpus
    for corpus in (
        _librispeech("dev-clean", 337_926_286, "42e2234ba48799c1f50f24a7926300a1"),
        _librispeech("dev-other", 314_305_928, "c8d0bcc9cca99d4f8b62fcc847357931"),
        Corpus(
            "esc50",
            (File("https://github.com/karoldvl/ESC-50/archive/master.zip", 600 * MB),),
            900 * MB,
            "CC BY-NC 3.0",
            "https://github.com/karoldvl/ESC-50",
            "ESC-50-master",
            esc50,
        ),
        Corpus(
            "musan",
            (
                File(
                    "https://www.openslr.org/resources/17/musan.tar.gz",
                    11_086_114_085,
                    "md5:0c472d4fc0c5141eca47ad1ffeb2a7df",
                    leave_out=("musan/speech",),
                ),
            ),
            5_600 * MB,
            "CC BY 4.0",
            "https://www.openslr.org/17",
            "musan",
            musan,
        ),
        *_FLEURS,
    )
}
GROUPS = {"public": tuple(CORPORA), "fleurs": tuple(corpus.name for corpus in _FLEURS)}


def named(name: str) -> list[Corpus]:
    """The corpus of a name, or those of a group's. Raises `UsageError`, which lists the names there are."""
    if name not in CORPORA and name not in GROUPS:
        raise UsageError(
            f"no public corpus {name!r}; choose one of {', '.join([*GROUPS, *CORPORA])}, or give KIND:PATH"
        )
    return [CORPORA[each] for each in GROUPS.get(name, (name,))]


__all__ = ["CORPORA", "FLEURS_REVISION", "GROUPS", "Corpus", "File", "named"]
