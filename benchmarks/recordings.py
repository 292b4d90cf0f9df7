"""Recordings with pauses through a runtime. ``python -m benchmarks.recordings tiny.en manifest.jsonl --runtime faster``

The same recordings, made of the manifest's test clips (`whisper_steer.data.recordings`), go through stock, through
whisper-steer, and through Silero VAD in two ways: its package's spans as ``clip_timestamps``, and faster-whisper's own
``vad_filter``, which joins the chunks of its copy. Batches join what they get in any case, so that there are no
spans of Silero with faster-batched; its stock gets windows of 30 s. Of transformers it is the pipeline, in chunks,
greedy, and Silero's spans are pieces. The figures are those of
`whisper_steer.eval.recordings`; the processor time is that of the whole process from samples to segments, without
making the audio and loading. All else is the runtime's default. MODEL: an official name, a .pt or a folder of
CTranslate2.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import torch
import whisper
from faster_whisper.vad import SpeechTimestampsMap

from benchmarks.common import RATE, steering_for
from whisper_steer import transcribe
from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.load import load
from whisper_steer.data.recordings import STYLES, Script
from whisper_steer.data.splits import stratified
from whisper_steer.errors import ArtifactError
from whisper_steer.eval import conditions, recordings, vads
from whisper_steer.eval.metrics import Output
from whisper_steer.eval.provenance import provenance
from whisper_steer.eval.report import table
from whisper_steer.faster import BatchedInferencePipeline, WhisperModel
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.formats.hf import import_transformers, save_hf
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.results import flat, in_whole_frames
from whisper_steer.runtimes.transformers import wrap
from whisper_steer.steer.steering import Steering

RUNTIMES = ("openai", "faster", "faster-batched", "transformers")
WARM_UP = 20
"""seconds"""
Segments = list[dict[str, Any]]
Run = Callable[[Audio], Segments]
"""Samples -> segments with "start", "end" and "text"."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--runtime", choices=list(RUNTIMES), default="openai")
    parser.add_argument("--styles", default="pauses,no-pauses", help=f"of {', '.join(STYLES)}")
    parser.add_argument("--n", type=int, default=24, help="recordings of each style")
    parser.add_argument("--limit", type=int, default=60, help="clips of each data set to make them of")
    parser.add_argument("--temperatures", choices=["zero", "default"], default="default")
    parser.add_argument(
        "--steering", type=Path, help="an artifact; by default the one that ships for the model"
    )
    parser.add_argument("--language", default="en", help="of the speech")
    parser.add_argument("--compute-type", default="float32", help="of faster-whisper")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.getLogger("faster_whisper").setLevel(logging.ERROR)
    names = conditions.parse([f"recordings:{style}:{options.n}" for style in options.styles.split(",")])
    clips = [clip for clip in load(f"manifest:{options.manifest}") if clip.split == "test"]
    clips = stratified(clips, options.limit, options.seed)
    made = conditions.apply(names, clips, None, options.seed, options.language)
    model = load_model(options.model, "cpu")
    steering = Steering(options.steering) if options.steering else steering_for(model.encoder)
    if steering is None:
        raise ArtifactError(f"no steering ships for {options.model}: give --steering")
    common: dict[str, Any] = {"language": options.language}
    if options.temperatures == "zero":
        common["temperature"] = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        if options.runtime == "openai":
            systems = openai_systems(model, steering, common)
        elif options.runtime == "transformers":
            systems = transformers_systems(model, steering, common, Path(scratch))
        else:
            folder = Path(options.model) if Path(options.model).is_dir() else Path(scratch) / "model"
            if not folder.is_dir():
                save_ct2(model, folder)
            where = {
                "device": "cpu",
                "compute_type": options.compute_type,
                "cpu_threads": torch.get_num_threads(),
            }
            plain = faster_whisper.WhisperModel(str(folder), **where)
            steered = WhisperModel(folder, steering=steering, **where)
            make = faster_systems if options.runtime == "faster" else batched_systems
            systems = make(plain, steered, common)
        print(
            f"{provenance(options.model, model.encoder, steering.artifact, made)}\n{options.runtime}, "
            f"temperatures {options.temperatures}",
            flush=True,
        )
        for style in dict.fromkeys(clip.condition for clip in made):
            print(f"\n{style}\n\n{measured(systems, [c for c in made if c.condition == style])}", flush=True)


