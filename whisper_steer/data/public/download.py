"""A downloader for pooch that goes on where an earlier one was cut off, which pooch's own do not.

What has come lies in a file beside the target, with the server's ETag; the rest is asked for by a range (RFC 9110,
section 14), on condition that the ETag is still that (``If-Range``, 13.1.5). A server that sends the whole file
instead, as GitHub does for archives that it makes on request, is taken at its word.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from requests.exceptions import ChunkedEncodingError, ConnectionError, RequestException, Timeout
from tqdm import tqdm

from whisper_steer.errors import DataError

BLOCK = 1 << 15
"""bytes; of a block whose end did not come, nothing is kept"""
TIMEOUT = (10, 60)
"""seconds to connect, and between two blocks"""
MIRROR = "WHISPER_STEER_MIRROR"
"""names the environment variable with another server's address, below which lies HOST/PATH of each file"""


class Resuming:
    """Called by pooch as ``downloader(url, output_file, pooch)``.

    ``part`` keeps what has come. Raises `DataError` where the server can't be reached, refuses, stops half-way or sends
    another file than it says; what has come then stays, but for the last case. Raises `OSError` where the disk is full.
    """

    def __init__(self, part: Path) -> None:
        self.part = part
        self.tag = part.with_name(part.name + ".etag")

    def __call__(self, url: str, output_file: str, _: object) -> None:
        told = self._whole(url)
        if told and pooch.file_hash(str(self.part)) != told:
            self.forget()
            raise DataError(
                f"{url} arrived altered (the server's SHA-256 is another); it was deleted: run it again"
            )
        try:  # what has come stays while pooch checks it, so that a check that is cut off costs no second download
            Path(output_file).unlink()
            os.link(self.part, output_file)
        except OSError:  # a disk without links
            os.replace(self.part, output_file)

    def forget(self) -> None:
        """Delete what has come; to be called once the file is checked and in its place."""
        self.part.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)

    def _whole(self, url: str) -> str | None:
        """Ask until all has come, as long as every answer brings something; the SHA-256 that the server tells."""
        while True:
            before = self._held()
            try:
                return self._ask(url, before)
            except (ChunkedEncodingError, ConnectionError, Timeout) as error:
                if self._held() <= before:
                    raise DataError(_unreached(url, error)) from error
            except RequestException as error:  # a redirection that goes in circles, an address that is none
                raise DataError(_unreached(url, error)) from error

    def _held(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _ask(self, url: str, held: int) -> str | None:
        headers = {"Accept-Encoding": "identity"}
        if held and self.tag.exists():
            headers |= {"Range": f"bytes={held}-", "If-Range": self.tag.read_text(encoding="utf-8")}
        with closing(requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)) as response:
            if url.startswith("https:") and not response.url.startswith("https:"):
                raise DataError(
                    f"{url} sends on to {response.url}, which is not encrypted: name a mirror in {MIRROR}"
                )
            if response.status_code == 416:  # nothing is left, or the file shrank
                if response.headers.get("Content-Range") != f"bytes */{held}":
                    self.forget()
                    return self._ask(url, 0)
                return _told(response)
            if response.status_code not in (200, 206):
                raise DataError(
                    f"{url}: the server answers {response.status_code} {response.reason}; "
                    f"try again later, or name a mirror in {MIRROR}"
                )
            self._write(response, held if response.status_code == 206 else 0)
            return _told(response)

    def _write(self, response: requests.Response, start: int) -> None:
        if start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            self.forget()
            raise DataError(f"{response.url}: the server sent another part than was asked for; run it again")
        if not start:
            self.forget()
            if (tag := response.headers.get("ETag", "")) and not tag.startswith("W/"):
                self.tag.write_text(tag, encoding="utf-8")
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        with (
            self.part.open("ab" if start else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=self.part.stem) as bar,
        ):
            for block in response.iter_content(BLOCK):
                file.write(block)
                bar.update(len(block))


def at(url: str) -> str:
    """Where a file is asked for: its own address, or its place on the mirror."""
    mirror = os.environ.get(MIRROR)
    return f"{mirror.rstrip('/')}/{url.partition('://')[2]}" if mirror else url


def _told(response: requests.Response) -> str | None:
    """The SHA-256 that the hub tells of a large file, in its own answer or in the one that sends on to its store."""
    for each in (*response.history, response):
        tag = each.headers.get("X-Linked-Etag", "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", tag):
            return tag
    return None


def _unreached(url: str, error: RequestException) -> str:
    host = urlsplit(url).netloc
    if isinstance(error, Timeout):
        why = "no answer in time"
    elif isinstance(error, ChunkedEncodingError):
        why = "the connection broke"
    elif isinstance(error, requests.TooManyRedirects):
        why = "it sends on in circles"
    else:
        why = type(error).__name__
    return (
        f"{host} cannot be reached ({why}): check the connection and run it again, which goes on from here, "
        f"or name a mirror in {MIRROR}"
    )


__all__ = ["MIRROR", "Resuming", "at"]
