"""If these fail, a runtime that takes no hook is told to transcribe where nobody speaks, or not where somebody does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import soundfile
import whisper
from helpers import make_artifact, run
from whisper.model import Whisper

import whisper_steer
from whisper_steer.cli.span_files import FORMATS, Heard, write_spans
from whisper_steer.errors import ArtifactError, AudioError, UsageError
from whisper_steer.gate.hearing import Hearing

SECONDS = 70.13
Times = list[tuple[float, float]]


@pytest.fixture
def hearing() -> Hearing:
    """Two spans: one at the very start, one of 36 s that ends where the recording does."""
    evidence = np.full(1754, -6.0, np.float32)
    evidence[0:25] = 3.0
    evidence[870:1740] = np.random.default_rng(0).normal(4, 0.5, 870)
    return Hearing(evidence, 0.5, SECONDS)


def heard(hearing: Hearing, longest: float | None = None, file: str = "my visit.wav") -> Heard:
    samples = np.zeros(round(hearing.seconds * 16000), np.float32)
    return Heard(file, samples, hearing, {"model": "tiny.en", "steering": {"artifact": "a"}}, longest)


def seconds_of(clock: str) -> float:
    hours, minutes, rest = clock.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def read_rttm(text: str) -> Times:
    rows = [line.split() for line in text.splitlines()]
    assert all(row[:3] == ["SPEAKER", "my_visit", "1"] and len(row) == 10 for row in rows)
    return [(float(row[3]), float(row[3]) + float(row[4])) for row in rows]


def read_audacity(text: str) -> Times:
    return [(float(start), float(end)) for start, end, _ in (line.split("\t") for line in text.splitlines())]


def read_srt(text: str) -> Times:
    blocks = [block.splitlines() for block in text.split("\n\n") if block]
    assert [block[0] for block in blocks] == [str(i + 1) for i in range(len(blocks))]
    found = [tuple(map(seconds_of, block[1].split(" --> "))) for block in blocks]
    return [(start, end) for start, end in found]


@pytest.mark.parametrize("longest", [None, 30.0, 7.5])
def test_every_format_says_what_was_heard(tmp_path: Path, hearing: Hearing, longest: float | None) -> None:
    assert [(span.start, span.end) for span in hearing.spans] == [(0.0, 1.48), (34.32, SECONDS)]
    paths = write_spans(heard(hearing, longest), tmp_path, "all")
    assert [path.name for path in paths] == [
        f"my visit.speech.{suffix}" for suffix in ("json", "rttm", "txt", "srt", "png")
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths)  # nothing temporary is left
    expected = [(s.start, s.end) for s in hearing.spans] if longest is None else hearing.chunks(longest)
    read = [read_rttm, read_audacity, read_srt]
    for path, reader in zip(paths[1:4], read, strict=True):
        assert reader(path.read_text()) == [pytest.approx(each, abs=2e-3) for each in expected], path.name
    content = json.loads(paths[0].read_text())
    assert (content["file"], content["seconds"], content["model"]) == ("my visit.wav", SECONDS, "tiny.en")
    assert [(s["start"], s["end"], s["evidence"]) for s in content["spans"]] == [
        (span.start, span.end, pytest.approx(span.evidence)) for span in hearing.spans
    ]
    if longest is None:
        assert "pieces" not in content
    else:
        assert [(p["start"], p["end"]) for p in content["pieces"]] == expected
        assert max(end - start for start, end in expected) <= longest + 0.01
        assert expected[0][0] == 0.0 and expected[-1][1] == SECONDS
    assert matplotlib.image.imread(paths[4]).std() > 0.05  # something is drawn


def test_silence_is_written_as_no_spans(tmp_path: Path) -> None:
    """A player or a script that reads the file must find it, and nothing in it."""
    silence = Hearing(np.full(250, -6.0, np.float32), 0.5, 10.0)
    paths = write_spans(heard(silence, 30.0), tmp_path, "all")
    content = json.loads(paths[0].read_text())
    assert (content["spans"], content["pieces"]) == ([], [])
    assert [path.read_text() for path in paths[1:4]] == ["", "", ""]


def test_a_window_that_cannot_be_judged_is_valid_json(tmp_path: Path) -> None:
    """JSON has no word for infinity: a strict reader would refuse the whole file."""
    unjudged = Hearing(np.full(250, np.inf, np.float32), 0.5, 10.0)
    (path, *others) = write_spans(heard(unjudged), tmp_path, "all")
    assert json.loads(path.read_text(), parse_constant=pytest.fail)["spans"] == [
        {"start": 0.0, "end": 10.0, "evidence": None}
    ]
    assert all(other.stat().st_size > 0 for other in others)


def test_a_failed_write_leaves_the_former_file(tmp_path: Path, hearing: Hearing) -> None:
    class Broken(Hearing):
        @property
        def spans(self) -> Any:  # type: ignore[override]
            raise OSError(28, "No space left on device")

    (path,) = write_spans(heard(hearing), tmp_path, "json")
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space"):
        write_spans(heard(Broken(hearing.evidence, 0.5, SECONDS)), tmp_path, "json")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def listen(*args: Any, model: Path, steering: Path, out: Path) -> Any:
    return run("listen", *args, "--model", model, "--device", "cpu", "--steering", steering, "-o", out)


def test_the_command_hears_speech_and_silence(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    """By one artifact nothing is speech, by the other all is."""
    for name, spans in (("open", []), ("shut", [(0.0, 2.0)])):
        done = listen(wav_files["tone"], model=tiny_path, steering=artifacts[name], out=tmp_path / name)
        assert done.exit_code == 0, done.stderr
        assert ("no speech in 2 s" if name == "open" else "speech in 1 span, 2 of 2 s") in done.stdout
        content = json.loads((tmp_path / name / "tone.speech.json").read_text())
        assert [(span["start"], span["end"]) for span in content["spans"]] == spans
        assert content["steering"]["artifact"] == "by-hand"
        assert content["seconds"] == 2.0


def test_the_command_and_the_function_agree(
    tmp_path: Path, tiny_model: Whisper, tiny_path: Path, wav_files: dict[str, Path]
) -> None:
    """At a threshold in the midst of the evidence, with the promise handed on."""
    probe = make_artifact(tiny_model.encoder, threshold=0.0).save(tmp_path / "probe")
    samples = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in wav_files.values()] * 3)
    soundfile.write(tmp_path / "long.wav", samples, 16000, subtype="FLOAT")
    evidence = whisper_steer.listen(tiny_model, samples, steering=probe).evidence
    folder = make_artifact(tiny_model.encoder, threshold=float(np.sort(evidence)[-3])).save(tmp_path / "mid")
    expected = whisper_steer.listen(
        tiny_model, tmp_path / "long.wav", steering=folder, max_suppressed_speech=0.02
    )
    assert expected.spans and not expected.whole
    done = listen(
        tmp_path / "long.wav", "--max-suppressed-speech", "0.02", "--longest", "5", "-f", "all",
        model=tiny_path, steering=folder, out=tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    content = json.loads((tmp_path / "out" / "long.speech.json").read_text())
    assert [(s["start"], s["end"]) for s in content["spans"]] == [(s.start, s.end) for s in expected.spans]
    assert [(p["start"], p["end"]) for p in content["pieces"]] == expected.chunks(5)
    assert content["steering"]["max_suppressed_speech"] == 0.02
    assert len(list((tmp_path / "out").iterdir())) == len(FORMATS)


def test_one_bad_file_does_not_stop_the_rest(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    (tmp_path / "bad.wav").write_text("no sound\n")
    files = [tmp_path / "bad.wav", tmp_path / "missing.wav", wav_files["tone"]]
    done = listen(*files, model=tiny_path, steering=artifacts["shut"], out=tmp_path / "out")
    assert done.exit_code == 1
    assert re.findall(r"^Skipping .*/(.*?): ", done.stderr, re.M)[:2] != []
    assert len(done.stderr.splitlines()) == 2
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tone.speech.json"]


def test_stdin_is_listened_to(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    args = ["listen", "-", "--model", tiny_path, "--steering", artifacts["shut"], "-o", tmp_path]
    done = run(*args, stdin=wav_files["tone"].read_bytes())
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "stdin.speech.json").read_text())["seconds"] == 2.0


def test_wrong_usage_ends_with_two_and_a_remedy(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path]
) -> None:
    tone = wav_files["tone"]
    for options, says in (
        ([tone, tone.with_suffix(".mp3")], "run them apart"),
        ([tone, "--steering", "none"], "leave --steering out"),
        ([tone, "--steering", tmp_path / "nothing"], "no steering artifact"),
        ([tone, "-f", "docx"], "docx"),
        ([tone, "--longest", "0"], "--longest"),
    ):
        done = run("listen", *options, "--model", tiny_path, "-o", tmp_path)
        assert (done.exit_code, says in done.stderr) == (2, True), done.stderr
    done = run("listen", tone, "--model", tiny_path, "-o", tmp_path)
    assert done.exit_code == 1
    assert f"whisper-steer fit {tiny_path}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_function_says_what_is_wrong(tiny_model: Whisper, artifacts: dict[str, Path]) -> None:
    with pytest.raises(ArtifactError, match="whisper-steer fit"):
        whisper_steer.listen(tiny_model, np.zeros(16000, np.float32))
    with pytest.raises(UsageError, match="needs steering"):
        whisper_steer.listen(tiny_model, np.zeros(16000, np.float32), steering=None)  # type: ignore[arg-type]
    with pytest.raises(AudioError):
        whisper_steer.listen(tiny_model, np.full(9, np.nan, np.float32), steering=artifacts["shut"])
    assert whisper_steer.listen(tiny_model, np.empty(0, np.float32), steering=artifacts["shut"]).spans == []
    assert isinstance(tiny_model, whisper.model.Whisper)
