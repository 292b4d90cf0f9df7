"""If these fail, the probes that ship are not those that scikit-learn fitted, or read another place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import run
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whisper_steer.errors import DataError
from whisper_steer.risk.collect import ABOUT, ROWS, STATES, Collected, collected
from whisper_steer.risk.fit import STRENGTHS, Labelled, fit_probes, numbers_of, places, probabilities
from whisper_steer.risk.probe import Risk
from whisper_steer.risk.scores import auroc, average_precision, calibration_error, estimate, reliability
from whisper_steer.risk.signs import SCORES, SIGNS

BLOCKS, POSITIONS, STATE = 2, 4, 6
N = 90


def write(folder: Path) -> None:
    """Segments of made-up clips: block 1 at the position "last" tells, and the signs do a little."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    (folder / ABOUT).write_text(json.dumps({"shape": [BLOCKS, POSITIONS, STATE], "artifact": "sha256:x"}))
    states = rng.standard_normal((3 * N, BLOCKS, POSITIONS, STATE))
    lines = []
    for i in range(3 * N):
        wrong = bool(rng.integers(2))
        states[i, 1, 2, 0] += 3 * wrong
        signs = {name: float(rng.standard_normal() + wrong) for name in SIGNS}
        segment = {
            "start": 0.0, "end": 1.0, "text": "x", "temperature": 0.0, "signs": signs, "words": 3, "hits": 0,
            "insertions": 0, "truth": "loop" if wrong else "right",
            "sources": ["stock", "gated"] if i % 2 else ["stock"],
        }  # fmt: skip
        split = ("fit", "choose", "test")[i // N]
        about = {"id": str(i), "kind": "speech", "split": split, "group": f"g{i // 3}", "dataset": "d"}
        lines.append(json.dumps({**about, "condition": "clean", "segments": [segment]}))
    (folder / ROWS).write_text("\n".join(lines) + "\n")
    (folder / STATES).write_bytes(states.astype("<f2").tobytes())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    folder = tmp_path_factory.mktemp("risk") / "segments"
    write(folder)
    return collected(folder)


def test_the_place_that_tells_is_found(found: Collected) -> None:
    best = max(places(found), key=lambda place: place.auroc)
    assert (best.block, best.position) == (1, "last") and best.accuracy > 0.85


def test_probabilities_are_those_of_scikit_learn(found: Collected) -> None:
    """Scaling, regression and Platt's calibration as three objects of scikit-learn, against the folded weights."""
    best = max(places(found), key=lambda place: place.auroc)
    probe = fit_probes(found, best)["stock's three scores"]
    fit, choose, test = (Labelled.of(found, split) for split in ("fit", "choose", "test"))
    inside, outside, unseen = (
        numbers_of(found, each.rows, SCORES, None, None) for each in (fit, choose, test)
    )
    wanted: dict[float, Any] = {}
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced"))
        model.fit(inside, fit.wrong)
        score = float(roc_auc_score(choose.wrong, model.decision_function(outside)))
        platt = LogisticRegression(C=1e6).fit(model.decision_function(outside)[:, None], choose.wrong)
        wanted.setdefault(score, platt.predict_proba(model.decision_function(unseen)[:, None])[:, 1])
    np.testing.assert_allclose(probabilities(probe, unseen), wanted[max(wanted)], atol=1e-4)
    one = probe.probability(unseen[0].tolist())
    assert one == pytest.approx(probabilities(probe, unseen)[0], abs=1e-9)


def test_a_split_of_one_kind_is_refused(found: Collected) -> None:
    right = [row for row in found.rows if row["truth"] == "right"]
    with pytest.raises(DataError, match="collect more"):
        Labelled.of(Collected(right, found.states, 1, ""), "fit")


def test_scores_on_numbers_that_are_known() -> None:
    wrong = np.array([0, 0, 1, 1])
    sure = np.array([0.0, 0.0, 1.0, 1.0])
    once = np.ones((1, 4))
    assert calibration_error(wrong, sure, once).tolist() == [0]
    assert calibration_error(wrong, 1 - sure, once).tolist() == [1]
    found = estimate(auroc, wrong, sure, ["a", "b", "c", "d"])
    assert (found.value, found.low, found.high, found.n) == (1, 1, 1, 4)
    assert reliability(wrong, sure, 2) == [(0.0, 0, 2), (1.0, 2, 2)]


def test_scores_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    wrong, risk = rng.integers(2, size=60), rng.integers(9, size=60) / 9
    weight = rng.integers(4, size=(5, 60)).astype(float)
    pairs = ((auroc, roc_auc_score), (average_precision, average_precision_score))
    for ours, theirs in pairs:
        wanted = [theirs(wrong, risk, sample_weight=row) for row in weight]
        np.testing.assert_allclose(ours(wrong, risk, weight), wanted)


def test_the_command(tmp_path: Path) -> None:
    write(tmp_path / "work")
    (tmp_path / "card.json").write_text('{"name": "x"}')
    folders = [
        "--work",
        tmp_path / "work",
        "--test-on",
        tmp_path / "work",
        "--fit",
        tmp_path,
        "--out",
        tmp_path,
    ]
    told = run("lab", "risk", "tiny.en", "--data", "none:none", "--clips", "0", *folders)
    assert told.exit_code == 0, told.output
    assert all(word in told.output for word in ("blocks.1", "93.4 %", "avg_logprob"))
    for name in ("risk-segments", "risk-places", "risk-tested", "risk-elsewhere"):
        assert (tmp_path / f"{name}.md").is_file() and (tmp_path / f"{name}.json").is_file()
    assert (tmp_path / "risk-tested.svg").read_text().startswith("<svg")
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["name"] == "x" and card["risk"]["segments"] == {"fit": N, "choose": N, "test": N}
    risk = Risk.load(tmp_path, ("sha256:x",))
    assert risk is not None and set(risk.probes) == {"states", "scores", "heard"}
