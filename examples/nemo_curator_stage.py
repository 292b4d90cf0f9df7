"""whisper-steer as a stage of a NeMo Curator pipeline: a manifest in, the same with text, spans, evidence and risk out.

    pip install nemo-curator 'whisper-steer[archive,tiny.en]'
    python examples/nemo_curator_stage.py manifest.jsonl written.jsonl --model tiny.en

Each line of the manifest names a recording (``audio_filepath``) and may name a piece of it (``offset``, ``duration``).
A recording that cannot be read gets ``error`` and no text, so that a later stage can drop it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.audio.common import ManifestReader, ManifestWriterStage
from nemo_curator.stages.base import ProcessingStage
from nemo_curator.stages.resources import Resources
from nemo_curator.tasks import AudioTask

from whisper_steer.archive.sources import Source
from whisper_steer.archive.work import Transcribe, Worker

ADDED = ("text", "language", "spans", "segments", "speech", "evidence", "risk", "error")


def load(model: str) -> Transcribe:
    """In a worker: a model, steered by the artifact that is found for it."""
    import whisper_steer

    loaded = whisper_steer.load_model(model)
    return partial(whisper_steer.transcribe, loaded, fp16=loaded.device.type != "cpu")


@dataclass
class WhisperSteerStage(ProcessingStage[AudioTask, AudioTask]):
    """Transcribes, and writes nothing where nobody speaks. For a GPU: ``stage.with_(resources=Resources(gpus=1))``."""

    model: str = "base"
    name: str = "whisper_steer"
    resources: Resources = field(default_factory=lambda: Resources(cpus=1.0))

    def inputs(self) -> tuple[list[str], list[str]]:
        return [], ["audio_filepath"]

    def outputs(self) -> tuple[list[str], list[str]]:
        return [], list(ADDED)

    def setup(self, worker_metadata: Any = None) -> None:
        self._worker = Worker(partial(load, self.model))

    def process(self, task: AudioTask) -> AudioTask:
        given = task.data
        path = given["audio_filepath"]
        piece = Source(path, "", path, float(given.get("offset") or 0.0), given.get("duration"))
        (row,) = self._worker.rows([piece])
        task.data.update({name: row.get(name) for name in ADDED})
        return task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("written")
    parser.add_argument("--model", default="base")
    given = parser.parse_args()
    stages = [
        ManifestReader(given.manifest),
        WhisperSteerStage(given.model),
        ManifestWriterStage(given.written),
    ]
    Pipeline("whisper-steer", stages=stages).run(RayDataExecutor())


if __name__ == "__main__":
    main()
