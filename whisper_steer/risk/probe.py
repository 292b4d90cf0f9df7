"""The risk of a segment: ``risk.json`` and ``risk.safetensors`` in an artifact's folder, and how they are read.

A linear probe for each set of things that a runtime can tell of a segment: decoder states with signs (openai-whisper),
signs with stock's scores (faster-whisper), signs alone (transformers). Scaling and Platt's calibration are folded into
the weights, so that a run needs one product and one sigmoid. An artifact works without them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.files.card import damaged, read_json
from whisper_steer.files.disk import write_whole
from whisper_steer.gate.hearing import Hearing
from whisper_steer.risk.signs import SIGNS, signs
from whisper_steer.risk.states import POSITIONS
from whisper_steer.steer.artifact import RISK, RISK_WEIGHTS

SCHEMA = 1


@dataclass(frozen=True)
class Probe:
    """A linear probe on signs, and on decoder states where it has a block."""

    signs: tuple[str, ...]
    weight: Tensor
    """(signs,) or, with decoder states behind them, (signs + state,)"""
    bias: float
    block: int | None = None
    """of the decoder, from 0"""
    position: str | None = None
    """one of `whisper_steer.risk.states.POSITIONS`"""

    def probability(self, numbers: Sequence[float], states: Tensor | None = None) -> float:
        """The risk, 0 to 1. ``states``: (state,) of the probe's block and position, where it has one."""
        row = torch.tensor(list(numbers), dtype=torch.float64)
        if self.block is not None:
            assert states is not None
            row = torch.cat([row, states.double().cpu()])
        logit = float(row @ self.weight.double()) + self.bias
        return 1 / (1 + math.exp(-logit)) if logit > -700 else 0.0


@dataclass
class Risk:
    """The probes of one model."""

    fingerprint: str
    """of the encoder"""
    decoder: list[int]
    """blocks and width of the decoder that states are of"""
    probes: dict[str, Probe]
    """``"states"``, ``"scores"``, ``"heard"``"""
    info: dict[str, Any] = field(default_factory=dict)
    """free: data, command, measured results"""

    def save(self, folder: str | Path) -> None:
        """Write both files into an artifact's folder. Raises `OSError`."""
        folder = Path(folder)
        rows = {k: {f: v for f, v in asdict(p).items() if f != "weight"} for k, p in self.probes.items()}
        content = {
            "schema": SCHEMA,
            "fingerprint": self.fingerprint,
            "decoder": self.decoder,
            "probes": rows,
            **self.info,
        }
        write_whole(
            folder / RISK_WEIGHTS, save({k: p.weight.float().contiguous() for k, p in self.probes.items()})
        )
        write_whole(folder / RISK, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path | None, fingerprints: tuple[str | None, ...]) -> Risk | None:
        """An artifact's, or None where it has none. ``fingerprints``: those of its encoder.

        Raises `ArtifactError` where it is damaged or another encoder's.
        """
        if folder is None or not (Path(folder) / RISK).is_file():
            return None
        folder = Path(folder)
        try:
            content = read_json(folder / RISK)
            if content.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            weights = load_file(folder / RISK_WEIGHTS)
            probes = {
                name: Probe(weight=weights[name], **{**row, "signs": tuple(row["signs"])})
                for name, row in content.pop("probes").items()
            }
            found = cls(content.pop("fingerprint"), list(content.pop("decoder")), probes, content)
            for probe in probes.values():
                _check(probe, found.decoder)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise damaged(folder, error) from error
        if found.fingerprint not in fingerprints:
            raise ArtifactError(
                f"{folder / RISK} is for another encoder; make it again with: whisper-steer lab risk --fit"
            )
        return found

    def reads(self, blocks: int, state: int) -> Probe | None:
        """The probe on decoder states, where the model's decoder is of the shape that it was fitted on."""
        return self.probes.get("states") if [blocks, state] == self.decoder else None

    def of(self, segment: dict[str, Any], hearing: Hearing, states: Tensor | None = None) -> float:
        """The risk of a segment by all that is known of it, rounded to 3 digits; 0 for one without text.

        ``states``: (state,) at the block and position of the probe on states.
        """
        if not segment["text"].strip():
            return 0.0
        scored = segment.get("avg_logprob") is not None
        name = "heard" if not scored else "scores" if states is None else "states"
        probe = self.probes[name]
        return round(probe.probability(signs(segment, hearing, probe.signs), states), 3)


def with_risk(
    segments: Sequence[dict[str, Any]],
    risk: Risk | None,
    hearing: Hearing,
    states: Sequence[Tensor | None] | None = None,
) -> list[dict[str, Any]]:
    """Segments with the field "risk"; as they are where an artifact has none. ``states``: see `Risk.of`."""
    if risk is None:
        return list(segments)
    known = states or [None] * len(segments)
    return [{**s, "risk": risk.of(s, hearing, h)} for s, h in zip(segments, known, strict=True)]


def _check(probe: Probe, decoder: list[int]) -> None:
    width = len(probe.signs) + (decoder[1] if probe.block is not None else 0)
    known = set(probe.signs) <= set(SIGNS) and probe.position in (None, *POSITIONS)
    if not known or probe.weight.shape != (width,) or not bool(probe.weight.isfinite().all()):
        raise ValueError("a probe of the risk does not fit what it reads")
    if not math.isfinite(probe.bias) or (probe.block is not None and not 0 <= probe.block < decoder[0]):
        raise ValueError("a probe of the risk does not fit what it reads")


__all__ = ["Probe", "Risk", "with_risk"]
