"""What baselines learn from, the same for all: windows of the `fit` and `choose` splits of the run's own data.

Every threshold is chosen on `choose` by one rule, the one whisper-steer itself uses: the highest that keeps the promise
that at most 0.5 % of speech is suppressed (split conformal risk control), lowered to halfway between that and the
non-speech below it. States are kept on disk, so a resumed run fits nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.data.splits import order_key, stratified
from whisper_steer.errors import DataError, WhisperSteerError
from whisper_steer.files.disk import write_whole
from whisper_steer.gate.conformal import choose_threshold, loss_curve, smallest_promise

from .probes import text_margin
from .session import Session
from .store import digest

PROMISE = 0.005
LIMITS = {
    ("fit", "speech"): 8,
    ("fit", "nonspeech"): 8,
    ("choose", "speech"): 52,
    ("choose", "nonspeech"): 15,
}
"""windows per data set; more of choose speech, since a promise of 0.5 % needs 199 of them"""
STRENGTH_WINDOWS = 20
"""speech windows, and as many of non-speech, on which strengths of edits are compared"""


class Learns(Protocol):
    """What fitting needs of a system."""

    @property
    def name(self) -> str: ...

    @property
    def uses_artifact(self) -> bool:
        """Whether what it learns depends on the model's steering artifact."""

    def fit(self, bank: Bank) -> dict[str, Any]:
        """Learn from the `fit` split and choose on the `choose` split; returns a state of JSON values."""

    def load(self, session: Session, state: dict[str, Any]) -> None:
        """Take up what `fit` returned."""


class Bank:
    """First windows (mels, 3000) of the clips that baselines are fitted on, padded as by `whisper.transcribe`."""

    def __init__(self, session: Session, clips: list[Clip], seed: int = 0) -> None:
        self.session = session
        usable = [clip for clip in clips if not clip.voice and clip.condition == "clean"]
        self.clips = {
            (split, kind): sorted(
                stratified([c for c in usable if c.split == split and c.kind == kind], limit, seed),
                key=lambda clip: order_key(clip, seed),
            )
            for (split, kind), limit in LIMITS.items()
        }
        self.states: dict[str, dict[str, Any]] = {}
        """what systems have learned so far, by name"""
        self._mels: dict[tuple[str, str], list[Tensor]] = {}
        self._unedited: list[bool] | None = None
        session.encodings.most += sum(map(len, self.clips.values()))

    def mels(self, split: str, kind: str) -> list[Tensor]:
        """Log-mel windows of a split; files that cannot be read are left out."""
        if (split, kind) not in self._mels:
            if not self.clips[split, kind]:
                raise DataError(
                    f"the data has no {kind} clips in split {split!r}, which the chosen systems need to be fitted; "
                    "add some, or leave those systems out"
                )
            self._mels[split, kind] = [
                mel for clip in self.clips[split, kind] if (mel := self._mel(clip)) is not None
            ]
        return self._mels[split, kind]

    def features(self, split: str, kind: str) -> list[Tensor]:
        """The encoder's own features (1500, state) of each window."""
        return [self.session.encode(mel) for mel in self.mels(split, kind)]

    def _mel(self, clip: Clip) -> Tensor | None:
        try:
            audio = clip.samples()
        except WhisperSteerError:
            return None
        return window_mel(audio, self.session.model.dims.n_mels)

    def learned(self, system: Learns) -> dict[str, Any]:
        """The state of a system that another builds on; fitted once."""
        if system.name not in self.states:
            self.states[system.name] = system.fit(self)
        return self.states[system.name]

    def key(self, system: Learns) -> str:
        """Under which the store keeps the system's state: everything that shapes it."""
        session, artifact = self.session, self.session.artifact
        ids = [[clip.id for clip in clips] for clips in self.clips.values()]
        steering = None if artifact is None or not system.uses_artifact else artifact.digest()
        return digest("fit", system.name, session.fingerprint, ids, session.options, session.seed, steering)

    def threshold(self, evidence: Callable[[Tensor], float]) -> dict[str, Any]:
        """A threshold on speech evidence, chosen on `choose`; with what it suppresses and leaks there."""
        speech = torch.tensor([evidence(mel) for mel in self.mels("choose", "speech")])
        other = torch.tensor([evidence(mel) for mel in self.mels("choose", "nonspeech")])
        return threshold_for(speech, other)

    def strength(
        self,
        candidates: list[float],
        features: Callable[[float, Tensor], Tensor] | None = None,
        editing: Callable[[float], AbstractContextManager[None]] | None = None,
    ) -> dict[str, Any]:
        """The strength of an edit: of those that empty no more `choose` speech than promised, the one that leaves
        text on the least non-speech. Whether a window gets text is read off one decoder step."""

        def emptied(kind: str, strength: float | None) -> list[bool]:
            mels = self.mels("choose", kind)[:STRENGTH_WINDOWS]
            edited = [
                self.session.encode(mel) if features is None or strength is None else features(strength, mel)
                for mel in mels
            ]
            context = None if editing is None or strength is None else editing(strength)
            return [margin <= 0 for margin in text_margin(self.session, edited, context)]

        if self._unedited is None:
            self._unedited = emptied("speech", None)
        before = self._unedited
        tried = []
        for strength in candidates:
            after = emptied("speech", strength)
            lost = sum(new and not old for new, old in zip(after, before, strict=True)) / len(before)
            silent = emptied("nonspeech", strength)
            tried.append(
                {"strength": strength, "emptied_speech": lost, "text": 1 - sum(silent) / len(silent)}
            )
        promise = max(PROMISE, smallest_promise(len(before)))
        kept = [t for t in tried if t["emptied_speech"] <= promise] or [
            min(tried, key=lambda t: t["emptied_speech"])
        ]
        return {"strength": min(kept, key=lambda t: t["text"])["strength"], "tried": tried}


def threshold_for(speech: Tensor, other: Tensor) -> dict[str, Any]:
    """`whisper_steer.gate.conformal.choose_threshold`, with the smallest promise that so many windows can carry.

    A window of speech is an utterance of one step: it is left out whole or not at all.
    """
    promise = max(PROMISE, smallest_promise(len(speech)))
    curve = loss_curve([np.array([evidence], np.float32) for evidence in speech.tolist()])
    threshold = choose_threshold(curve, len(speech), other, promise)
    return {
        "threshold": threshold,
        "promise": promise,
        "chosen_on": {
            "speech_windows": len(speech),
            "nonspeech_windows": len(other),
            "suppressed_speech": float((speech < threshold).float().mean()),
            "leaked_nonspeech": float((other >= threshold).float().mean()),
        },
    }


def fit_systems(
    systems: Sequence[Learns], session: Session, clips: list[Clip], folder: Path, seed: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Fit what needs fitting, or read its state from ``folder``: name -> state, and name -> why it has none.

    A system is left out where the data cannot fit it, for instance without speech.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bank = Bank(session, clips, seed)
    states: dict[str, Any] = {}
    unfitted: dict[str, str] = {}
    for system in tqdm(systems, desc="fitting", unit="system"):
        path, key = folder / f"{system.name}.json", bank.key(system)
        try:
            state = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else session.store.get(key)
            state = bank.states[system.name] = bank.learned(system) if state is None else state
        except DataError as error:
            unfitted[system.name] = str(error)
            continue
        session.store.put(key, state)
        write_whole(path, json.dumps(state))
        system.load(session, state)
        states[system.name] = state
    session.encodings.forget()
    return states, unfitted
