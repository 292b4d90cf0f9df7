"""The sample of the manifest that SAEs of three seeds learn from: `fit` clips by data set, and those of `choose`.

    python -m benchmarks.laboratory_sample manifest.jsonl > sample.jsonl

Single digits and short prompts, which fill a window with padding each, are taken sparingly. Classes of non-speech that
hold voices are left out.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

FIT = {
    "librispeech-train-clean-100": 140, "ljspeech": 120, "picovoice-barista": 55, "picovoice-wake-words": 60,
    "asterisk-en": 80, "free-spoken-digit": 60, "esc50": 80, "urbansound8k": 260, "ambient": 49, "background": 4,
    "game-opensurge": 54, "instruments": 160,
}  # fmt: skip
"""clips of split ``fit``"""
NOT_HELD_OUT = ("free-spoken-digit", "asterisk-es")


def sample(manifest: Path) -> list[str]:
    """Lines of a manifest, with absolute paths."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if not row.get("voice")]
    chosen = []
    for name, n in FIT.items():
        found = [row for row in rows if row["split"] == "fit" and row["dataset"] == name]
        random.Random(name).shuffle(found)
        chosen += found[:n]
    chosen += [row for row in rows if row["split"] == "choose" and row["dataset"] not in NOT_HELD_OUT]
    folder = manifest.absolute().parent
    return [json.dumps({**row, "path": str(folder / row["path"])}) for row in chosen]


if __name__ == "__main__":
    print("\n".join(sample(Path(sys.argv[1]))))
