"""If these fail, recordings of an archive are passed over, taken twice, or a bad line ends a run of a week."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import soundfile
from archive_material import sound, wav, write_tar

from whisper_steer.archive.inputs import find_sources
from whisper_steer.archive.plan import Part, after_a_death, cut
from whisper_steer.archive.sources import Source
from whisper_steer.archive.tars import members
from whisper_steer.errors import DataError


def test_a_folder_is_searched_in_order_and_lengths_are_read_from_headers(folder: Path) -> None:
    found = find_sources(str(folder))
    assert [source.key for source in found] == [
        "d0/0.wav",
        "d0/2.wav",
        "d0/4.wav",
        "d1/1.wav",
        "d1/3.wav",
        "d1/5.wav",
    ]
    assert [source.seconds for source in found] == pytest.approx([1.0, 1.2, 1.4, 1.1, 1.3, 1.5])
    again = find_sources(str(folder))
    assert again == found
    soundfile.write(folder / "d0" / "2.wav", sound(1.2, 99), 16000)
    assert [a.key for a, b in zip(find_sources(str(folder)), found, strict=True) if a.mark != b.mark] == [
        "d0/2.wav"
    ]


def test_a_name_that_is_no_text_can_be_opened_and_written_down(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.wav"
    try:
        Path(os.fsdecode(path)).write_bytes(wav(1, 0))
    except OSError:
        pytest.skip("this file system takes no such name")
    (source,) = find_sources(str(tmp_path))
    assert source.key == "\\xff.wav"
    assert Path(source.path).read_bytes() == wav(1, 0)


def test_lines_of_a_manifest_with_pieces_and_every_kind_of_broken_line(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(3, 0))
    lines = [
        '{"audio_filepath": "a.wav", "offset": 1.0, "duration": 1.5, "text": "hello", "speaker": 7}',
        '{"audio_filepath": "a.wav"}',
        '{"audio_filepath": "a.wav"}',
        "",
        '{"audio_filepath": "a.wav", "offset": -1}',
        '{"audio_filepath": "a.wav", "duration": "long"}',
        '{"audio_filepath": "a.wav", "duration": NaN}',
        '{"audio_filepath": 7}',
        '{"text": "no file"}',
        '["a.wav"]',
        '{"audio_filepath": "a.w',
        "[" * 100_000,
        '{"audio_filepath": "a\\u0000.wav"}',
        '{"audio_filepath": "gone.wav", "duration": null}',
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(lines))
    found = find_sources(str(tmp_path / "m.jsonl"))
    assert len({source.key for source in found}) == len(found) == len(lines) - 1
    piece, whole, twice, *broken, gone = found
    assert (piece.offset, piece.duration, piece.seconds, piece.reference) == (1.0, 1.5, 1.5, "hello")
    assert piece.path == str(tmp_path / "a.wav")
    assert (whole.key, whole.seconds, whole.duration, twice.key) == ("a.wav", 3.0, None, "a.wav#2")
    assert gone.fault is None  # it may be there by the time it is read
    numbers = [5, 6, 7, 8, 9, 10, 11, 12, 13]
    for source, number in zip(broken, numbers, strict=True):
        assert source.fault is not None and source.fault.startswith(f"line {number} of the manifest: ")
        assert len(source.fault) < 200 and "\n" not in source.fault


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("gone", "does not exist"),
        ("gone.jsonl", "does not exist"),
        ("empty", "holds no recordings"),
        ("a.txt", "is no folder"),
        ("{a.tar", "braces"),
        ("*.tar", "holds no recordings"),
    ],
)
def test_what_is_no_input_is_told_in_one_line(tmp_path: Path, given: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError, match=told) as caught:
        find_sources(str(tmp_path / given))
    assert "\n" not in str(caught.value)


def test_patterns_of_tars(tmp_path: Path) -> None:
    for name in ("t-000.tar", "t-001.tar", "u.tar"):
        write_tar(tmp_path / name, {"a.wav": wav(1, 0)})
    for pattern, names in (
        ("t-{000..002}.tar", "t-000 t-001 t-002"),
        ("*.tar", "t-000 t-001 u"),
        ("u.tar", "u"),
    ):
        found = find_sources(str(tmp_path / pattern))
        assert [Path(source.path).stem for source in found] == names.split(), pattern
        assert all(source.is_tar for source in found)


def test_the_recordings_of_a_tar_and_the_texts_beside_them(tmp_path: Path) -> None:
    content = [wav(1, i) for i in range(3)]
    files = {
        "x/one.wav": content[0],
        "x/one.json": json.dumps({"text": "said", "speaker": 3}).encode(),
        "x/two.wav": content[1],
        "x/two.txt": b"said too\n",
        "x/readme.md": b"no recording",
        "x/three.FLAC": content[2],
        "x/three.json": b"{broken",
    }
    found = list(members(str(write_tar(tmp_path / "a.tar", files))))
    assert [each.name for each in found] == ["x/one.wav", "x/two.wav", "x/three.flac"]
    assert [each.content for each in found] == content
    assert [each.reference for each in found] == ["said", "said too", None]


@pytest.mark.parametrize("kept", ["header", "member", "end mark", "nothing", "no tar", "absent"])
def test_a_tar_that_is_cut_off_gives_what_it_holds_and_is_told(tmp_path: Path, kept: str) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{i}.wav": wav(1, i) for i in range(3)})
    member = 512 + -(-len(wav(1, 0)) // 512) * 512
    whole = path.read_bytes()
    size = {"header": 2 * member + 100, "member": 2 * member + 5000, "end mark": 3 * member, "nothing": 0}
    path.write_bytes(b"hello" * 1000 if kept == "no tar" else whole[: size.get(kept, 0)])
    if kept == "absent":
        path.unlink()
    found = []
    with pytest.raises(DataError) as caught:
        for each in members(str(path)):
            found.append(each.name)
    expected = {"header": 2, "member": 2, "end mark": 3}.get(kept, 0)
    assert found == ["0.wav", "1.wav", "2.wav"][:expected]
    assert "\n" not in str(caught.value)


def source(seconds: float, is_tar: bool = False) -> Source:
    return Source("k", "m", "p", seconds=seconds, is_tar=is_tar)


def test_parts_hold_so_many_seconds_and_reach_over_no_gap() -> None:
    places = [(0, source(5)), (1, source(5)), (2, source(1)), (4, source(1)), (5, source(40)), (6, source(0))]
    found = [[s.seconds for s in part.sources] for part in cut(places, 10)]
    assert found == [[5, 5], [1], [1], [40], [0]]
    tars = [(0, source(0, True)), (1, source(0, True)), (2, source(0)), (3, source(0))]
    assert [len(part.sources) for part in cut(tars, 10)] == [1, 1, 2]
    assert [len(part.sources) for part in cut(enumerate([source(0)] * 2500), 10)] == [1000, 1000, 500]


def test_halves_of_a_deadly_part_lead_to_the_source_that_kills() -> None:
    sources = tuple(Source(str(i), "m", "p") for i in range(13))
    todo, dead, done = [Part(sources)], [], []
    while todo:
        part = todo.pop()
        if any(each.key == "7" for each in part.sources):
            todo += (left := after_a_death(part))
            dead += [] if left else [each.key for each in part.sources]
        else:
            done += [each.key for each in part.sources]
    assert dead == ["7"]
    assert sorted(done, key=int) == [str(i) for i in range(13) if i != 7]
