"""Command lines of openai-whisper and whisper-ctranslate2 on a genuine model: options, an address, times of words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial, wraps
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from helpers import QUICK, contents, run

import whisper_steer
from whisper_steer.audio.load import SAMPLE_RATE, load_audio
from whisper_steer.cli import main
from whisper_steer.cli.colours import RED_TO_GREEN, colour
from whisper_steer.errors import AudioError

ASSETS = Path(whisper_steer.__file__).parent / "assets"
SAID = " These are my notes on the first home visit of the day."


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence of 3.2 s from 0.5 s on, in ``said.wav``."""
    folder = tmp_path_factory.mktemp("said")
    soundfile.write(folder / "said.wav", load_audio(ASSETS / "demo.flac")[: 4 * SAMPLE_RATE], SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Where the folder is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_address_is_read_as_the_file_is(folder: Path, address: str) -> None:
    np.testing.assert_array_equal(load_audio(f"{address}/said.wav"), load_audio(folder / "said.wav"))
    for name, reason in (("none.wav", "404"), ("", "no.* recording|not a recording")):
        with pytest.raises(AudioError, match=reason):
            load_audio(f"{address}/{name}")


def test_a_command_line_of_whisper_ctranslate2(
    tiny_en_folder: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By int8 in batches, from an address, its options abbreviated; each reaches faster-whisper."""
    given: list[dict[str, Any]] = []
    stock = faster_whisper.BatchedInferencePipeline.transcribe

    @wraps(stock)
    def watched(self: Any, audio: Any, **options: Any) -> Any:
        given.append(options)
        return stock(self, audio, **options)

    monkeypatch.setattr(faster_whisper.BatchedInferencePipeline, "transcribe", watched)
    line = f"--model_directory {tiny_en_folder} --backend faster --compute-type int8 --batched --device cpu --thr 1"
    line += (
        " --lang en --hotwords notes --repetition_penalty 1.1 --no_repeat_ngram_size 5 --suppress_blank False"
    )
    line += " --prompt_reset_on_temperature 0.3 --vad_filter --vad_onset 0.4 --vad_min_speech_duration_ms 100"
    line += " --vad_min_silence_duration_ms 300 --vad_max_speech_duration_s 20 --print_colors -p"
    done = CliRunner().invoke(
        main, ["transcribe", f"{address}/said.wav", *line.split(), *QUICK, "-o", str(tmp_path)], color=True
    )
    assert done.exit_code == 0, done.output
    (options,) = given
    assert options["hotwords"] == "notes" and options["suppress_blank"] is False
    assert (options["repetition_penalty"], options["no_repeat_ngram_size"]) == (1.1, 5)
    assert options["prompt_reset_on_temperature"] == 0.3
    found = contents(tmp_path)["said.json"]
    assert found["text"].strip(" .") == SAID.strip(" .")
    assert "\x1b[38;5;" in done.stdout
    text = (tmp_path / "said.json").read_text(encoding="utf-8")
    assert text == json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def test_sure_words_are_green_and_unsure_ones_red() -> None:
    assert (colour(1.0), colour(0.0)) == (RED_TO_GREEN[-1], RED_TO_GREEN[0])
    assert RED_TO_GREEN.index(colour(0.9)) > RED_TO_GREEN.index(colour(0.6))


def test_words_are_timed_by_transformers_as_by_openai_whisper(
    tiny_en_folder: Path, folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    found = {}
    for backend in ("openai", "transformers"):
        options = ["--model", "tiny.en", "--backend", backend, "--device", "cpu", "--word_timestamps", *QUICK]
        done = run("transcribe", folder / "said.wav", *options, "-o", tmp_path / backend)
        assert done.exit_code == 0, done.output
        found[backend] = [
            w for s in contents(tmp_path / backend)["said.json"]["segments"] for w in s["words"]
        ]
    theirs, ours = found["openai"], found["transformers"]
    assert [w["word"] for w in ours] == [w["word"] for w in theirs] != []
    for name in ("start", "end"):
        apart = np.array([a[name] - b[name] for a, b in zip(ours, theirs, strict=True)])
        assert np.abs(apart).max() < 0.25 and np.median(np.abs(apart)) <= 0.1
