"""The command from end to end on a random model: resume, repeatability, broken files, reports, comparisons, bars."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bench import artifact_folder, corpus
from click.testing import CliRunner, Result
from whisper.model import Whisper

from whisper_steer.eval import runner
from whisper_steer.eval.cli import benchmark
from whisper_steer.eval.systems import SYSTEMS

FAST = "stock,ban-lifted,energy-gate,vad-cut,ours-skip"


@pytest.fixture(scope="module")
def base(tiny_model: Whisper, tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A manifest with a broken file, an artifact, and one finished run."""
    folder = tmp_path_factory.mktemp("bench")
    manifest = corpus(folder)
    (folder / "nonspeech-test-1.wav").write_text("this is not audio")
    options = [
        "--model", str(tiny_path), "--data", f"manifest:{manifest}", "--temperatures", "0",
        "--steering", str(artifact_folder(tiny_model, folder)), "--embed", "1",
    ]  # fmt: skip
    result = invoke(options, "--systems", FAST, "--out", folder / "run")
    assert result.exit_code == 0, result.output
    return {"folder": folder, "options": options, "run": folder / "run", "output": result.output}


def invoke(options: list[str], *more: object) -> Result:
    return CliRunner().invoke(benchmark, [*options, *map(str, more)], catch_exceptions=False)


def results(folder: Path) -> dict[str, Any]:
    """results.json without what was measured of time."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    for record in found["records"]:
        if "seconds" in record:
            record["seconds"] = record["cpu"] = None
    for rows in found["summary"]["recording"].values():
        for row in rows.values():
            row["rtf"] = row["sums"]["cpu"] = None
    return found


def test_a_broken_file_is_reported_skipped_and_counted_apart(base: dict[str, Any]) -> None:
    found = results(base["run"])
    (broken,) = found["broken_files"]
    assert broken["clip"] == "nonspeech-test-1.wav"
    assert "nonspeech-test-1.wav" in (base["run"] / "report.md").read_text()
    assert found["summary"]["nonspeech"]["all non-speech"]["stock"]["clips"] == 2


def test_two_runs_of_one_description_are_identical(base: dict[str, Any], tmp_path: Path) -> None:
    invoke(base["options"], "--systems", FAST, "--out", tmp_path / "again")
    assert results(tmp_path / "again") == results(base["run"])


@pytest.mark.parametrize("cut", [1, 200, 1500])
def test_a_killed_run_resumes_to_the_identical_result(base: dict[str, Any], tmp_path: Path, cut: int) -> None:
    """The kill may fall in the middle of a line; the store and the fits may be gone or there."""
    killed = tmp_path / "killed"
    shutil.copytree(base["run"], killed)
    records = (killed / runner.RECORDS).read_bytes()
    (killed / runner.RECORDS).write_bytes(records[:-cut])
    (killed / "results.json").unlink()
    (killed / "outputs.sqlite").unlink()
    invoke(base["options"], "--systems", FAST, "--out", killed)
    assert results(killed) == results(base["run"])
    assert len((killed / runner.RECORDS).read_bytes().splitlines()) == len(records.splitlines())


def test_finished_work_is_never_repeated(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what went wrong: the one broken file."""
    asked, transcribe_clip = [], runner.transcribe_clip
    monkeypatch.setattr(
        runner, "transcribe_clip", lambda *args: asked.append(args[2].id) or transcribe_clip(*args)
    )
    before = (base["run"] / runner.RECORDS).read_bytes()
    assert invoke(base["options"], "--systems", FAST, "--out", base["run"]).exit_code == 0
    assert asked == ["nonspeech-test-1.wav"]
    assert (base["run"] / runner.RECORDS).read_bytes() == before


def test_a_repaired_file_is_transcribed_on_the_next_run(base: dict[str, Any], tmp_path: Path) -> None:
    """Its error must not outlive it; nor may it be counted twice."""
    broken = corpus(tmp_path).with_name("nonspeech-test-1.wav")
    sound = broken.read_bytes()
    given = f"manifest:{base['folder'] / 'manifest.jsonl'}"
    options = [f"manifest:{tmp_path / 'manifest.jsonl'}" if o == given else o for o in base["options"]]
    options += ["--systems", "stock,energy-gate"]
    broken.write_text("this is not audio")
    invoke(options, "--out", tmp_path / "run")
    assert len(results(tmp_path / "run")["broken_files"]) == 1
    broken.write_bytes(sound)
    invoke(options, "--out", tmp_path / "run")
    invoke(options, "--out", tmp_path / "fresh")
    assert results(tmp_path / "run") == results(tmp_path / "fresh")
    lines = [(tmp_path / run / runner.RECORDS).read_text().splitlines() for run in ("run", "fresh")]
    assert len(lines[0]) == len(lines[1])
    assert not any('"error"' in line for line in lines[0])


