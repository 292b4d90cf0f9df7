"""Fit the probes of the risk: on split `fit`, their block, position and strength of regularisation by `choose`.

Labels are those of `whisper_steer.risk.truth`, without the segments between. Calibration is Platt's (1999), on
`choose`. Scaling and calibration are folded into the weights of a `Probe`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from whisper_steer.errors import DataError
from whisper_steer.risk.collect import Collected
from whisper_steer.risk.probe import Probe
from whisper_steer.risk.signs import HEARD, SCORES, SIGNS
from whisper_steer.risk.states import POSITIONS
from whisper_steer.risk.truth import BETWEEN, RIGHT

Numbers = npt.NDArray[np.float64]

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""C of scikit-learn's logistic regression, on numbers of unit variance"""
SETS: dict[str, tuple[str, ...]] = {
    "states": tuple(SIGNS),
    "states alone": (),
    "scores": tuple(SIGNS),
    "heard": HEARD,
    "stock's three scores": SCORES,
    "evidence": ("strongest evidence",),
}
"""which signs a probe reads; those whose names begin with "states" read the decoder as well"""
SHIPPED = ("states", "scores", "heard")


@dataclass(frozen=True)
class Labelled:
    """The segments of a split that are right or wrong. ``rows``: their indices in what was collected."""

    rows: list[int]
    wrong: npt.NDArray[np.int64]

    @classmethod
    def of(cls, collected: Collected, split: str, source: str | None = None) -> Labelled:
        """Raises `DataError` where all are right or all are wrong."""
        rows = [
            i
            for i in collected.of(split, source)  # type: ignore[arg-type]
            if collected.rows[i]["truth"] != BETWEEN
        ]
        wrong = np.array([collected.rows[i]["truth"] != RIGHT for i in rows], dtype=np.int64)
        if len(set(wrong.tolist())) < 2:
            raise DataError(
                f"split {split!r} needs segments that are right and such that are wrong: collect more"
            )
        return cls(rows, wrong)


@dataclass(frozen=True)
class Place:
    """Where in the decoder a probe reads, and how well it tells right from wrong."""

    block: int
    position: str
    strength: float
    auroc: float
    """on `choose`"""
    accuracy: float
    """balanced, on `test`, at the threshold 0.5"""


def numbers_of(
    collected: Collected, rows: Sequence[int], names: tuple[str, ...], block: int | None, position: str | None
) -> Numbers:
    """(rows, signs) or, with a block, (rows, signs + state)."""
    told = np.array([[collected.rows[i]["signs"][name] for name in names] for i in rows]).reshape(
        len(rows), -1
    )
    if block is None or position is None:
        return told
    states = collected.states[list(rows), block, POSITIONS.index(position)].astype(np.float64)
    return np.hstack([told, states])


def places(collected: Collected) -> list[Place]:
    """The residual stream alone, at every block and position, each with the strength that does best on `choose`."""
    fit, choose, test = (Labelled.of(collected, split) for split in ("fit", "choose", "test"))
    found = []
    for block in range(collected.states.shape[1]):
        for position in POSITIONS:
            strength, auroc, probe = _best(collected, fit, choose, (), block, position)
            p = probabilities(probe, numbers_of(collected, test.rows, (), block, position))
            right = [float(((p >= 0.5) == test.wrong)[test.wrong == side].mean()) for side in (0, 1)]
            found.append(Place(block, position, strength, auroc, sum(right) / 2))
    return found


def fit_probes(collected: Collected, best: Place) -> dict[str, Probe]:
    """A calibrated probe of each of `SETS`; those on states read the block and position of ``best``."""
    fit, choose = (Labelled.of(collected, split) for split in ("fit", "choose"))
    return {
        name: _best(collected, fit, choose, names, *_place(name, best))[2] for name, names in SETS.items()
    }


def probabilities(probe: Probe, numbers: Numbers) -> Numbers:
    """(n,) the risk, for numbers (n, width)."""
    logits = numbers @ probe.weight.double().numpy() + probe.bias
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -700, 700))))


def _place(name: str, best: Place) -> tuple[int | None, str | None]:
    return (best.block, best.position) if name.startswith("states") else (None, None)


def _best(
    collected: Collected,
    fit: Labelled,
    choose: Labelled,
    names: tuple[str, ...],
    block: int | None,
    position: str | None,
) -> tuple[float, float, Probe]:
    """The strength with the largest AUROC on `choose`, that AUROC, and the probe."""
    inside = numbers_of(collected, fit.rows, names, block, position)
    outside = numbers_of(collected, choose.rows, names, block, position)
    tried = []
    for strength, weight, bias in _fitted(inside, fit.wrong):
        auroc = float(roc_auc_score(choose.wrong, outside @ weight))
        tried.append((auroc, strength, weight, bias))
    auroc, strength, weight, bias = max(tried, key=lambda each: each[0])
    platt = LogisticRegression(C=1e6).fit((outside @ weight + bias)[:, None], choose.wrong)
    slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    probe = Probe(names, torch.from_numpy(slope * weight), slope * bias + offset, block, position)
    return strength, auroc, probe


def _fitted(numbers: Numbers, wrong: npt.NDArray[np.int64]) -> Iterator[tuple[float, Numbers, float]]:
    """Logistic regressions of every strength: weights and bias on the numbers as they are."""
    mean, scale = numbers.mean(axis=0), numbers.std(axis=0)
    scale[scale < 1e-6] = 1.0
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
        model.fit((numbers - mean) / scale, wrong)
        weight = model.coef_[0] / scale
        yield strength, weight, float(model.intercept_[0] - mean @ weight)


__all__ = ["SETS", "SHIPPED", "Labelled", "Place", "fit_probes", "numbers_of", "places", "probabilities"]
