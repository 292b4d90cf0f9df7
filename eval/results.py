"""results.json: everything needed to recompute any figure of a run, and the figures."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from whisper_steer.errors import DataError
from whisper_steer.files.card import read_json

from .metrics import Output
from .provenance import provenance
from .runner import Run, unpack, write_json
from .summary import summarise

SCHEMA = 1
RESULTS = "results.json"
PACKAGES = (
    "whisper-steer",
    "openai-whisper",
    "faster-whisper",
    "silero-vad",
    "torch",
    "jiwer",
    "numpy",
    "scipy",
)


def build(run: Run, cost: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The results of a run, as written to disk."""
    clips = [clip.describe() for clip in run.clips]
    broken = [r for r in run.records if "system" not in r]
    failed = Counter(r["system"] for r in run.records if "system" in r and "error" in r)
    artifact = run.session.artifact
    return {
        "schema": SCHEMA,
        "id": run.id,
        "config": asdict(run.config),
        "model": {"fingerprint": run.session.fingerprint, "dims": vars(run.session.model.dims)},
        "artifact": None
        if artifact is None
        else {
            "name": artifact.name,
            "fingerprint": artifact.fingerprint,
            "digest": artifact.digest(),
        },
        "versions": {name: package_version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "provenance": provenance(
            run.config.model, run.session.model.encoder, run.session.artifact, run.clips
        ),
        "systems": [
            {
                "name": s.name,
                "stage": s.stage,
                "about": s.about,
                "base": s.base,
                "fit": describe_fit(run.fits[s.name]),
            }
            for s in run.systems
        ],
        "left_out": run.left_out,
        "unfinished": run.unfinished,
        "broken_files": [{"clip": r["clip"], "error": r["error"]} for r in broken],
        "failures": dict(failed),
        "clips": clips,
        "records": run.records,
        "summary": summarise(clips, outputs_of(run.records), {s.name: s.base for s in run.systems}),
        "cost": cost or [],
    }


def outputs_of(records: list[dict[str, Any]]) -> dict[str, dict[str, Output]]:
    """system -> clip id -> output, records with errors left out."""
    found: dict[str, dict[str, Output]] = {}
    for record in records:
        if "system" in record and "error" not in record:
            found.setdefault(record["system"], {})[record["clip"]] = unpack(record)
    return found


def describe_fit(state: dict[str, Any]) -> dict[str, Any]:
    """A fitted state without its long lists of weights (those lie in the run's ``fits``)."""
    return {k: v for k, v in state.items() if not (isinstance(v, list) and len(v) > 12) and k not in _WEIGHTS}


def write(results: dict[str, Any], out: Path) -> Path:
    write_json(out / RESULTS, results)
    return out / RESULTS


def read(path: Path) -> dict[str, Any]:
    """results.json of any run. Raises `DataError`."""
    path = path / RESULTS if path.is_dir() else path
    try:
        results: dict[str, Any] = read_json(path)
        if results["schema"] != SCHEMA:
            raise DataError(
                f"{path} has schema {results['schema']}, this version reads {SCHEMA}; run it again"
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as results: {error}") from None
    return results


def package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


_WEIGHTS = ("directions", "mean", "weight", "edits", "latents", "gate")
