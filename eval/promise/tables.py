"""The tables of docs/promises.md, from recorded evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from whisper_steer.eval import intervals
from whisper_steer.gate.strata import CLEAN, FAR, LANGUAGE, NOISY, ONE_WORD, Utterance, names
from whisper_steer.gate.verdict import judge

from .record import Recorded
from .simulate import WAYS, Realised, Windows, elsewhere, simulate, thresholds_of, windows_of

PROMISES = (0.01, 0.02, 0.05)
MANY = 4
"""windows from which on a speaker is among the few with many"""
HOME = "en"

Rows = list[list[str]]


def table(header: Sequence[str], rows: Rows) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [list(header), ["---"] * len(header), *rows])


def strata(recorded: Sequence[Recorded], divisions: int) -> str:
    """Each stratum by itself, calibrated in each of `WAYS`."""
    spoken = [r.utterance for r in recorded]
    return _ways(spoken, names(each.strata for each in spoken), divisions)


def few_with_many(recorded: Sequence[Recorded], divisions: int) -> str:
    """The same among the speakers of whom there are many windows: where counting windows misleads most."""
    count: dict[str, set[str]] = {}
    for r in recorded:
        count.setdefault(r.utterance.speaker, set()).add(r.clip)
    spoken = [r.utterance for r in recorded if len(count[r.utterance.speaker]) >= MANY]
    return _ways(spoken, [CLEAN, ONE_WORD, NOISY, FAR], divisions)


def _ways(spoken: list[Utterance], strata: list[str], divisions: int) -> str:
    everything = windows_of(spoken, thresholds_of(spoken))
    recorded = np.array([not {NOISY, FAR} & set(each.strata) for each in spoken])
    rows = []
    for name in strata:
        inside = np.array([name in each.strata for each in spoken])
        speakers = len(np.unique(everything.speaker[inside]))
        if speakers < 2:
            continue
        simulated = simulate(everything, inside, recorded, PROMISES, divisions)
        for promise, found in zip(PROMISES, simulated, strict=True):
            rows.append(
                [name, str(speakers), str(int(inside.sum())), f"{promise:.0%}"]
                + [_told(found[way], promise) for way in WAYS]
            )
    return table(["stratum", "speakers", "windows", "promise", *WAYS], rows).replace("%", " %")


def languages(recorded: Sequence[Recorded], divisions: int) -> str:
    """Calibrated on English alone, looked at in every other language there is, in each condition."""
    spoken_in = {
        r.clip: name.removeprefix(f"{LANGUAGE} ")
        for r in recorded
        for name in r.utterance.strata
        if name.startswith(LANGUAGE)
    }
    there = [HOME, *sorted(set(spoken_in.values()) - {HOME})]
    rows = []
    for condition, within in (("as recorded", (CLEAN, ONE_WORD)), (NOISY, (NOISY,)), (FAR, (FAR,))):
        chosen = [r for r in recorded if set(within) & set(r.utterance.strata)]
        thresholds = thresholds_of([r.utterance for r in chosen])
        parts = [_part(chosen, spoken_in, language, thresholds) for language in there]
        simulated = elsewhere(parts[0], parts[1:], PROMISES, divisions)
        for promise, found in zip(PROMISES, simulated, strict=True):
            rows.append([condition, f"{promise:.0%}"] + [_told(each, promise) for each in found])
        counts = [
            f"{len(part.speaker)} windows, {len(set(part.speaker.tolist()))} speakers" for part in parts
        ]
        rows.append([condition, "", *counts])
    return table(["condition", "promise", *there], rows).replace("%", " %")


def _part(
    chosen: list[Recorded], spoken_in: dict[str, str], language: str, thresholds: npt.NDArray[np.float32]
) -> Windows:
    return windows_of([r.utterance for r in chosen if spoken_in.get(r.clip) == language], thresholds)


def in_use(recorded: Sequence[Recorded], threshold: float, promise: float) -> str:
    """What a threshold leaves out: the mean over speakers, and what their losses say of promises."""
    spoken = [r.utterance for r in recorded]
    rows = []
    for name in names(each.strata for each in spoken):
        by_speaker: dict[str, list[float]] = {}
        for each in spoken:
            if name in each.strata:
                by_speaker.setdefault(each.speaker, []).append(each.loss(threshold))
        means = [float(np.mean(losses)) for losses in by_speaker.values()]
        sums = np.array([[mean, 1.0] for mean in means])
        estimate = intervals.bootstrap(sums, intervals.ratio())
        # The mean of a speaker's windows is a loss within 0 and 1 of that speaker: one number of each.
        told = [judge(means, each).answer for each in (promise, *PROMISES)]
        shown = f"{estimate.value:.2%}"
        if np.isfinite(estimate.low):
            shown += f" [{estimate.low:.2%}, {estimate.high:.2%}]"
        rows.append([name, str(len(means)), shown, f"{judge(means, promise).at_most:.2%}", *told])
    header = ["stratum", "speakers", "left out", "at most"]
    header += [f"promise {each:.1%}" for each in (promise, *PROMISES)]
    return table(header, rows).replace("%", " %")


def _told(found: Realised | None, promise: float) -> str:
    """``1.20% [1.10%, 1.30%]``, in bold where the promise is broken; a dash where it could not be made."""
    if found is None:
        return "refused: too few"
    text = f"{found.mean:.2%} [{max(0.0, found.low):.2%}, {found.high:.2%}]"
    return f"**{text}**" if found.low > promise else text


def page(about: dict[str, Any], recorded: Sequence[Recorded], divisions: int) -> str:
    """All tables of one model."""
    speakers = len({r.utterance.speaker for r in recorded})
    return "\n\n".join(
        [
            f"{about['model']}: {len(recorded)} windows of {speakers} speakers; {divisions} divisions",
            "Left out of the next speaker's speech, calibrated in four ways",
            strata(recorded, divisions),
            f"The same among the speakers with {MANY} clips or more",
            few_with_many(recorded, divisions),
            "Calibrated on English, one window a speaker",
            languages(recorded, divisions),
            f"At the threshold in use, {about['threshold']:.2f}",
            in_use(recorded, about["threshold"], about["promise"]),
        ]
    )