def measured(systems: dict[str, Run], clips: list[Clip]) -> str:
    """The table of one style; the systems take turns on each recording, each warmed up on a part of the first."""
    for run in systems.values():
        run(clips[0].samples()[: WARM_UP * RATE])
    found: dict[str, list[recordings.Figures]] = {name: [] for name in systems}
    for clip in clips:
        audio, script = clip.samples(), Script.from_dict(clip.extra)
        for name, run in systems.items():
            torch.manual_seed(0)
            started = time.process_time()
            segments = run(audio)
            cpu = time.process_time() - started
            output = Output("".join(s["text"] for s in segments).strip(), segments, cpu=cpu)
            found[name].append(recordings.figures(script, output, clip.normalizer))
    rows = [recordings.row(name, recordings.pooled(figures)) for name, figures in found.items()]
    return table(recordings.HEADER, rows)


def openai_systems(model: whisper.Whisper, steering: Steering, common: dict[str, Any]) -> dict[str, Run]:
    def stock(audio: Audio, **more: Any) -> Segments:
        return list(whisper.transcribe(model, audio, fp16=False, **common, **more)["segments"])

    def ours(audio: Audio) -> Segments:
        return list(transcribe(model, audio, steering=steering, fp16=False, **common)["segments"])

    def spans(audio: Audio) -> Segments:
        places = vads.seconds_of(vads.silero(audio))
        return (
            stock(audio, clip_timestamps=flat(in_whole_frames(places, len(audio) / RATE))) if places else []
        )

    def joined(audio: Audio) -> Segments:
        chunks = vads.vad_filter(audio)
        if not chunks:
            return []
        times = SpeechTimestampsMap(chunks, RATE)
        found = stock(np.concatenate([audio[chunk["start"] : chunk["end"]] for chunk in chunks]))
        return [{**s, **{edge: times.get_original_time(s[edge]) for edge in ("start", "end")}} for s in found]

    return {"stock": stock, "whisper-steer": ours, "Silero spans": spans, "Silero joined": joined}


def faster_systems(
    plain: faster_whisper.WhisperModel, steered: WhisperModel, common: dict[str, Any]
) -> dict[str, Run]:
    def spans(audio: Audio) -> Segments:
        places = vads.seconds_of(vads.silero(audio))
        if not places:
            return []
        return as_dicts(plain.transcribe(audio, clip_timestamps=flat(places), **common)[0])

    return {
        "stock": lambda audio: as_dicts(plain.transcribe(audio, **common)[0]),
        "whisper-steer": lambda audio: as_dicts(steered.transcribe(audio, **common)[0]),
        "Silero spans": spans,
        "Silero joined": lambda audio: as_dicts(plain.transcribe(audio, vad_filter=True, **common)[0]),
    }


def batched_systems(
    plain: faster_whisper.WhisperModel, steered: WhisperModel, common: dict[str, Any]
) -> dict[str, Run]:
    pipeline = faster_whisper.BatchedInferencePipeline(plain)
    ours = BatchedInferencePipeline(steered)

    def stock(audio: Audio) -> Segments:
        ends = np.arange(0, len(audio) / RATE, 30)
        windows = [{"start": float(at), "end": min(float(at) + 30, len(audio) / RATE)} for at in ends]
        return as_dicts(pipeline.transcribe(audio, clip_timestamps=windows, vad_filter=False, **timed)[0])

    timed = {"without_timestamps": False, **common}
    return {
        "stock": stock,
        "whisper-steer": lambda audio: as_dicts(ours.transcribe(audio, **timed)[0]),
        "Silero joined": lambda audio: as_dicts(pipeline.transcribe(audio, vad_filter=True, **timed)[0]),
    }


def transformers_systems(
    model: whisper.Whisper, steering: Steering, common: dict[str, Any], scratch: Path
) -> dict[str, Run]:
    save_hf(model, scratch / "model")
    generate = common if model.is_multilingual else {}
    pipeline = import_transformers().pipeline(
        "automatic-speech-recognition", str(scratch / "model"), chunk_length_s=30, return_timestamps=True
    )
    steered = wrap(pipeline, steering)

    def stock(audio: Audio, pipe: Any = pipeline) -> Segments:
        seconds = len(audio) / RATE
        chunks = pipe({"raw": audio, "sampling_rate": RATE}, generate_kwargs=generate)["chunks"]
        times = [(chunk["timestamp"], chunk["text"]) for chunk in chunks]
        return [{"start": a, "end": seconds if b is None else b, "text": text} for (a, b), text in times]

    def spans(audio: Audio) -> Segments:
        found: Segments = []
        for start, end in vads.seconds_of(vads.silero(audio)):
            part = stock(audio[round(start * RATE) : round(end * RATE)])
            found += [{**s, "start": s["start"] + start, "end": s["end"] + start} for s in part]
        return found

    return {"stock": stock, "whisper-steer": lambda audio: stock(audio, steered), "Silero spans": spans}


def as_dicts(segments: Iterable[Any]) -> Segments:
    return [{"start": s.start, "end": s.end, "text": s.text} for s in segments]


if __name__ == "__main__":
    main()
