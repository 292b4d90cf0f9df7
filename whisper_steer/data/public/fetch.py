"""Public corpora on this machine: told, downloaded, checked, unpacked, once; kept in the user's data folder.

A corpus's folder appears whole or not at all; its archives go once it is there. Where no checksum is published, the
SHA-256 of the first download is written down, and a later download has to have it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pooch

from whisper_steer.data.public.catalogue import Corpus, File
from whisper_steer.data.public.download import MIRROR, Resuming, at
from whisper_steer.errors import DataError
from whisper_steer.files.disk import write_whole
from whisper_steer.files.lock import alone_in
from whisper_steer.files.scratch import scratch_folder

RECORD = "corpus.json"
"""in a corpus's folder: where it came from, and the hashes of its files"""
FIRST_HASHES = "hashes.json"
"""beside the folders: address -> SHA-256 of the first download, where none is published"""

Tell = Callable[[str], None]


def corpora_folder() -> Path:
    """Where corpora are kept. ``WHISPER_STEER_DATA`` names another place than the user's data folder."""
    if override := os.environ.get("WHISPER_STEER_DATA"):
        return Path(override) / "corpora"
    import platformdirs

    return Path(platformdirs.user_data_dir("whisper-steer")) / "corpora"


def fetch(corpora: Sequence[Corpus], tell: Tell) -> dict[str, Path]:
    """Name -> folder of each corpus; those that are not there yet are downloaded, their size and licence told before.

    Raises `DataError` where one cannot be downloaded or is not what was published, `OSError` where there is no room,
    `UsageError` where another process is downloading.
    """
    root = corpora_folder()
    folders = {corpus.name: root / corpus.name for corpus in corpora}
    missing = [corpus for corpus in corpora if not (folders[corpus.name] / RECORD).is_file()]
    if missing:
        for line in _told(missing, root):
            tell(line)
        with alone_in(root, "download of corpora"):
            for left in root.glob("tmp*"):  # pooch's, of a process that was killed
                left.unlink()
            _check_room(missing, root)
            for corpus in missing:
                _fetch(corpus, root)
    return folders


def _told(corpora: Sequence[Corpus], root: Path) -> list[str]:
    width = max(len(corpus.name) for corpus in corpora)
    rows = [f"  {c.name:<{width}}  {_size(c.size):>8}  {c.licence:<12}  {c.source}" for c in corpora]
    mirror = f", from the mirror {os.environ[MIRROR]}" if os.environ.get(MIRROR) else ""
    return [
        f"To download once into {root}{mirror}:",
        *rows,
        f"  together about {_size(sum(c.size for c in corpora))}; "
        f"unpacked about {_size(sum(c.unpacked for c in corpora))}. Ctrl-C stops, the same command goes on.",
    ]


def _size(n: int) -> str:
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB" if n < 1e7 else f"{n / 1e6:.0f} MB"


def _check_room(corpora: Sequence[Corpus], root: Path) -> None:
    """Raise `OSError` where the disk can't hold all corpora unpacked and one's archives beside them."""
    needed = sum(c.unpacked for c in corpora) + max(c.size for c in corpora)
    free = shutil.disk_usage(root).free
    held = sum(path.stat().st_size for path in root.iterdir() if path.is_file())
    if free + held < needed:
        raise OSError(errno.ENOSPC, _no_room(needed), str(root))


def _no_room(needed: int) -> str:
    return (
        f"{os.strerror(errno.ENOSPC)}, about {_size(needed)} are needed: free some and run it again, "
        "or name a folder on another disk in WHISPER_STEER_DATA"
    )


def _fetch(corpus: Corpus, root: Path) -> None:
    """One corpus, into its folder. Archives that are whole stay until the folder is."""
    archives = [root / f"{corpus.name}-{file.name}" for file in corpus.files]
    try:
        hashes = [_download(file, path) for file, path in zip(corpus.files, archives, strict=True)]
        with scratch_folder(f".{corpus.name}-", root) as scratch:
            made = scratch / "made"
            made.mkdir()
            for file, path in zip(corpus.files, archives, strict=True):
                _unpack(file, path, made)
            record = {
                "name": corpus.name,
                "licence": corpus.licence,
                "source": corpus.source,
                "files": {file.url: found for file, found in zip(corpus.files, hashes, strict=True)},
            }
            (made / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            if (root / corpus.name).exists():  # what somebody left of an earlier one
                os.replace(root / corpus.name, scratch / "previous")
            os.replace(made, root / corpus.name)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise OSError(errno.ENOSPC, _no_room(corpus.size + corpus.unpacked), str(root)) from error
    for path in archives:
        path.unlink(missing_ok=True)


def _download(file: File, path: Path) -> str:
    """Fetch one file to ``path``; its hash as ``algorithm:digest``."""
    pooch.get_logger().setLevel("WARNING")
    first = path.parent / FIRST_HASHES
    known = file.checksum or _read(first).get(file.url)
    resuming = Resuming(path.with_name(path.name + ".part"))
    url = at(file.url)
    try:
        pooch.retrieve(url, known, fname=path.name, path=path.parent, downloader=resuming)
    except ValueError as error:  # pooch's word for a wrong hash
        path.unlink(missing_ok=True)
        resuming.forget()
        why = (
            f"it has another checksum than {known}, which its publisher states"
            if file.checksum
            else f"it has changed since the first download, whose hash is in {first}"
        )
        raise DataError(
            f"{url}: {why}; it was deleted: run it again, or name another mirror in {MIRROR}"
        ) from error
    resuming.forget()
    if known is None:
        known = f"sha256:{pooch.file_hash(str(path))}"
        write_whole(first, json.dumps({**_read(first), file.url: known}, indent=2) + "\n")
    return known


def _unpack(file: File, path: Path, folder: Path) -> None:
    """Put a file, or what is in an archive, in its place below ``folder``."""
    target = folder / file.into
    target.mkdir(parents=True, exist_ok=True)
    try:
        if path.name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(target, [n for n in archive.namelist() if _wanted(n, file)])
        elif path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                wanted = (member for member in archive if _wanted(member.name, file))
                archive.extractall(target, wanted, filter="data")
        else:
            shutil.copy(path, target / file.name)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        path.unlink(missing_ok=True)
        _forget(path.parent / FIRST_HASHES, file)
        raise DataError(
            f"{at(file.url)} sent no sound archive ({error}); it was deleted: run it again, "
            f"or name another mirror in {MIRROR}"
        ) from error


def _wanted(name: str, file: File) -> bool:
    return not any(name == out or name.startswith(f"{out}/") for out in file.leave_out)


def _read(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _forget(path: Path, file: File) -> None:
    """The hash of what was no archive is nothing to go by."""
    known = _read(path)
    if known.pop(file.url, None) is not None:
        write_whole(path, json.dumps(known, indent=2) + "\n")


__all__ = ["FIRST_HASHES", "RECORD", "corpora_folder", "fetch"]
