"""Ungated edits of the encoder, measured in batches: many interventions on the same clips, one decoding each.

The log-mel windows are made once, and the encoder runs up to the first edited hook point once for all interventions
that begin there. A clip is one window of 30 s, decoded greedily (`greedy`) without fallbacks to other temperatures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.data.splits import order_key, select, stratified
from whisper_steer.encoders.prefix import Prefix, run_from, share
from whisper_steer.errors import DataError, UsageError
from whisper_steer.files.disk import write_whole
from whisper_steer.models.hooks import hook_points, hooked

from .greedy import Greedy, Mode, Written

Edit = Callable[[Tensor], Tensor]
"""activations (n, 1500, n_state) float32 -> the same, edited"""
SAMPLE_LEN = {"speech": 120, "nonspeech": 64}
"""most tokens of a window"""
BATCH = {"cuda": 256, "cpu": 8}
CLIPS, ROWS = "clips.jsonl", "rows.jsonl"


@dataclass(frozen=True)
class Intervention:
    """One way to edit, at one strength. ``edits``: (hook point, function), applied in the encoder's order."""

    name: str
    """unique: a run that is continued passes over names it has"""
    edits: list[tuple[str, Edit]] = field(repr=False)
    strength: float = 0.0
    group: str = ""
    """the method: interventions of one group are a line of the plot"""


STOCK = Intervention("stock", [], 0.0, "stock")
"""what the others are compared with; measured in every run"""


def pick(clips: Sequence[Clip], split: str, limit: int, longest: float = 15.0, seed: int = 0) -> list[Clip]:
    """Clips to measure on: at most ``limit`` of each kind, taken from its data sets in turn.

    Non-speech without the classes that hold voices; English speech with a transcript; none over ``longest`` seconds.
    """
    chosen: list[Clip] = []
    for kind in ("nonspeech", "speech"):
        fitting = [
            clip
            for clip in select(list(clips), kind, split)  # type: ignore[arg-type]
            if clip.seconds <= longest and (kind == "nonspeech" or (clip.text and clip.language == "en"))
        ]
        turns: dict[str, list[Clip]] = {}
        for clip in sorted(stratified(fitting, limit, seed), key=lambda clip: order_key(clip, seed)):
            turns.setdefault(clip.dataset, []).append(clip)
        ranked = [(rank, name, clip) for name, found in turns.items() for rank, clip in enumerate(found)]
        ranked.sort(key=lambda turn: turn[:2])
        chosen += [clip for _, _, clip in ranked[:limit]]
    return chosen


