"""The run: every clip through every system, one JSONL record each, as they come.

`clips.jsonl` is the run: a killed run reads it, drops a half-written last line and does only what is missing or went
wrong. One run at a time has a folder. Two runs of one description differ in nothing but the measured seconds.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from whisper_steer.data.clips import Clip
from whisper_steer.data.load import load
from whisper_steer.data.splits import stratified
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import UsageError, WhisperSteerError
from whisper_steer.files.card import read_json
from whisper_steer.files.disk import write_whole
from whisper_steer.files.lock import alone_in
from whisper_steer.models.load import load_model
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.find import find, resolve

from . import conditions
from .config import RunConfig
from .fits import fit_systems
from .metrics import Output, Window
from .session import Session
from .store import Store
from .systems import System, choose_systems
from .systems.steering import EncoderEdit

RECORDS = "clips.jsonl"
Records = dict[tuple[str, str | None], dict[str, Any]]
"""(clip, system) -> record; system None: the clip could not be read"""


@dataclass
class Run:
    """A finished (or resumed) run."""

    id: str
    config: RunConfig
    session: Session
    clips: list[Clip]
    unfinished: int
    """clips that --minutes left no time for"""
    systems: list[System]
    left_out: dict[str, str]
    """system -> why it could not run"""
    fits: dict[str, Any]
    records: list[dict[str, Any]]


def run(config: RunConfig, out: Path, cache: Path | None = None, minutes: float | None = None) -> Run:
    """Run what ``config`` describes in folder ``out``, or finish it there. Raises the package's errors.

    ``minutes``: stop transcribing then; the run holds the clips that are finished, and can be resumed.
    """
    wanted = choose_systems(config.systems)
    names = conditions.parse(config.conditions)
    data = [clip for spec in config.data for clip in load(spec)]
    model = load_model(config.model)
    clips = select(data, names, config, config.language or (None if model.is_multilingual else "en"))
    artifact = find_artifact(model, config.steering)
    with alone_in(out, "benchmark"):
        store = Store(cache or out / "outputs.sqlite")
        session = Session(model, store, config.decoding(), config.seed, artifact)
        run_id = config.run_id(session.fingerprint, None if artifact is None else artifact.digest())
        claim(out, run_id, config)
        left_out = {cls.name: reason for cls in wanted if (reason := cls.available(session))}
        systems = [cls() for cls in wanted if cls.name not in left_out]
        fits, unfitted = fit_systems(systems, session, data, out / "fits", config.seed)
        systems = [system for system in systems if system.name not in unfitted]
        left_out |= unfitted
        edits = [system for system in systems if isinstance(system, EncoderEdit)]
        for edit in edits:
            edit.mates = edits
        for name, reason in left_out.items():
            click.echo(f"left out: {name} ({reason})", err=True)
        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        finished, records = transcribe_all(session, systems, clips, out / RECORDS, deadline)
        store.close()
        return Run(
            run_id, config, session, finished, len(clips) - len(finished), systems, left_out, fits, records
        )


def select(data: list[Clip], names: list[str], config: RunConfig, language: str | None = None) -> list[Clip]:
    """The clips of the run: the split's clean clips, limited and stratified, and those derived from them.

    ``language``: of the speech in recordings, where not any.
    """
    clean = stratified([clip for clip in data if clip.split == config.split], config.limit, config.seed)
    if not clean:
        raise UsageError(f"the data has no clips in split {config.split!r}")
    derived = conditions.apply(names, clean, config.condition_limit, config.seed, language)
    if config.only_conditions and not derived:
        raise UsageError("--only-conditions leaves nothing to do; name some with --conditions")
    return derived if config.only_conditions else clean + derived


def find_artifact(model: Any, steering: str | None) -> Artifact | None:
    """The named artifact, or the one that ships for the model's encoder; None where there is none."""
    fingerprint = encoder_fingerprint(model.encoder)
    path = resolve(steering) if steering else find(fingerprint)
    if path is None:
        return None
    artifact = Artifact.load(path)
    artifact.check(fingerprint)
    return artifact


