"""report.md: the figures of a run as tables, each with its interval."""

from __future__ import annotations

from typing import Any

from .metrics import C_WEIGHTS
from .recordings import HEADER, row
from .summary import ALL_NONSPEECH, ALL_SPEECH, BASELINE

Row = dict[str, Any]
Section = tuple[str, str, list[str], list[list[str]]]
"""title, note, header, rows"""


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    parts = [heading(results)]
    parts += [
        f"## {title}\n\n{note}\n\n{table(header, rows)}" for title, note, header, rows in sections(results)
    ]
    return "\n\n".join(parts) + "\n"


def heading(results: dict[str, Any]) -> str:
    """What was run, and what to know before reading on."""
    config = results["config"]
    files = results["broken_files"]
    lines = [
        f"# Benchmark {results['id']}",
        "",
        results["provenance"],
        "",
        f"Clips of split `{config['split']}`, limit {config['limit'] or 'none'} per data set; "
        f"seed {config['seed']}; temperatures {', '.join(f'{t:g}' for t in config['temperatures'])}; "
        f"{'no timestamps' if config['without_timestamps'] else 'timestamps'}"
        + (f"; at most {config['sample_len']} tokens a window" if config["sample_len"] else "")
        + ".",
        "Brackets are 95 % intervals: Wilson for shares; bootstrap over speakers or recordings for F, D, C, WER.",
        f"Files that could not be read, left out of every figure: {len(files)}.",
    ]
    if results["unfinished"]:
        lines.append(
            f"**Unfinished: {results['unfinished']} clips are still to do; the same command goes on.**"
        )
    lines += [f"- `{each['clip']}`: {each['error']}" for each in files[:20]]
    lines += [f"Failures of {name}: {n} clips." for name, n in results["failures"].items()]
    lines += [f"Left out: {name} ({reason})." for name, reason in results["left_out"].items()]
    return "\n".join(lines)


def sections(results: dict[str, Any]) -> list[Section]:
    """Every table."""
    summary = results["summary"]
    found = [
        (
            "Systems",
            "`base`: what a system equals where it does not act.",
            ["system", "stage", "base", "what it is", "chosen"],
            [[s["name"], s["stage"], s["base"], s["about"], chosen(s["fit"])] for s in results["systems"]],
        )
    ]
    for name, table_ in summary["nonspeech"].items():
        first = next(iter(table_.values()), None)
        if first:
            note = f"{first['clips']} clips, {first['minutes']:.1f} minutes. p: McNemar against stock on fsr_text."
            found.append(
                (f"Non-speech: {name}", note, NONSPEECH_HEADER, [nonspeech(s, r) for s, r in table_.items()])
            )
    for name, table_ in summary["speech"].items():
        first = next(iter(table_.values()), None)
        if first:
            note = f"{first['clips']} clips, {first['with_transcript']} with a transcript of {first['words']} words."
            found.append((f"Speech: {name}", note, SPEECH_HEADER, [speech(s, r) for s, r in table_.items()]))
    if any(summary["tradeoff"].values()):
        found.append(
            (
                "Trade-off",
                "F: words invented per minute of non-speech; D: words deleted per minute of speech; C_k = F + k D.",
                ["system", "F", "D", *(f"C_{k:g}" for k in C_WEIGHTS)],
                [
                    [name, ci(row["F"]), ci(row["D"]), *(ci(row["C"][f"{k:g}"]) for k in C_WEIGHTS)]
                    for name, row in summary["tradeoff"].items()
                    if row
                ],
            )
        )
    found += recordings(results)
    if results["cost"]:
        found.append(
            (
                "Cost",
                "Seconds per second of audio, median [quartiles]; share of that time inside the encoder.",
                ["system", "audio", "runs", "real-time factor", "encoder"],
                [
                    [c["system"], c["kind"], str(c["runs"]),
                     f"{c['rtf']:.3f} [{c['rtf_quartiles'][0]:.3f}, {c['rtf_quartiles'][1]:.3f}]",
                     f"{100 * c['encoder_share']:.0f}%"]
                    for c in results["cost"]
                ],
            )
        )  # fmt: skip
    return found