class Bench:
    """A model and the clips that interventions are measured on.

    ``half``: run in float16 (CUDA only). ``batch``: windows a pass, by default 256 on CUDA and 8 on a CPU.
    """

    def __init__(
        self, model: Whisper, clips: Sequence[Clip], half: bool = False, batch: int | None = None
    ) -> None:
        if not clips:
            raise DataError("no clips to measure on; check the split and the data")
        self.model, self.clips = model, sorted(clips, key=lambda clip: (clip.kind, clip.seconds))
        self.dtype = torch.float16 if half else torch.float32
        self.batch = batch or BATCH.get(model.device.type, 8)
        weights = {name: weight.half() for name, weight in model.encoder.state_dict().items()} if half else {}
        self.encoder = share(weights, model.dims.n_audio_head) if half else model.encoder
        self.points = hook_points(self.encoder)
        n_mels = model.dims.n_mels
        self.mels = [
            window_mel(clip.samples(), n_mels).to(model.device, self.dtype)
            for clip in tqdm(self.clips, desc="log-mel", unit="clip")
        ]
        self._begun: tuple[str, list[Tensor]] = "", []

    def measure(
        self,
        interventions: Sequence[Intervention],
        out: Path,
        modes: Sequence[Mode] = ("ban-lifted", "stock"),
    ) -> None:
        """Append a row for each clip, intervention and mode to ``rows.jsonl`` in ``out``; what is there stays.

        Raises `UsageError` for two interventions of one name, an unknown hook point and a folder of other clips.
        """
        names = [each.name for each in interventions]
        if twice := {name for name in names if names.count(name) > 1 or name == STOCK.name}:
            raise UsageError(f"more than one intervention is called {', '.join(sorted(twice))}: rename them")
        done = self._done(out)
        decoders = {mode: Greedy(self.model, mode, self.dtype) for mode in modes}
        todo = [STOCK, *sorted(interventions, key=lambda each: self.points.index(self._order(each)[0][0]))]
        with (out / ROWS).open("a", encoding="utf-8") as file:
            for each in tqdm(todo, desc="interventions", unit=""):
                left = {mode: greedy for mode, greedy in decoders.items() if (each.name, mode) not in done}
                if not left:
                    continue
                rows: dict[Mode, list[str]] = {mode: [] for mode in left}
                for clips, features in self._features(each):
                    for mode, greedy in left.items():
                        found = greedy(features, SAMPLE_LEN[clips[0].kind])
                        rows[mode] += [_row(each, mode, *pair) for pair in zip(clips, found, strict=True)]
                for lines in rows.values():
                    file.write("".join(lines))
                file.flush()
        self._begun = "", []

    def _order(self, each: Intervention) -> list[tuple[str, Edit]]:
        """Its edits in the encoder's order. Raises `UsageError`."""
        for point, _ in each.edits:
            if point not in self.points:
                raise UsageError(
                    f"{each.name}: unknown hook point {point!r}; there are {', '.join(self.points)}"
                )
        return sorted(each.edits, key=lambda edit: self.points.index(edit[0])) or [(self.points[0], _same)]

    @torch.no_grad()
    def _features(self, each: Intervention) -> Iterator[tuple[list[Clip], Tensor]]:
        """Batches of clips of one kind with the encoder's output (n, 1500, n_state) under the intervention."""
        edits = self._order(each)
        first = edits[0][0]
        here = [_in_float(edit) for point, edit in edits if point == first]
        later = [(point, _in_float(edit)) for point, edit in edits if point != first]
        for clips, hidden in zip(self._batches(), self._until(first), strict=True):
            h = hidden
            for edit in here:
                h = edit(h)
            with hooked(self.encoder, *later):
                yield clips, run_from(self.encoder, first, h)

    def _batches(self) -> Iterator[list[Clip]]:
        for kind in ("nonspeech", "speech"):
            alike = [clip for clip in self.clips if clip.kind == kind]
            for start in range(0, len(alike), self.batch):
                yield alike[start : start + self.batch]

    def _until(self, point: str) -> list[Tensor]:
        """Activations at a point, (n, 1500, n_state) for each batch; kept until another point is asked for."""
        if self._begun[0] != point:
            self._begun = "", []
            prefix, start, found = Prefix(self.encoder, point), 0, []
            for clips in self._batches():
                found.append(prefix(torch.stack(self.mels[start : start + len(clips)])))
                start += len(clips)
            self._begun = point, found
        return self._begun[1]

    def _done(self, out: Path) -> set[tuple[str, str]]:
        """Names and modes whose rows are complete. Rows of others, from a run that was killed, are removed."""
        out.mkdir(parents=True, exist_ok=True)
        clips = "".join(json.dumps(clip.describe()) + "\n" for clip in self.clips)
        if (out / CLIPS).is_file() and (out / CLIPS).read_text(encoding="utf-8") != clips:
            raise UsageError(f"{out} holds a run on other clips; name another folder")
        write_whole(out / CLIPS, clips)
        if not (out / ROWS).is_file():
            return set()
        lines: dict[tuple[str, str], list[str]] = {}
        for line in (out / ROWS).read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                lines.setdefault((row["intervention"], row["mode"]), []).append(line)
            except ValueError:
                continue
        whole = {key: found for key, found in lines.items() if len(found) == len(self.clips)}
        write_whole(out / ROWS, "".join(line + "\n" for found in whole.values() for line in found))
        return set(whole)


def _in_float(edit: Edit) -> Edit:
    """The edit on float32 activations, its result in the type they had."""
    return lambda hidden: edit(hidden.float()).to(hidden.dtype)


def _same(hidden: Tensor) -> Tensor:
    return hidden


def _row(each: Intervention, mode: Mode, clip: Clip, written: Written) -> str:
    row: dict[str, Any] = {
        "intervention": each.name,
        "group": each.group,
        "strength": each.strength,
        "mode": mode,
        "clip": clip.id,
        "text": written.text,
        "tokens": len(written.tokens),
        "no_speech_prob": written.no_speech_prob,
        "avg_logprob": written.avg_logprob,
        "compression_ratio": written.compression_ratio,
    }
    return json.dumps(row) + "\n"
