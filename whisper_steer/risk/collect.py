"""Collect segments with their signs, decoder states and truth: what the risk is fitted and tested on.

Every clip is transcribed twice: by stock, greedily with all its thresholds off, and by the gated product as users run
it. Both go through the code of `whisper_steer.transcribe`, so that what is fitted is what is read at run time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
from tqdm import tqdm
from whisper.audio import N_SAMPLES
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.gate.hearing import Hearing
from whisper_steer.risk.prepared import Heard, Prepared, first_windows
from whisper_steer.risk.signs import SIGNS, signs
from whisper_steer.risk.states import POSITIONS, Watch
from whisper_steer.risk.truth import truths
from whisper_steer.runtimes.openai import decode_heard, stock_loop
from whisper_steer.runtimes.remember import Remembering
from whisper_steer.steer.steering import Steering

ROWS, STATES, ABOUT = "rows.jsonl", "states.f16", "about.json"
RAW: dict[str, Any] = {
    "temperature": 0.0,
    "compression_ratio_threshold": None,
    "logprob_threshold": None,
    "no_speech_threshold": None,
    "condition_on_previous_text": False,
    "language": "en",
}
"""stock's options with nothing that drops or retries"""
KEPT = ("id", "kind", "split", "group", "dataset", "condition")
"""of a clip"""
Source = Literal["stock", "gated"]


@dataclass
class Collected:
    """Segments of a folder. ``rows``: their fields; ``states``: (segments, blocks, positions, state), memory-mapped."""

    rows: list[dict[str, Any]]
    states: npt.NDArray[np.float16]
    clips: int
    """clips that were transcribed, with or without text"""
    artifact: str
    """fingerprint of the encoder that wrote them"""

    def of(self, split: str, source: Source | None = None) -> list[int]:
        """Indices of the segments of a split, and of what was written by stock or by the gated product."""
        return [
            i
            for i, row in enumerate(self.rows)
            if row["split"] == split and (source is None or source in row["sources"])
        ]


def collect(model: Whisper, steering: Steering, clips: Sequence[Clip], folder: Path) -> None:
    """Transcribe the clips that are not in ``folder`` yet, one line of ``rows.jsonl`` each. May be interrupted."""
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "shape": [model.dims.n_text_layer, len(POSITIONS), model.dims.n_text_state],
        "artifact": steering.artifact.fingerprint,
    }
    if (folder / ABOUT).is_file() and json.loads((folder / ABOUT).read_text(encoding="utf-8")) != about:
        raise DataError(f"{folder} holds segments of another model: take another folder")
    (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
    size = 2 * int(np.prod(about["shape"]))
    done = _lines(folder)
    with (folder / STATES).open("ab") as states, (folder / ROWS).open("a", encoding="utf-8") as rows:
        states.truncate(size * sum(len(line["segments"]) for line in done))
        seen = {line["id"] for line in done}
        for heard in tqdm(
            first_windows(model, steering, [c for c in clips if c.id not in seen]), unit="clip"
        ):
            segments = _segments(model, steering, heard, states)
            states.flush()
            fields = {k: getattr(heard.clip, k) for k in KEPT}
            rows.write(json.dumps({**fields, "segments": segments}) + "\n")
            rows.flush()


def collected(folder: Path) -> Collected:
    """What `collect` has left there so far. Raises `DataError` where that is nothing."""
    lines = _lines(folder)
    rows = [
        {**{k: v for k, v in line.items() if k != "segments"}, **segment}
        for line in lines
        for segment in line["segments"]
    ]
    if not rows:
        raise DataError(f"no segments in {folder}: collect some first")
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    shape = about["shape"]
    found = np.memmap(folder / STATES, dtype="<f2", mode="r", shape=(len(rows), *shape))
    return Collected(rows, found, len(lines), about["artifact"])


def _lines(folder: Path) -> list[dict[str, Any]]:
    if not (folder / ROWS).is_file():
        return []
    text = (folder / ROWS).read_text(encoding="utf-8")
    if text and not text.endswith("\n"):  # interrupted while it wrote a line
        text = text[: text.rfind("\n") + 1]
        (folder / ROWS).write_text(text, encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _segments(model: Whisper, steering: Steering, heard: Heard, states: BinaryIO) -> list[dict[str, Any]]:
    """Rows of what both wrote on a clip; where the two are the same, once. Their states are written."""
    clip, samples, hearing = heard.clip, heard.samples, heard.hearing
    blocks = range(model.dims.n_text_layer)
    watch = Watch(model, blocks)
    short = len(samples) <= N_SAMPLES
    stock = Prepared(model, heard, watch)
    found = stock_loop(stock, samples, **RAW)["segments"]
    stock.finish()
    # A window that passes all thresholds is left as it is by the product too.
    same = hearing.whole and short and all(map(_passes, found))
    sources = ["stock", "gated"] if same else ["stock"]
    rows = _rows(clip, found, hearing, watch, sources, states)
    if same or not hearing.spans:
        return rows
    watch = Watch(model, blocks)
    gated = Remembering(model, None, not hearing.whole, mend_loops=True, watch=watch)
    options = {"temperature": (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), "language": "en"}
    found = decode_heard(gated, samples, steering, hearing, options)["segments"]
    gated.finish()
    return rows + _rows(clip, found, hearing, watch, ["gated"], states)


def _passes(segment: dict[str, Any]) -> bool:
    return bool(segment["compression_ratio"] <= 2.4 and segment["avg_logprob"] >= -1)


def _rows(
    clip: Clip,
    segments: Sequence[dict[str, Any]],
    hearing: Hearing,
    watch: Watch,
    sources: Iterable[str],
    states: BinaryIO,
) -> list[dict[str, Any]]:
    rows = []
    for segment, truth, pooled in zip(segments, truths(clip, segments), watch.pooled(segments), strict=True):
        if truth is None or pooled is None:
            continue
        states.write(pooled.cpu().numpy().astype("<f2").tobytes())
        kept = {k: segment[k] for k in ("start", "end", "text", "temperature")}
        numbers = dict(zip(SIGNS, signs(segment, hearing, tuple(SIGNS)), strict=True))
        rows.append(
            {**kept, "signs": numbers, **asdict(truth), "truth": truth.kind, "sources": list(sources)}
        )
        del rows[-1]["kind"]
    return rows


__all__ = ["Collected", "Source", "collect", "collected"]