def test_a_text_with_a_line_separator_is_one_record(tmp_path: Path) -> None:
    """Else a run in which a model wrote one can never be resumed."""
    record = {"clip": "a", "system": "stock", "text": "one\u2028two\x85three\x0cfour"}
    (tmp_path / "clips.jsonl").write_text(runner.as_line(record) * 2, encoding="utf-8")
    assert runner.read_records(tmp_path / "clips.jsonl") == [record, record]


def test_a_system_that_failed_on_a_clip_is_asked_again(
    base: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk or a graphics card out of memory: that clip and system, and no other."""
    options = [*base["options"], "--systems", FAST, "--out", str(tmp_path / "run")]
    system = SYSTEMS["energy-gate"]
    with monkeypatch.context() as patched:
        patched.setattr(system, "transcribe", lambda *_: 1 / 0)
        invoke(options)
    assert results(tmp_path / "run")["failures"] == {"energy-gate": 5}
    invoke(options, "--minutes", "0")
    assert results(tmp_path / "run")["failures"] == {"energy-gate": 5}  # still told where there was no time
    invoke(options)
    assert results(tmp_path / "run") == results(base["run"])


def test_a_second_run_in_a_folder_is_refused(base: dict[str, Any], tmp_path: Path) -> None:
    """Two at once write every record twice."""
    from whisper_steer.errors import UsageError
    from whisper_steer.files.lock import alone_in

    options = [*base["options"], "--systems", "stock", "--limit", "1", "--out", str(tmp_path / "run")]
    with alone_in(tmp_path / "run", "benchmark"), pytest.raises(UsageError, match="another benchmark"):
        invoke(options)
    assert not (tmp_path / "run" / runner.RECORDS).exists()
    assert invoke(options).exit_code == 0


def test_a_run_out_of_time_reports_what_it_has_and_goes_on(base: dict[str, Any], tmp_path: Path) -> None:
    options = [*base["options"], "--systems", FAST, "--out", str(tmp_path / "short")]
    invoke(options, "--minutes", "0")
    short = results(tmp_path / "short")
    assert short["unfinished"] == 6
    assert short["clips"] == []
    invoke(options)
    assert results(tmp_path / "short") == results(base["run"])


def test_an_unfinished_run_is_a_balanced_one(tmp_path: Path) -> None:
    from whisper_steer.data.load import load

    clips = load(f"manifest:{corpus(tmp_path)}")
    assert {clip.kind for clip in runner.in_turns(clips)[:2]} == {"speech", "nonspeech"}
    assert {clip.id for clip in runner.in_turns(clips)} == {clip.id for clip in clips}


def test_a_folder_with_another_run_is_left_alone(base: dict[str, Any]) -> None:
    from whisper_steer.errors import UsageError

    before = (base["run"] / runner.RECORDS).read_bytes()
    with pytest.raises(UsageError, match="another run"):
        invoke(base["options"], "--systems", "stock", "--out", base["run"])
    assert (base["run"] / runner.RECORDS).read_bytes() == before


def test_bars_decide_the_exit_code(base: dict[str, Any]) -> None:
    def code(*bars: str) -> int:
        pairs = [part for bar in bars for part in ("--bars", bar)]
        return invoke(base["options"], "--systems", FAST, "--out", base["run"], *pairs).exit_code

    assert code("stock:fsr_text>=0", "stock:identical>=1") == 0
    assert code("stock:fsr_text>=0", "stock:fsr_text<=-1") == 1
    assert code("stock:fsr_text@no such set<=1") == 1


def test_a_run_against_itself_shows_no_change(base: dict[str, Any]) -> None:
    old = base["run"] / "results.json"
    output = invoke(base["options"], "--systems", FAST, "--out", base["run"], "--compare", old).output
    (line,) = [row for row in output.splitlines() if row.startswith("| vad-cut | all non-speech")]
    assert "| 0, 0 | 1 | +0.00" in line


def test_a_change_between_runs_is_shown_with_its_direction(base: dict[str, Any]) -> None:
    from whisper_steer.eval.compare import compare

    new, old = results(base["run"]), results(base["run"])
    for record in old["records"]:
        if record.get("system") == "vad-cut":
            record["text"] = "thank you"
    row = next(r for r in compare(old, new).splitlines() if r.startswith("| vad-cut | all non-speech"))
    assert "| 2 | 2, 0 |" in row
    assert "-120.00" in row


def test_any_figure_can_be_recomputed_from_results_json(base: dict[str, Any]) -> None:
    from whisper_steer.eval.results import outputs_of
    from whisper_steer.eval.summary import summarise

    found = results(base["run"])
    again = summarise(
        found["clips"], outputs_of(found["records"]), {s["name"]: s["base"] for s in found["systems"]}
    )
    assert json.loads(json.dumps(again)) == found["summary"]


def test_a_run_file_describes_the_same_run(base: dict[str, Any], tmp_path: Path) -> None:
    described = json.loads((base["run"] / "run.json").read_text())
    path = tmp_path / "run.json"
    path.write_text(json.dumps(described["config"]))
    invoke(["--config", str(path), "--out", str(tmp_path / "out")])
    assert results(tmp_path / "out")["id"] == described["id"]


@pytest.mark.slow
def test_every_system_runs_under_every_condition(base: dict[str, Any], tmp_path: Path) -> None:
    """Fits included: all baselines learn, choose and transcribe, none of them fails on a clip."""
    result = invoke(
        base["options"], "--systems", "all", "--conditions", "snr:0,quiet:-20,recordings:no-pauses:1", "--limit", "3",
        "--condition-limit", "1", "--sample-len", "8", "--out", tmp_path / "all",
    )  # fmt: skip
    found = results(tmp_path / "all")
    assert result.exit_code == 0, result.output
    assert found["failures"] == {}
    assert found["left_out"] == {}
    assert {s["name"] for s in found["systems"]} == set(SYSTEMS)
    assert set(found["summary"]["speech"]) == {
        "all speech", "language en", "speech", "all speech, snr:0", "all speech, quiet:-20",
    }  # fmt: skip


def test_recordings_are_measured_and_resumed(base: dict[str, Any], tmp_path: Path) -> None:
    """The table that says what a system writes in pauses: for each style and for all of them, each system in turn."""
    options = [
        *base["options"], "--systems", "stock,silero-spans,ours-skip", "--only-conditions", "--sample-len", "4",
        "--conditions", "recordings:loud-music:1,recordings:no-pauses:2", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    output = invoke(options).output
    for title, n in (("all recordings", 3), ("loud-music", 1), ("no-pauses", 2)):
        assert f"Recordings: {title}\n{n} recordings, " in output
        rows = results(tmp_path / "run")["summary"]["recording"][title]
        assert list(rows) == ["stock", "silero-spans", "ours-skip"]
        assert rows["stock"]["recordings"] == n
    assert output.count("| silero-spans | ") == 3
    for bar, code in (("silero-spans:rtf@no-pauses>=0", 0), ("stock:pause_words<=-1", 1)):
        assert invoke([*options, "--bars", bar]).exit_code == code
    whole = results(tmp_path / "run")
    assert {clip["kind"] for clip in whole["clips"]} == {"recording"}
    assert all(
        record["cpu"] > 0 for record in json.loads((tmp_path / "run/results.json").read_text())["records"]
    )
    records = tmp_path / "run" / runner.RECORDS
    records.write_bytes(records.read_bytes()[:-300])
    invoke(options)
    assert results(tmp_path / "run") == whole


def test_cost_is_measured_for_each_system_in_turn(base: dict[str, Any], tmp_path: Path) -> None:
    invoke(
        base["options"],
        "--systems",
        "stock,energy-gate",
        "--cost",
        "1",
        "--limit",
        "2",
        "--out",
        tmp_path / "c",
    )
    rows = results(tmp_path / "c")["cost"]
    assert {(r["system"], r["kind"]) for r in rows} == {
        (s, k) for s in ("openai-whisper", "stock", "energy-gate") for k in ("speech", "nonspeech", "mixed")
    }
    assert all(0 < r["encoder_share"] < 1 and r["rtf"] > 0 for r in rows)


def test_the_page_is_self_contained(base: dict[str, Any]) -> None:
    page = (base["run"] / "report.html").read_text()
    assert "data:audio/ogg;base64," in page
    assert page.count("<svg") >= 4
    for outside in ("src='http", 'src="http', "<link", "@import", "<script"):
        assert outside not in page
