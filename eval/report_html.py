"""report.html: one self-contained page. Plots, tables, and every false speech as a row that one can listen to."""

from __future__ import annotations

import base64
import html
import io
import os
import re
from pathlib import Path
from typing import Any

import soundfile

from whisper_steer.data.clips import Clip
from whisper_steer.errors import WhisperSteerError

from . import plots
from .metrics import false_text
from .report import heading, sections
from .results import outputs_of
from .summary import ALL_NONSPEECH, ALL_RECORDINGS, ALL_SPEECH

EMBEDDED_SECONDS = 10.0

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1280px;padding:1.5rem;color:#111827;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:12.5px;font-variant-numeric:tabular-nums}
td,th{padding:.25rem .55rem;border-bottom:1px solid #e5e7eb;text-align:left;vertical-align:top;white-space:nowrap}
td.text{white-space:normal;min-width:16rem}th{background:#f9fafb}tr.ours td{background:#fef2f2}
svg{max-width:100%;height:auto}p.note{color:#4b5563;max-width:60rem}audio{width:220px;height:32px}
summary{cursor:pointer;font-weight:600}.empty{color:#9ca3af}
"""


def page(results: dict[str, Any], clips: list[Clip], out: Path, embed: int) -> str:
    """The page. Audio of the first ``embed`` false speeches is embedded, the rest is linked where it is a file."""
    summary = results["summary"]
    quiet = summary["nonspeech"].get(ALL_NONSPEECH, {})
    spoken = summary["speech"].get(ALL_SPEECH, {})
    figures = [
        plots.tradeoff(results),
        plots.bars("Text on non-speech clips (fsr_text)", {k: v["fsr_text"] for k, v in quiet.items()}),
        plots.bars("Word error rate on speech", {k: v["wer"] for k, v in spoken.items()}),
        plots.bars("Speech clips that come out empty (FRR)", {k: v["frr"] for k, v in spoken.items()}),
    ]
    title, _, intro = heading(results).partition("\n")
    body = [f"<h1>{html.escape(title.lstrip('# '))}</h1>"]
    body += [f"<p class='note'>{code(line)}</p>" for line in intro.splitlines() if line]
    body += [f"<div class='wide'>{svg}</div>" for svg in figures if svg]
    for index, (name, note, header, rows) in enumerate(sections(results)):
        opened = (
            " open"
            if index < 2 or name.endswith((ALL_NONSPEECH, ALL_SPEECH, ALL_RECORDINGS)) or name == "Trade-off"
            else ""
        )
        body.append(
            f"<details{opened}><summary>{html.escape(name)}</summary><p class='note'>{code(note)}</p>"
            f"{table(header, rows)}</details>"
        )
    body.append(false_speech(results, clips, out, embed))
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
        f"content='width=device-width'><title>{html.escape(title.lstrip('# '))}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def code(text: str) -> str:
    """Escaped text with Markdown's backquotes as <code>."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def table(header: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    lines = []
    for row in rows:
        ours = " class='ours'" if row[0].startswith("ours") else ""
        cells = "".join(
            f"<td{' class=text' if len(cell) > 45 else ''}>{html.escape(cell)}</td>" for cell in row
        )
        lines.append(f"<tr{ours}>{cells}</tr>")
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def false_speech(results: dict[str, Any], clips: list[Clip], out: Path, embed: int) -> str:
    """One row for each non-speech clip on which any system wrote text; what each system wrote, grouped by text."""
    outputs = outputs_of(results["records"])
    rows: list[tuple[int, Clip, dict[str, str]]] = []
    for clip in clips:
        if clip.kind != "nonspeech":
            continue
        texts = {name: found[clip.id].text for name, found in outputs.items() if clip.id in found}
        wrote = [name for name, found in outputs.items() if clip.id in found and false_text(found[clip.id])]
        if wrote:
            rows.append((not any(name.startswith("ours") for name in wrote), clip, texts))
    rows.sort(key=lambda row: row[0])
    lines = []
    for i, (_, clip, texts) in enumerate(rows):
        grouped: dict[str, list[str]] = {}
        for name, text in texts.items():
            grouped.setdefault(text.strip(), []).append(name)
        answers = "<br>".join(
            f"<b>{html.escape(', '.join(names))}</b>: "
            + (html.escape(text[:300]) if text else "<span class='empty'>nothing</span>")
            for text, names in grouped.items()
        )
        voice = " (voice class)" if clip.voice else ""
        lines.append(
            f"<tr><td>{player(clip, out, i < embed)}</td><td>{html.escape(clip.id)}<br>{html.escape(clip.label or '')}"
            f"{voice}, {clip.seconds:.1f} s</td><td class='text'>{answers}</td></tr>"
        )
    return (
        f"<h2>Every false speech ({len(rows)} clips)</h2><p class='note'>Clips on which whisper-steer wrote text come "
        f"first. Players hold the first {EMBEDDED_SECONDS:g} s.</p><div class='wide'><table><tbody>"
        f"{''.join(lines)}</tbody></table></div>"
    )


def player(clip: Clip, out: Path, embed: bool) -> str:
    """An audio element with the sound in it, or a link to the file."""
    if embed:
        try:
            samples = clip.samples()[: int(EMBEDDED_SECONDS * 16000)]
        except (WhisperSteerError, OSError):
            return "unreadable"
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, 16000, format="OGG", subtype="VORBIS")
        data = base64.b64encode(buffer.getvalue()).decode()
        return f"<audio controls preload='none' src='data:audio/ogg;base64,{data}'></audio>"
    if clip.path is None:
        return ""
    link = os.path.relpath(clip.path.resolve(), out.resolve())
    return f"<a href='{html.escape(link)}'>listen</a>"