def recordings(results: dict[str, Any]) -> list[Section]:
    """The tables of recordings with pauses: each style, and all of them."""
    timed = not results["config"]["without_timestamps"]
    found = []
    for name, rows in results["summary"]["recording"].items():
        first = next(iter(rows.values()), None)
        if first:
            sums = first["sums"]
            note = (
                f"{first['recordings']} recordings, {sums['minutes']:.1f} minutes, {sums['pause_minutes']:.1f} of them "
                f"pauses, {sums['words']:.0f} words. By bootstrap over recordings; figures as in `recordings.py`; "
                "real-time factor: processor time for each second."
            )
            lines = [row(system, pool, timed) for system, pool in rows.items()]
            found.append((f"Recordings: {name}", note, HEADER, lines))
    return found


NONSPEECH_HEADER = ["system", "fsr_text", "p", "fsr_score", "fsr_raw", "F", "loops", "most frequent"]
SPEECH_HEADER = [
    "system",
    "WER/CER",
    "difference to stock",
    "S / D / I",
    "FRR",
    "D",
    "identical to stock",
    "loops",
]


def nonspeech(system: str, row: Row) -> list[str]:
    strings = "; ".join(f"“{text}” {n}" for text, n in row["strings"][:3])
    p = "" if system == BASELINE else pvalue(row["against_stock"])
    return [
        system, ci(row["fsr_text"], 100, "%"), p, ci(row["fsr_score"], 100, "%"), ci(row["fsr_raw"], 100, "%"),
        ci(row["F"]), ci(row["loops"], 100, "%"), strings,
    ]  # fmt: skip


def speech(system: str, row: Row) -> list[str]:
    difference = "" if system == BASELINE else ci(row["wer_against_stock"], 100, "", "+")
    return [
        system, ci(row["wer"], 100, "%"), difference,
        f"{row['substitutions']} / {row['deletions']} / {row['insertions']}" if row["words"] else "",
        ci(row["frr"], 100, "%"), ci(row["D"]), ci(row["identical"], 100, "%"), ci(row["loops"], 100, "%"),
    ]  # fmt: skip


def ci(estimate: Row, scale: float = 1.0, unit: str = "", sign: str = "") -> str:
    """``12.3% [10.1, 14.6]``; empty where there is no figure."""
    if estimate["value"] is None:
        return ""
    value, low, high = (
        None if estimate[k] is None else estimate[k] * scale for k in ("value", "low", "high")
    )
    interval = "" if low is None or high is None else f" [{low:{sign}.2f}, {high:{sign}.2f}]"
    return f"{value:{sign}.2f}{unit}{interval}"


def pvalue(test: Row) -> str:
    return f"{test['p']:.2g}" if test["clips"] else ""


def chosen(fit: Row) -> str:
    """The threshold or strength a system chose."""
    if "threshold" in fit:
        return f"threshold {fit['threshold']:.3g}"
    if "strength" in fit:
        return f"strength {fit['strength']:g}"
    if "heads" in fit:
        return "heads " + ", ".join(f"{block}.{head}" for block, head in fit["heads"])
    return f"{len(fit['phrases'])} phrases" if "phrases" in fit else ""


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def headline(results: dict[str, Any]) -> str:
    """For the terminal: fsr_text, WER and FRR of every system, and the tables of recordings."""
    quiet = results["summary"]["nonspeech"].get(ALL_NONSPEECH, {})
    spoken = results["summary"]["speech"].get(ALL_SPEECH, {})
    parts = []
    if quiet or spoken:
        lines = [f"{'system':28}{'text on non-speech':>26}{'WER':>26}{'speech emptied':>24}"]
        for system in dict.fromkeys([*quiet, *spoken]):
            left = ci(quiet[system]["fsr_text"], 100, "%") if system in quiet else ""
            wer, frr = (
                ci(spoken[system][key], 100, "%") if system in spoken else "" for key in ("wer", "frr")
            )
            lines.append(f"{system:28}{left:>26}{wer:>26}{frr:>24}")
        parts.append("\n".join(lines))
    parts += [
        f"{title}\n{note}\n\n{table(header, rows)}" for title, note, header, rows in recordings(results)
    ]
    return "\n\n".join(parts)
