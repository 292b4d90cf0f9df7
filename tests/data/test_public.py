"""If these fail, `fit --data public` downloads twice, fits on altered data, or calibrates on what it was fitted on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import archives
import pytest
from archives import Server, serving, small

from whisper_steer.data.public import catalogue, fetch
from whisper_steer.data.public.catalogue import CORPORA, Corpus, named
from whisper_steer.data.public.clips import FLEURS_CHOOSE, clips_of, load_public
from whisper_steer.data.public.download import MIRROR
from whisper_steer.data.public.fetch import RECORD, corpora_folder
from whisper_steer.errors import DataError, UsageError


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    return archives.mirror()


@pytest.fixture
def server(contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A mirror of all corpora, and an empty data folder."""
    with serving() as server:
        server.files = dict(contents)
        monkeypatch.setenv(MIRROR, server.address)
        monkeypatch.setenv("WHISPER_STEER_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("NO_PROXY", "*")
        yield server


def told(corpus: Corpus) -> list[str]:
    """Fetch it; the lines that were told."""
    lines: list[str] = []
    fetch.fetch([corpus], lines.append)
    return lines


def test_every_corpus_comes_in_its_layout_and_no_group_lies_on_both_sides(
    server: Server, contents: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    corpora = [small(name, contents) for name in CORPORA]
    lines: list[str] = []
    clips = load_public(corpora, lines.append)
    sides: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        sides[clip.group].add(clip.split)
    assert all(len(found) == 1 for found in sides.values())
    kinds = {(clip.kind, clip.split) for clip in clips}
    assert {(k, s) for k in ("speech", "nonspeech") for s in ("fit", "choose")} <= kinds
    speakers = {c.group for c in clips if c.dataset.startswith("librispeech/")}
    assert speakers == {f"librispeech/{name}" for name in archives.SPEAKERS}
    by_part = {
        d: {(c.group, c.split) for c in clips if c.dataset == f"librispeech/{d}"}
        for d in ("dev-clean", "dev-other")
    }
    assert by_part["dev-clean"] == by_part["dev-other"], "one speaker, one side, whatever the part"
    languages = {c.group.partition("/")[2]: c.split for c in clips if c.dataset == "fleurs"}
    assert len(languages) == 10
    assert {name for name, split in languages.items() if split == "choose"} == FLEURS_CHOOSE
    music = [c for c in clips if c.dataset == "musan/music"]
    assert len(music) == 5 and not any(c.voice for c in music), "the other five have vocals"
    assert not list(corpora_folder().glob("musan/**/speech*"))
    for clip in clips[:: len(clips) // 20]:
        assert clip.samples().size > 10_000
    text = "\n".join(lines)
    for corpus in corpora:
        assert f"{corpus.name} " in text and corpus.licence in text and corpus.source in text
    assert str(corpora_folder()) in lines[0] and server.address in lines[0]
    assert "100%" in capfd.readouterr().err
    asked = len(server.asked)
    assert load_public(corpora, lines.append) == clips
    assert len(server.asked) == asked and "\n".join(lines) == text, "nothing is asked for or told twice"
    kept = {path.name for path in corpora_folder().iterdir()}
    assert kept == {*CORPORA, "hashes.json", ".lock"}


def test_a_killed_download_goes_on_where_it_was(
    server: Server, contents: dict[str, bytes], tmp_path: Path
) -> None:
    corpus = small("librispeech-dev-clean", contents)
    size = corpus.size
    server.seconds_a_block = 0.02
    program = (
        "import sys; from dataclasses import replace; from whisper_steer.data.public import catalogue, fetch\n"
        "c = catalogue.CORPORA['librispeech-dev-clean']\n"
        "f = replace(c.files[0], checksum=sys.argv[1], size=int(sys.argv[2]))\n"
        "fetch.fetch([replace(c, files=(f,), unpacked=1)], print)"
    )
    checksum = corpus.files[0].checksum or ""
    killed = subprocess.Popen([sys.executable, "-c", program, checksum, str(size)], stderr=subprocess.DEVNULL)
    part = corpora_folder() / "librispeech-dev-clean-dev-clean.tar.gz.part"
    deadline = time.monotonic() + 120
    while (not part.exists() or part.stat().st_size == 0) and time.monotonic() < deadline:
        assert killed.poll() is None
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    held = part.stat().st_size
    assert 0 < held < size
    server.sent, server.seconds_a_block = 0, 0.0
    told(corpus)
    assert server.asked[-1][1] == f"bytes={held}-"
    assert server.sent == size - held
    assert clips_of(corpus, corpora_folder() / corpus.name)


def test_a_connection_that_breaks_is_taken_up_again_in_the_same_run(
    server: Server, contents: dict[str, bytes]
) -> None:
    corpus = small("librispeech-dev-clean", contents)
    server.break_after = 40_000
    told(corpus)
    assert server.asked[0][1] is None
    assert (server.asked[1][1] or "").startswith("bytes=")
    assert server.sent < 1.2 * corpus.size


def test_a_server_without_ranges_or_with_a_new_file_starts_again(
    server: Server, contents: dict[str, bytes]
) -> None:
    """GitHub makes its archives on request and can't send a part; what is there must not be glued to another file."""
    corpus = small("esc50", contents)
    part = corpora_folder() / "esc50-master.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of an earlier file")
    part.with_name(part.name + ".etag").write_text('"of-an-earlier-file"')
    told(corpus)
    assert clips_of(corpus, corpora_folder() / "esc50")
    server.ranges = False
    corpus = small("musan", contents)
    server.break_after = 40_000
    told(corpus)
    assert clips_of(corpus, corpora_folder() / "musan")


def test_a_part_that_is_whole_already_is_not_sent_again(server: Server, contents: dict[str, bytes]) -> None:
    corpus = small("librispeech-dev-other", contents)
    content = server.files["/www.openslr.org/resources/12/dev-other.tar.gz"]
    part = corpora_folder() / "librispeech-dev-other-dev-other.tar.gz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    part.with_name(part.name + ".etag").write_text(f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    told(corpus)
    assert server.sent == 0


def test_a_check_that_is_cut_off_costs_no_second_download(
    server: Server, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 11 GB it takes long enough for somebody to press Ctrl-C."""

    def cut_off(*_: object, **__: object) -> bool:
        raise KeyboardInterrupt

    corpus = small("librispeech-dev-clean", contents)
    with monkeypatch.context() as patched:
        patched.setattr("pooch.core.hash_matches", cut_off)
        with pytest.raises(KeyboardInterrupt):
            told(corpus)
    left = corpora_folder() / "tmp_of_a_killed_process"
    left.write_bytes(b"of pooch")
    told(corpus)
    assert server.sent == corpus.size and not left.exists()
    assert {path.name for path in corpora_folder().iterdir()} == {".lock", corpus.name}


def test_another_checksum_is_refused_in_one_line_and_nothing_stays(
    server: Server, contents: dict[str, bytes]
) -> None:
    corpus = CORPORA["librispeech-dev-clean"]  # its real checksum, which the small archive can't have
    with pytest.raises(DataError, match=r"another checksum than md5:42e2.*; it was deleted") as caught:
        told(replace(corpus, unpacked=1, files=(replace(corpus.files[0], size=1),)))
    assert "\n" not in str(caught.value)
    assert {path.name for path in corpora_folder().iterdir()} == {".lock"}


def test_what_the_hub_says_of_a_file_is_checked(server: Server, contents: dict[str, bytes]) -> None:
    corpus = small("fleurs-es_419", contents)
    server.headers = {"X-Linked-Etag": f'"{"0" * 64}"'}
    with pytest.raises(DataError, match="arrived altered"):
        told(corpus)
    table, _ = (server.files["/" + f.url.partition("://")[2]] for f in corpus.files)
    server.headers = {"X-Linked-Etag": f'"{hashlib.sha256(table).hexdigest()}"'}
    with pytest.raises(DataError, match=r"dev\.tar\.gz arrived altered"):
        told(corpus)
    server.headers = {}
    told(corpus)


def test_without_a_published_checksum_the_first_download_counts(
    server: Server, contents: dict[str, bytes]
) -> None:
    corpus = small("esc50", contents)
    told(corpus)
    record = json.loads((corpora_folder() / "esc50" / RECORD).read_text())
    path = "/github.com/karoldvl/ESC-50/archive/master.zip"
    digest = hashlib.sha256(server.files[path]).hexdigest()
    assert record["files"] == {"https:/" + path: f"sha256:{digest}"} and record["licence"] == "CC BY-NC 3.0"
    (corpora_folder() / "esc50").rename(corpora_folder().parent / "away")
    server.files[path] += b"\0"
    with pytest.raises(DataError, match=r"changed since the first download, whose hash is in .*hashes\.json"):
        told(corpus)


def test_a_page_in_place_of_an_archive_is_refused(server: Server, contents: dict[str, bytes]) -> None:
    """A hotel's network answers every request with its own page."""
    corpus = small("esc50", contents)
    path = "/github.com/karoldvl/ESC-50/archive/master.zip"
    sound, server.files[path] = server.files[path], b"<html>Please log in</html>"
    with pytest.raises(DataError, match="sent no sound archive"):
        told(corpus)
    server.files[path] = sound
    told(corpus)


def test_a_redirection_is_followed_and_one_in_circles_is_told(
    server: Server, contents: dict[str, bytes]
) -> None:
    corpus = small("librispeech-dev-clean", contents)
    path = "/www.openslr.org/resources/12/dev-clean.tar.gz"
    server.on_to = {path: "/elsewhere/dev-clean.tar.gz", "/elsewhere/dev-clean.tar.gz": path}
    with pytest.raises(DataError, match="it sends on in circles"):
        told(corpus)
    server.on_to, server.break_after = {path: "/elsewhere/dev-clean.tar.gz"}, 40_000
    server.files["/elsewhere/dev-clean.tar.gz"] = server.files.pop(path)
    told(corpus)
    assert server.asked[-1][1] is not None, "what is left is asked for through the redirection too"


def test_no_network_and_a_server_that_refuses_are_one_line(
    server: Server, contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = small("librispeech-dev-clean", contents)
    server.files.clear()
    with pytest.raises(DataError, match="the server answers 404 Not Found; try again later") as caught:
        told(corpus)
    monkeypatch.setenv(MIRROR, "http://127.0.0.1:9")
    with pytest.raises(
        DataError, match=r"127\.0\.0\.1:9 cannot be reached \(ConnectionError\)"
    ) as no_network:
        told(corpus)
    assert "\n" not in f"{caught.value}{no_network.value}"


def test_a_disk_without_room_is_told_before_the_first_byte(
    server: Server, contents: dict[str, bytes]
) -> None:
    corpus = replace(small("musan", contents), unpacked=10**16)
    with pytest.raises(OSError, match=r"about 10000000\.0 GB are needed.*WHISPER_STEER_DATA"):
        told(corpus)
    assert not server.asked


FILLING = """
import os, subprocess, sys
from dataclasses import replace
from whisper_steer.data.public import catalogue, fetch
corpus = catalogue.CORPORA["librispeech-dev-clean"]
corpus = replace(corpus, files=(replace(corpus.files[0], checksum=sys.argv[1], size=1),), unpacked=1)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", sys.argv[2]], check=True)
os.environ["WHISPER_STEER_DATA"] = sys.argv[2]
for size in "300k", "700k", "100m":
    subprocess.run(["mount", "-o", f"remount,size={size}", sys.argv[2]], check=True)
    try:
        fetch.fetch([corpus], lambda line: None)
        print("whole")
    except OSError as error:
        print(error, sorted(path.name for path in fetch.corpora_folder().iterdir()))
"""


def test_a_disk_that_fills_up_keeps_what_came(
    server: Server, contents: dict[str, bytes], tmp_path: Path
) -> None:
    """On a real small disk, first while the archive comes, then while it is unpacked."""
    alone = ["unshare", "-Urm"]
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            [*alone, "mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no disk of its own can be mounted here")
    corpus = small("librispeech-dev-clean", contents)
    done = subprocess.run(
        [*alone, sys.executable, "-c", FILLING, corpus.files[0].checksum or "", disk],
        capture_output=True,
        text=True,
        check=False,
    )
    while_it_comes, while_unpacked, then = done.stdout.splitlines()
    for line in (while_it_comes, while_unpacked):
        assert "No space left on device, about" in line and "free some and run it again" in line
    assert "dev-clean.tar.gz.part'" in while_it_comes
    assert "['.lock', 'librispeech-dev-clean-dev-clean.tar.gz']" in while_unpacked
    assert then == "whole"
    assert [asked for _, asked in server.asked][1].startswith("bytes=") and len(server.asked) == 2


def test_names() -> None:
    assert [c.name for c in named("esc50")] == ["esc50"]
    assert len(named("public")) == len(CORPORA) == 14
    assert len(named("fleurs")) == 10
    with pytest.raises(UsageError, match="librispeech-dev-clean"):
        named("libri")


def test_what_is_pinned_has_the_form_of_a_checksum() -> None:
    lengths = {"md5": 32, "sha256": 64}
    for corpus in CORPORA.values():
        for file in corpus.files:
            assert file.url.startswith("https://") and file.size > 0
            if file.checksum:
                algorithm, _, digest = file.checksum.partition(":")
                assert len(digest) == lengths[algorithm] and set(digest) <= set("0123456789abcdef")
    assert catalogue.GROUPS["public"] == tuple(CORPORA)
