"""Records -> figures with intervals, per system and per set of clips, and paired with stock.

Sets: every data set, its voice classes apart; all non-speech (no voice); all speech; each language; single words; each
condition; all recordings and each style.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from whisper_steer.data.normalize import normalize
from whisper_steer.data.recordings import Script
from whisper_steer.guard.loops import is_loop

from . import intervals, metrics
from .metrics import C_WEIGHTS, Output
from .recordings import figures, pooled

ALL_NONSPEECH, ALL_VOICE, ALL_SPEECH = "all non-speech", "all voice classes", "all speech"
SINGLE_WORDS, ALL_RECORDINGS = "single words", "all recordings"
LENGTHS = ((0.0, 2.0), (2.0, 5.0), (5.0, 10.0), (10.0, float("inf")))
TOP_STRINGS = 5
CURVE_POINTS = 60
BASELINE = "stock"

Clips = list[dict[str, Any]]
Outputs = dict[str, dict[str, Output]]
"""system -> clip id -> output"""


def summarise(clips: Clips, outputs: Outputs, bases: dict[str, str]) -> dict[str, Any]:
    """``nonspeech``, ``speech``, ``recording``: set -> system -> figures; ``tradeoff``: system -> F, D, C_k, curve."""
    sets = clip_sets(clips)
    summary: dict[str, Any] = {"nonspeech": {}, "speech": {}, "recording": {}}
    for (kind, name), members in sets.items():
        table = {
            "nonspeech": nonspeech_figures, "speech": speech_figures, "recording": recording_figures
        }[kind]  # fmt: skip
        summary[kind][name] = {
            system: table(here, found, outputs.get(BASELINE, {}))
            for system, found in outputs.items()
            if (here := [clip for clip in members if clip["id"] in found])
        }
    quiet = sets.get(("nonspeech", ALL_NONSPEECH), [])
    spoken = sets.get(("speech", ALL_SPEECH), [])
    summary["tradeoff"] = {
        system: tradeoff(found, quiet, spoken, outputs.get(bases.get(system, BASELINE), {}))
        for system, found in outputs.items()
    }
    return summary


def clip_sets(clips: Clips) -> dict[tuple[str, str], Clips]:
    """(kind, set name) -> clips, in the order in which the report shows them."""
    sets: dict[tuple[str, str], Clips] = {}
    for clip in clips:
        kind, name = clip["kind"], clip["dataset"]
        if kind == "nonspeech":
            pooled = ALL_VOICE if clip["voice"] else ALL_NONSPEECH
            names = [pooled, f"{name} (voice)" if clip["voice"] else name]
        elif kind == "recording":
            names = [ALL_RECORDINGS, clip["condition"]]
        elif clip["condition"] != "clean":
            names = [f"all speech, {clip['condition']}"]
        else:
            single = clip["text"] and len(normalize(clip["text"], clip["normalizer"]).split()) == 1
            spoken = [f"language {clip['language']}"] if clip.get("language") else []
            names = [ALL_SPEECH, *spoken, *([SINGLE_WORDS] if single else []), name]
        for each in names:
            sets.setdefault((kind, each), []).append(clip)
    return sets


def nonspeech_figures(clips: Clips, found: dict[str, Output], stock: dict[str, Output]) -> dict[str, Any]:
    """Figures of a set of non-speech clips, all with an output."""
    here = [found[clip["id"]] for clip in clips]
    text = [metrics.false_text(output) for output in here]
    words = [metrics.invented_words(output) for output in here]
    minutes = [clip["seconds"] / 60 for clip in clips]
    groups = [clip["group"] for clip in clips]
    strings = Counter(normalize(output.text) for output, false in zip(here, text, strict=True) if false)
    return {
        "clips": len(clips),
        "minutes": round(sum(minutes), 3),
        "fsr_text": share(text),
        "fsr_score": share([metrics.false_score(output) for output in here]),
        "fsr_raw": share([metrics.false_raw(output) for output in here]),
        "F": boot(groups, words, minutes),
        "loops": share([is_loop(output.text) for output in here]),
        "by_length": {
            f"{low:g}-{high:g} s": share(
                [t for t, c in zip(text, clips, strict=True) if low <= c["seconds"] < high]
            )
            for low, high in LENGTHS
        },
        "strings": [[shorten(string), n] for string, n in strings.most_common(TOP_STRINGS)],
        "against_stock": paired_shares(clips, found, stock, lambda output, _: metrics.false_text(output)),
    }


def speech_figures(clips: Clips, found: dict[str, Output], stock: dict[str, Output]) -> dict[str, Any]:
    """Figures of a set of speech clips. WER, S, D, I and D per minute on clips with a reliable transcript."""
    rows = [(c, found[c["id"]]) for c in clips]
    counted = [
        (c, o, counts)
        for c, o in rows
        if c["text"] and (counts := metrics.word_counts(c["text"], o.text, c["normalizer"]))
    ]
    groups = [c["group"] for c, _, _ in counted]
    words = [n.words for _, _, n in counted]
    minutes = [c["seconds"] / 60 for c, _, _ in counted]
    paired = [(c, n, base) for c, _, n in counted if (base := stock.get(c["id"])) is not None]
    base_errors = [metrics.word_counts(c["text"], base.text, c["normalizer"]) for c, _, base in paired]
    same = [metrics.same_tokens(o.tokens, stock[c["id"]].tokens) for c, o in rows if c["id"] in stock]
    return {
        "clips": len(clips),
        "with_transcript": len(counted),
        "rate": "CER" if counted and all(c["normalizer"] == "characters" for c, _, _ in counted) else "WER",
        "words": sum(words),
        "wer": boot(groups, [n.errors for _, _, n in counted], words),
        "substitutions": sum(n.substitutions for _, _, n in counted),
        "deletions": sum(n.deletions for _, _, n in counted),
        "insertions": sum(n.insertions for _, _, n in counted),
        "frr": share([not metrics.has_text(o.text, c["normalizer"]) for c, o in rows]),
        "D": boot(groups, [n.deletions for _, _, n in counted], minutes),
        "identical": share(same),
        "loops": share([is_loop(o.text) for _, o in rows]),
        "wer_against_stock": intervals.paired_difference(
            [c["group"] for c, _, _ in paired],
            [n.errors for _, n, _ in paired],
            [b.errors if b else 0 for b in base_errors],
            [n.words for _, n, _ in paired],
        ).to_dict(),
        "against_stock": paired_shares(
            clips, found, stock, lambda o, norm: not metrics.has_text(o.text, norm)
        ),
    }


def recording_figures(clips: Clips, found: dict[str, Output], _: dict[str, Output]) -> dict[str, Any]:
    """Figures of a set of recordings with pauses, see `whisper_steer.eval.recordings`."""
    return pooled([figures(Script.from_dict(c["extra"]), found[c["id"]], c["normalizer"]) for c in clips])


def tradeoff(
    found: dict[str, Output], quiet: Clips, spoken: Clips, base: dict[str, Output]
) -> dict[str, Any]:
    """F and D pooled, C_k, and the curve of F against D as the threshold moves (systems with scores, <= 30 s)."""
    quiet = [c for c in quiet if c["id"] in found]
    spoken = [c for c in spoken if c["id"] in found and c["text"] and c["normalizer"] != "characters"]
    if not quiet or not spoken:
        return {}
    counts = [metrics.word_counts(c["text"], found[c["id"]].text, c["normalizer"]) for c in spoken]
    invented = [metrics.invented_words(found[c["id"]]) for c in quiet]
    deleted = [n.deletions if n else 0 for n in counts]
    parts = [
        (sums([c["group"] for c in part], words, [c["seconds"] / 60 for c in part]), intervals.ratio(0, 1))
        for part, words in ((quiet, invented), (spoken, deleted))
    ]
    return {
        "F": intervals.bootstrap(*parts[0]).to_dict(),
        "D": intervals.bootstrap(*parts[1]).to_dict(),
        "C": {f"{k:g}": intervals.sum_of(parts, [1.0, k]).to_dict() for k in C_WEIGHTS},
        "curve": curve(found, quiet, spoken, base),
    }


def curve(
    found: dict[str, Output], quiet: Clips, spoken: Clips, base: dict[str, Output]
) -> list[list[float]]:
    """[threshold, F, D] had the threshold been another: below it a clip is empty, else as the base system has it."""
    quiet = [c for c in quiet if c["id"] in base and c["seconds"] <= 30]
    spoken = [c for c in spoken if c["id"] in base and c["seconds"] <= 30]
    scores = [found[c["id"]].score for c in quiet + spoken]
    if not quiet or not spoken or any(score is None for score in scores):
        return []
    evidence = np.array(scores, dtype=float)
    words = np.array([metrics.invented_words(base[c["id"]]) for c in quiet])
    counts = [metrics.word_counts(c["text"], base[c["id"]].text, c["normalizer"]) for c in spoken]
    length = np.array([n.words if n else 0 for n in counts])
    deleted = np.array([n.deletions if n else 0 for n in counts])
    minutes = [sum(c["seconds"] for c in part) / 60 for part in (quiet, spoken)]
    thresholds = np.unique(np.quantile(evidence, np.linspace(0, 1, CURVE_POINTS)))
    points = []
    for threshold in thresholds:
        kept, heard = evidence[: len(quiet)] >= threshold, evidence[len(quiet) :] >= threshold
        invented = float(words[kept].sum()) / minutes[0]
        lost = float(np.where(heard, deleted, length).sum()) / minutes[1]
        points.append([round(float(threshold), 5), round(invented, 4), round(lost, 4)])
    return points


def paired_shares(
    clips: Clips, found: dict[str, Output], stock: dict[str, Output], outcome: Any
) -> dict[str, Any]:
    """McNemar against stock on the clips that both have."""
    both = [c for c in clips if c["id"] in stock]
    ours = [outcome(found[c["id"]], c["normalizer"]) for c in both]
    theirs = [outcome(stock[c["id"]], c["normalizer"]) for c in both]
    return {"clips": len(both), **intervals.mcnemar(ours, theirs)}


def share(values: list[bool]) -> dict[str, Any]:
    return intervals.wilson(sum(values), len(values)).to_dict()


def sums(groups: list[str], above: Any, below: Any) -> intervals.Array:
    return intervals.group_sums(groups, [above, below])


def boot(groups: list[str], above: Any, below: Any) -> dict[str, Any]:
    return intervals.bootstrap(sums(groups, above, below), intervals.ratio(0, 1)).to_dict()


def shorten(text: str, length: int = 48) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
