"""What a run is: one small JSON file or the same keys as options, with a stable id."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from whisper_steer.errors import UsageError
from whisper_steer.files.card import read_json

from .session import STOCK_TEMPERATURES
from .store import digest


@dataclass(frozen=True)
class RunConfig:
    """Everything that shapes the results."""

    model: str = "tiny.en"
    data: list[str] = field(default_factory=lambda: ["synthetic"])
    """KIND:PATH each, see `data`"""
    systems: list[str] = field(default_factory=lambda: ["main"])
    conditions: list[str] = field(default_factory=list)
    limit: int | None = None
    """clips per data set (voice classes counted apart); None takes all"""
    condition_limit: int | None = 20
    """speech clips per data set in each condition, recordings of each style"""
    only_conditions: bool = False
    """leave out the clean clips themselves"""
    seed: int = 0
    temperatures: list[float] = field(default_factory=lambda: list(STOCK_TEMPERATURES))
    """stock's fallback; fewer make a run faster and every system differ from its shipped behaviour"""
    sample_len: int | None = None
    """longest text of a window in tokens; None is stock's 224"""
    without_timestamps: bool = False
    language: str | None = None
    steering: str | None = None
    """an artifact's folder or name; None takes the one that ships for the model"""
    split: str = "test"

    @classmethod
    def from_file(cls, path: Path, **changes: Any) -> RunConfig:
        """Read a JSON object of these keys; ``changes`` win. Raises `UsageError`."""
        try:
            values = read_json(path)
            if not isinstance(values, dict):
                raise ValueError("it holds no object")
            kinds = {f.name: str(f.type) for f in fields(cls)}
            unknown = set(values) - set(kinds)
            for name in set(values) & set(kinds):
                if not _fits(values[name], kinds[name]):
                    raise ValueError(f"{name} is {values[name]!r}, not {kinds[name]}")
        except (OSError, ValueError) as error:
            raise UsageError(f"{path} cannot be read as a run file: {error}") from None
        if unknown:
            raise UsageError(f"{path} has unknown keys: {', '.join(sorted(unknown))}")
        return cls(**{**values, **changes})

    def run_id(self, model: str, steering: str | None) -> str:
        """12 hex digits; the same for the same description, model weights and artifact."""
        return digest(asdict(self) | {"model": model, "steering": steering})[:12]

    def decoding(self) -> dict[str, Any]:
        """Options of `whisper.transcribe` that all systems share."""
        options: dict[str, Any] = {"temperature": tuple(self.temperatures)}
        if self.sample_len is not None:
            options["sample_len"] = self.sample_len
        if self.without_timestamps:
            options["without_timestamps"] = True
        if self.language is not None:
            options["language"] = self.language
        return options


def _fits(value: Any, kind: str) -> bool:
    """Whether a value of JSON is of the type that a field is annotated with."""
    if value is None:
        return kind.endswith("| None")
    kind = kind.removesuffix(" | None")
    if kind.startswith("list["):
        return isinstance(value, list) and all(_fits(each, kind[5:-1]) for each in value)
    wanted: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
    }
    return type(value) in wanted[kind]
