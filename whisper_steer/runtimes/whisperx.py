"""whisperX on what the gate hears: ``pipeline = load_model("base", "cpu")``, then all as with ``whisperx.load_model``.

whisperX cuts a recording by a voice activity detector, pyannote's or Silero's, and decodes the pieces in batches by its
own code, so that a steered `transcribe` would never be asked. Here the gate is that detector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from whisperx.asr import FasterWhisperPipeline
from whisperx.asr import WhisperModel as StockModel
from whisperx.asr import load_model as stock_load_model
from whisperx.diarize import Segment
from whisperx.vads import Vad

from whisper_steer.errors import UsageError
from whisper_steer.runtimes.faster import WhisperModel
from whisper_steer.steer.steering import Steering


class SteeredModel(WhisperModel, StockModel):  # type: ignore[misc]
    """whisperX's model, with what listens beside it."""


class GateVad(Vad):  # type: ignore[misc]
    """The gate as a detector of whisperX. ``chunk_size``: seconds; longer speech is cut where evidence is weakest."""

    def __init__(self, model: WhisperModel, chunk_size: float = 30.0) -> None:
        super().__init__(vad_onset=0.5)  # of no account: the threshold is the artifact's
        self.model = model
        self.chunk_size = chunk_size

    def __call__(self, audio: dict[str, Any], **_: Any) -> list[Segment]:
        """Where somebody speaks in ``audio["waveform"]``, samples (n,) float32 at 16 kHz."""
        assert self.model.steering is not None
        hearing = self.model.steering.listen(self.model.prefix, torch.as_tensor(audio["waveform"]))
        return [Segment(start, end, "UNKNOWN") for start, end in hearing.chunks(self.chunk_size)]

    @staticmethod
    def preprocess_audio(audio: Any) -> Any:
        return audio

    @staticmethod
    def merge_chunks(
        segments: list[Segment], chunk_size: float, onset: float, offset: float | None
    ) -> list[dict[str, Any]]:
        """whisperX's own joining of pieces to windows; it fails where there are none."""
        return Vad.merge_chunks(segments, chunk_size, onset, offset) if segments else []


def load_model(
    whisper_arch: str | Path,
    device: str,
    *,
    steering: Steering | str | Path = "auto",
    max_suppressed_speech: float | None = None,
    compute_type: str = "default",
    vad_options: dict[str, Any] | None = None,
    **options: Any,
) -> FasterWhisperPipeline:
    """`whisperx.load_model` whose pieces are the gate's. All other options are whisperX's.

    ``whisper_arch``: as for `whisper_steer.faster.WhisperModel`. ``vad_options``: ``chunk_size`` alone counts.
    Raises as `whisper_steer.faster.WhisperModel` does.
    """
    name = str(whisper_arch)
    model = SteeredModel(
        name,
        device=device,
        device_index=options.get("device_index", 0),
        compute_type=compute_type,
        cpu_threads=options.get("threads", 4),
        download_root=options.get("download_root"),
        local_files_only=options.get("local_files_only", False),
        steering=steering,
        max_suppressed_speech=max_suppressed_speech,
    )
    if model.steering is None:
        raise UsageError("whisperX without steering is whisperx.load_model")
    vad = GateVad(model, (vad_options or {}).get("chunk_size", 30.0))
    return stock_load_model(
        name,
        device,
        compute_type=compute_type,
        vad_options=vad_options,
        model=model,
        vad_model=vad,
        **options,
    )


__all__ = ["GateVad", "SteeredModel", "load_model"]