def claim(out: Path, run_id: str, config: RunConfig) -> None:
    """Write run.json, or check that the folder holds this very run. Raises `UsageError`."""
    path = out / "run.json"
    if path.is_file():
        try:
            found = read_json(path)["id"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} cannot be read ({error}); choose another --out") from None
        if found != run_id:
            raise UsageError(f"{out} holds another run ({found}, this one is {run_id}); choose another --out")
        return
    write_json(path, {"id": run_id, "config": asdict(config)})


def transcribe_all(
    session: Session, systems: list[System], clips: list[Clip], path: Path, deadline: float | None = None
) -> tuple[list[Clip], list[dict[str, Any]]]:
    """Do what is missing in ``path``, and again what failed; returns the clips that are finished and their records,
    in order."""
    written = read_records(path)
    done = latest(written)

    def complete(clip: Clip, done: Records) -> bool:
        return (clip.id, None) in done or all((clip.id, system.name) in done for system in systems)

    sound = {key: record for key, record in done.items() if "error" not in record}
    missing = [clip for clip in in_turns(clips) if not complete(clip, sound)]
    with path.open("a", encoding="utf-8") as file:
        for clip in tqdm(missing, desc=f"{len(systems)} systems", unit="clip"):
            if deadline is not None and time.monotonic() > deadline:
                break
            for record in transcribe_clip(session, systems, clip, sound):
                file.write(as_line(record))
                file.flush()
                written.append(record)
    done = latest(written)
    if len(done) < len(written):
        write_whole(path, "".join(map(as_line, done.values())))
    finished = [clip for clip in clips if complete(clip, done)]
    keys = [(clip.id, name) for clip in finished for name in (None, *(system.name for system in systems))]
    return finished, [done[key] for key in keys if key in done]


def latest(records: list[dict[str, Any]]) -> Records:
    """The last record for each clip and system; that a clip could not be read no longer counts once it was."""
    found: Records = {}
    for record in records:
        clip, system = record["clip"], record.get("system")
        if system is not None:
            found.pop((clip, None), None)
        found[clip, system] = record
    return found


def in_turns(clips: list[Clip]) -> list[Clip]:
    """One clip of each data set and condition in turn, so that an unfinished run is a balanced one."""
    seen: Counter[tuple[str, bool, str]] = Counter()
    ranks = []
    for clip in clips:
        stratum = (clip.dataset, clip.voice, clip.condition)
        ranks.append(seen[stratum])
        seen[stratum] += 1
    return [clip for _, clip in sorted(zip(ranks, clips, strict=True), key=lambda pair: pair[0])]


def transcribe_clip(session: Session, systems: list[System], clip: Clip, done: Any) -> Any:
    """Records of one clip, one for each system that has none yet; a single one without system if it is broken."""
    try:
        audio = clip.samples()
    except (WhisperSteerError, OSError) as error:
        yield {"clip": clip.id, "error": str(error)}
        return
    for system in systems:
        if (clip.id, system.name) in done:
            continue
        record: dict[str, Any] = {"clip": clip.id, "system": system.name}
        try:
            output = session.timed(partial(system.transcribe, session, audio))
        except (
            Exception
        ) as error:  # one system failing on one clip must not end a run of hours: it is counted apart
            yield record | {"error": f"{type(error).__name__}: {error}"}
            continue
        yield record | pack(output)


def pack(output: Output) -> dict[str, Any]:
    """An `Output` as JSON."""
    return {
        "text": output.text,
        "segments": [
            {**s, "start": round(s["start"], 3), "end": round(s["end"], 3)} for s in output.segments
        ],
        "windows": [
            [round(w.no_speech_prob, 6), round(w.avg_logprob, 5), w.raw_text] for w in output.windows
        ],
        "score": None if output.score is None else round(output.score, 6),
        "seconds": None if output.seconds is None else round(output.seconds, 3),
        "cpu": None if output.cpu is None else round(output.cpu, 4),
    }


def unpack(record: dict[str, Any]) -> Output:
    """The `Output` of a record without error."""
    windows = [Window(*window) for window in record["windows"]]
    times = record["seconds"], record.get("cpu")
    return Output(record["text"], record["segments"], windows, record["score"], *times)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Records so far. A last line cut short by a kill is taken off the file."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [json.loads(line) for line in whole.decode("utf-8").split("\n") if line]


def as_line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    write_whole(path, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
