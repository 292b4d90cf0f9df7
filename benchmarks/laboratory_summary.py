"""The tables of docs/laboratory.md that put several runs of the laboratory side by side, from what the runs stored.

python -m benchmarks.laboratory_summary   # writes benchmarks/results/laboratory/summary.md; a part of make results
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.tables import cells
from whisper_steer.eval.report import table
from whisper_steer.files.disk import write_whole
from whisper_steer.lab.stability import by_point

FOLDER = Path(__file__).parent / "results" / "laboratory"
MODELS = ("tiny.en", "base")
COUNTS = ("frames > 0.2", "frames > 0.1", "frames > 0.04", "clips > 0.5", "clips > 0.3")
CONTROLS = {
    "trained": ("0/ln_post", "seed-0", "ln_post"),
    "soft-frozen": ("0/soft-frozen-ln_post", "seed-0", "soft-frozen-ln_post"),
    "frozen decoder": ("0/frozen-decoder-ln_post", "seed-0", "frozen-decoder-ln_post"),
    "frozen encoder": ("0/frozen-encoder-ln_post", "seed-0", "frozen-encoder-ln_post"),
    "permuted model": ("permuted/ln_post", "", ""),
    "another seed": ("1/ln_post", "seed-1", "ln_post"),
}
"""name -> (as the measures call it, its training, its name there)"""


def values(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "json" / f"{name}.json").read_text(encoding="utf-8"))[
        "values"
    ]
    return found


def printed(name: str) -> Iterator[list[str]]:
    """The rows of a stored output."""
    for line in (FOLDER / f"{name}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield cells(line)


def interval(value: dict[str, float], factor: float = 1.0, digits: int = 2, unit: str = "") -> str:
    low, high = (f"{factor * value[k]:.{digits}f}" for k in ("low", "high"))
    return f"{factor * value['value']:.{digits}f}{unit} [{low}, {high}]"


def saes(model: str) -> str:
    """Long trainings beside short ones of three seeds."""
    log = json.loads((FOLDER.parent / f"saelog-{model}.json").read_text(encoding="utf-8"))
    losses = {row[0].split(" ")[0]: row for row in printed(f"{model}-loss")}
    rows = []
    for point, (explained, active, dead) in zip(log["points"], log["log"][-1]["quality"], strict=False):
        short = [
            r for r in values(f"{model}-short-trainings") if r["control"] is None and r["point"] == point
        ]
        short = [r for r in short if r["run"].startswith("seed-")]
        loss = losses[point]

        def span(key: str, factor: float, digits: int, runs: list[dict[str, Any]] = short) -> str:
            shown = [f"{factor * f(r[key] for r in runs):.{digits}f}" for f in (min, max)]
            return shown[0] if len(runs) == 1 else " to ".join(shown)

        rows.append(
            [
                point, f"{100 * explained:.1f} %", f"{active:.1f}", f"{100 * dead:.1f} %", loss[1].replace("%", " %"),
                f"{loss[5]} / {loss[6]}".replace("%", " %"),
                f"{span('explained_variance', 100, 1)} %, {len(short)} seeds", span("l0", 1, 1),
                f"{span('dead', 100, 1)} %",
            ]
        )  # fmt: skip
    head = ["point", "long: explained variance", "L0", "dead", "loss recovered", "WER / with the SAE"]
    return table([*head, "short: explained variance", "L0", "dead"], rows)


def domains(model: str) -> str:
    """Latents of speech, music and environment."""
    rows = []
    for found in values(f"{model}-domains"):
        counts = [
            " / ".join(str(found["domains"][d]["latents"][k]) for k in COUNTS)
            for d in ("speech", "music", "environment")
        ]
        alive = f"{found['alive']} of {found['latents']}"
        rows.append([found["point"], alive, *counts, interval(found["speech"]["auroc"])])
    return table([model, "alive", "speech", "music", "environment", "speech told by one latent"], rows)


def probes(name: str) -> str:
    """Classes read off 1 to all dense units and latents."""
    few = (1, 10, 50, 150, 500)
    rows = []
    for model in MODELS:
        found: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
        for v in values(f"{model}-{name}"):
            found.setdefault((v["point"], v["what"]), {})[v["units"]] = v["balanced_accuracy"]
        for (point, what), by in found.items():
            if "sparsity" not in what:
                shown = [f"{by[n]['value']:.2f}" if n in by else "" for n in few]
                rows.append([model, point, what, *shown, interval(by[max(by)])])
    return table(["model", "point", "what", *map(str, few), "all"], rows)


def erasure() -> str:
    """How many latents hold a concept, by L2 probes."""
    rows = []
    for model in MODELS:
        for concept in ("seven", "speech"):
            for row in printed(f"{model}-erase-{concept}"):
                if len(row) > 6 and row[2] == "L2" and "random dir" not in row[1]:
                    rows.append([model, concept, row[0], row[1], row[3], row[4], row[5], row[6]])
    head = ["model", "concept", "point", "removed", "MCC before", "n to half (share)", "others left"]
    return table([*head, "n to a tenth (share)"], rows)


def controls() -> str:
    """The trained SAE of tiny.en's output beside its controls."""
    matched, heard = values("tiny.en-controls-stability"), values("tiny.en-controls-domains")
    trainings, probed = values("tiny.en-short-trainings"), values("tiny.en-controls-probe")
    explained = {(r["run"], r["sae"]): f"{100 * r['explained_variance']:.1f} %" for r in trainings}
    permuted = next(row[1] for row in printed("tiny.en-sanity") if row[0] == "permuted-model")
    erased = {
        row[0].split(" ", 1)[1]: row[4]
        for row in printed("tiny.en-controls-erase-speech")
        if len(row) > 6 and row[1] == "latents" and row[2] == "L2"
    }
    rows = []
    for name, (key, run, sae) in CONTROLS.items():
        match = [v for v in matched if v["sae"] == "0/ln_post" and v["other"] == key]
        domain = [v for v in heard if v["sae"].replace("all/", "").replace(".safetensors", "") == key]
        probe = [v for v in probed if v["units"] == 50 and v["what"].startswith(f"latents {key},")]
        dead = next(v["dead"] for v in matched if v["sae"] == key)
        rows.append(
            [
                name, explained.get((run, sae), permuted), f"{100 * dead:.1f} %",
                interval(match[0]["coverage"], 100, 1, " %") if match else "",
                f"{match[0]['cosine']:.2f}" if match else "",
                str(domain[0]["domains"]["speech"]["latents"]["frames > 0.04"]) if domain else "",
                interval(domain[0]["speech"]["auroc"]) if domain else "",
                interval(probe[0]["balanced_accuracy"]) if probe else "", erased.get(key, ""),
            ]
        )  # fmt: skip
    head = ["", "explained variance", "dead", "of the trained one's latents matched"]
    head += ["mean largest cosine to its directions", "speech latents", "speech told by one latent", "sounds"]
    return table([*head, "speech erased"], rows)


def main() -> None:
    """Write the summary."""
    parts = [
        *map(saes, MODELS),
        *(table(*by_point(values(f"{m}-stability"))) for m in MODELS),
        *map(domains, MODELS),
    ]
    parts += [probes("probe-sounds"), probes("probe-digits"), erasure(), controls()]
    write_whole(FOLDER / "summary.md", "\n\n".join(part.strip() for part in parts) + "\n")


if __name__ == "__main__":
    main()
