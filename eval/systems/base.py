"""What a system is: a class with a name and a stage, and hooks into openai-whisper's own `transcribe`.

Override one of: ``options`` (stock's own), ``transcribe`` (change the audio, or the text), ``encode`` (change the
features), ``editing`` (change the decoder while it runs), ``decode`` (decide per window). See README.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult

from whisper_steer.data.clips import Audio
from whisper_steer.errors import UsageError

from ..fits import Bank
from ..metrics import Output
from ..probes import lifted
from ..session import Session

STAGES = ("stock", "audio", "encoder", "decoder", "gate", "text")


class System:
    """Stock Whisper: the base of every system."""

    name: ClassVar[str]
    stage: ClassVar[str]
    """where it acts: one of STAGES"""
    about: ClassVar[str] = ""
    """one line for the report, with its source"""
    base: ClassVar[str] = "stock"
    """the system it equals where it does not act"""
    options: ClassVar[dict[str, Any]] = {}
    """options of `whisper.transcribe` that differ from the run's"""
    lift_ban: ClassVar[bool] = False
    """let end-of-text come first, which stock forbids"""
    uses_artifact: ClassVar[bool] = False
    """whether what it learns depends on the model's steering artifact"""
    edits: str = ""
    """names how `editing` changes the decoder, for the store; "" where it does not"""

    def fit(self, bank: Bank) -> dict[str, Any]:
        """Learn from the `fit` split and choose on the `choose` split; returns a state of JSON values."""
        return {}

    def load(self, session: Session, state: dict[str, Any]) -> None:
        """Take up what `fit` returned, before any clip is transcribed."""

    def transcribe(self, session: Session, audio: Audio) -> Output:
        """What it writes for samples (n,) at 16 kHz."""
        return session.transcribe(self, audio)

    def encode(self, session: Session, mel: Tensor) -> Tensor:
        """Features (1500, state) of a log-mel window (mels, 3000)."""
        return session.encode(mel)

    @contextmanager
    def editing(self, session: Session) -> Iterator[None]:
        """Change the decoder while a window is decoded."""
        yield

    def decode(self, session: Session, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """One window, at one temperature."""
        if self.lift_ban:
            options = lifted(options)
        return session.decode(self.encode(session, mel), options, self.edits, self.editing(session))

    @classmethod
    def available(cls, session: Session) -> str | None:
        """Why it cannot run here (a missing artifact, say); None where it can."""
        return None

    @classmethod
    def at(cls, strength: float) -> type[System]:
        """The same at a strength of the user's, where it has one: what ``NAME@STRENGTH`` stands for."""
        raise UsageError(f"system {cls.name!r} has no strength; leave out @{strength:g}")


class Gate(System):
    """Decides per window, by a threshold on its evidence of speech, whether stock decodes it at all."""

    stage = "gate"
    threshold: float = 0.0

    def evidence(self, session: Session, mel: Tensor) -> float:
        """Larger where speech is likelier."""
        raise NotImplementedError

    def learn(self, bank: Bank) -> dict[str, Any]:
        """What `evidence` needs to know, from the `fit` split."""
        return {}

    def fit(self, bank: Bank) -> dict[str, Any]:
        state = self.learn(bank)
        self.load(bank.session, {**state, "threshold": 0.0})
        return state | bank.threshold(lambda mel: self.evidence(bank.session, mel))

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.threshold = state["threshold"]

    def decode(self, session: Session, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        evidence = self.evidence(session, mel)
        session.note(evidence)
        if evidence < self.threshold:
            return session.silent(session.encode(mel), options)
        return super().decode(session, mel, options)


SYSTEMS: dict[str, type[System]] = {}
MAIN = ("stock", "ban-lifted", "energy-gate", "no-speech-prob", "vad-cut", "ours-skip", "ours-steer")
"""the systems of a quick run"""
RECORDINGS = (
    "stock", "hallucination-threshold", "silero-spans", "vad-cut", "firered-spans", "firered-cut", "ours-skip",
    "ours-steer",
)  # fmt: skip
"""those that are compared on recordings with pauses"""


def register(system: type[System]) -> type[System]:
    """Class decorator: make a system known under its name."""
    if system.stage not in STAGES:
        raise UsageError(
            f"system {system.name!r} has stage {system.stage!r}; choose one of {', '.join(STAGES)}"
        )
    SYSTEMS[system.name] = system
    return system


def choose_systems(names: list[str]) -> list[type[System]]:
    """Classes by name, stock first; "main" stands for `MAIN`, "recordings" for `RECORDINGS`, "all" for every one,
    ``NAME@STRENGTH`` for an edit at a strength of the user's. Raises `UsageError` listing them."""
    groups = {"all": list(SYSTEMS), "main": list(MAIN), "recordings": list(RECORDINGS)}
    wanted = [system for name in names for system in groups.get(name, [name])]
    return [_named(name) for name in dict.fromkeys(["stock", *wanted])]


def _named(name: str) -> type[System]:
    known, at, strength = name.partition("@")
    if known not in SYSTEMS:
        raise UsageError(f"unknown system {known!r}; choose from main, recordings, all, {', '.join(SYSTEMS)}")
    try:
        return SYSTEMS[known].at(float(strength)) if at else SYSTEMS[known]
    except ValueError:
        raise UsageError(f"{name!r}: write a number behind the @, such as {known}@0.5") from None


Evidence = Callable[[Tensor], float]
