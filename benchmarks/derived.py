"""Tables of the docs that are worked out of stored outputs, so that none of their figures is typed.

python -m benchmarks.derived   # writes benchmarks/results/derived.md; a part of make results
"""

from __future__ import annotations

import json
import re

from benchmarks.tables import RESULTS, ROOT, Spec, cells, stored
from whisper_steer.eval.report import table
from whisper_steer.files.disk import write_whole

MODELS = ("tiny.en", "base")
STOCK, SILERO, JOINED, OURS = "stock", "silero-spans", "vad-cut", "ours-skip"
FASTER = {STOCK: "stock", OURS: "whisper-steer", SILERO: "Silero spans"}
SYSTEMS = (STOCK, SILERO, JOINED, OURS)
THREAD_HOUR = 0.05
"""USD, assumed"""

Row = dict[str, str]
"""header -> cell"""


def rows_of(spec: str) -> list[Row]:
    """A stored table, as the docs' markers name it."""
    header, _, *rows = [cells(line) for line in stored(Spec.read(spec)).splitlines()]
    return [dict(zip(header, row, strict=True)) for row in rows]


def read(spec: str) -> dict[str, Row]:
    """The same by the first cell of each row."""
    return {next(iter(row.values())): row for row in rows_of(spec)}


def number(cell: str) -> float:
    """The first number of a cell."""
    return float(re.findall(r"[-+]?\d+\.?\d*", cell)[0])


def minutes(file: str, n: int) -> float:
    """Minutes of the recordings of the table ``n`` of a run's report, from the line above it."""
    text = (RESULTS / file).read_text(encoding="utf-8")
    titles = re.findall(r"^## Recordings: .*\n\n\d+ recordings, ([\d.]+) minutes", text, re.MULTILINE)
    return float(titles[n - 1])


def headline() -> str:
    """README's table."""
    pauses = read("recordings-tiny.en.md 2")
    quarter = "check-gate-tiny.en-quarter.md"
    other = read(rf"{quarter} 0; rows: ^\| nonspeech \| all \| as recorded")["nonspeech"]
    rows = [
        [
            "words written in pauses, per minute",
            *(f"{number(pauses[s]['words in pauses per minute']):.2f}" for s in SYSTEMS),
        ],
        ["WER there", *(f"{number(pauses[s]['WER']):.1f} %" for s in SYSTEMS)],
        ["processor seconds", *(f"{number(pauses[s]['CPU s']):.0f}" for s in SYSTEMS)],
        [
            f"clips without speech in which speech is heard (of {other['n']})",
            "",
            f"{number(other['Silero VAD']):.1f} %",
            "",
            f"{number(other['gate']):.1f} %",
        ],
    ]
    lost = rows_of(rf"{quarter} 1; rows: ^\| digits")
    tried = sum(number(row["n"]) for row in lost)
    counts = [
        sum(number(row[f"lost by {who}"]) * number(row["n"]) / 100 for row in lost)
        for who in ("Silero VAD", "gate")
    ]
    theirs, ours = (f"{n:.0f}" for n in counts)
    rows.append([f"single digits lost, in six hard conditions (of {tried:.0f})", "", theirs, "", ours])
    header = ["", "stock", "Silero's spans", "Silero's chunks joined", "whisper-steer"]
    return table(header, [[*row[:4], f"**{row[4]}**"] for row in rows])


def speed() -> list[list[str]]:
    """Hours of audio that a thread does in an hour: model and backend, recordings, stock, listening."""
    rows = []
    for model in MODELS:
        for n, what in ((2, "pauses"), (3, "somebody speaks throughout")):
            file = f"recordings-{model}.md"
            found, length = read(f"{file} {n}"), minutes(file, n)
            hours = [f"{60 * length / number(found[s]['CPU s']):.1f}" for s in (STOCK, OURS)]
            rows.append([f"{model}, openai, greedy", f"{what}, {length:g} min", *hours])
    for model in MODELS:
        for runtime in ("faster", "faster-batched"):
            found = read(f"recordings-{model}-{runtime}.md 0")
            hours = [f"{1 / number(found[FASTER[s]]['real-time factor']):.1f}" for s in (STOCK, OURS)]
            name = f"{model}, {'faster' if runtime == 'faster' else 'faster in batches'}, beams of 5"
            rows.append([name, "pauses", *hours])
    return rows


def costs(rows: list[list[str]]) -> str:
    """What a thousand and a million hours take, from `speed`."""
    found = []
    for name, recordings, *hours in rows:
        if "greedy" not in name:
            continue
        stock, ours = (1000 / float(h) for h in hours)
        found.append(
            [
                f"{name.split(',')[0]}, {'much pause' if recordings.startswith('pauses') else 'speech throughout'}",
                f"{ours:.0f} (stock {stock:.0f})",
                f"{ours * THREAD_HOUR:.1f} ({stock * THREAD_HOUR:.1f})",
                f"{ours:.0f} h",
            ]
        )
    return table(
        ["", "thread-hours for 1,000 h", "USD for 1,000 h", "a million hours on 1,000 threads"], found
    )


def strengths() -> str:
    """What each edit leaves at each strength, from the cards of what ships."""
    rows = []
    for model in MODELS:
        card = json.loads((ROOT / "steering_vectors" / model / "card.json").read_text(encoding="utf-8"))
        for edit, by_strength in card["left_by_strength"].items():
            left = [
                f"{100 * each['text']:g} + {100 * each['kept']:g}" + (f" (a = {a})" if float(a) else "")
                for a, each in by_strength.items()
            ]
            rows.append([model, edit, ", ".join(left)])
    return table(["model", "edit", "with text + kept, by strength"], rows)


def text() -> str:
    """All of them."""
    rows = speed()
    parts = {
        "README": headline(),
        "Hours of audio an hour": table(["model, backend", "recordings", "stock", "with listening"], rows),
        "Costs": costs(rows),
        "Strengths": strengths(),
    }
    return "\n\n".join(f"## {title}\n\n{part}" for title, part in parts.items()) + "\n"


if __name__ == "__main__":
    write_whole(RESULTS / "derived.md", text())
