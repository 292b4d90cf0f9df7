"""``whisper-steer lab stability``: whether SAEs of other seeds find the same features."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.lab import DATA, DEVICE, OUT
from whisper_steer.errors import UsageError
from whisper_steer.lab.inputs import check_width

if TYPE_CHECKING:
    import numpy as np

    from whisper_steer.data.clips import Split
    from whisper_steer.lab.frames import Frames
    from whisper_steer.sae.model import SAE

NEAR = 0.8
"""cosine above which two decoder directions count as the same"""
DUPLICATES, COVERAGE = "paper: < 5 %", "paper: > 50 %"
"""across seeds (arXiv 2602.05027)"""


@click.command()
@click.argument("saes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The encoder: a name, a .pt, or a folder of Whisper or HuBERT.")
@click.option(
    "--point", "points", multiple=True, required=True,
    help="Where the SAEs lie: blocks.N or ln_post; repeatable where SAES are folders.",
)  # fmt: skip
@DATA
@click.option("--split", type=click.Choice(["fit", "choose", "test"]), default="test", show_default=True)
@click.option("--clips", type=click.IntRange(1), default=100, show_default=True, help="Of each domain.")
@DEVICE
@OUT
def stability(
    saes: tuple[Path, ...],
    model: str,
    points: tuple[str, ...],
    data: tuple[str, ...],
    split: Split,
    clips: int,
    device: str | None,
    out: Path | None,
) -> None:
    """How many latents of each of the SAES match one of each other (arXiv 2602.05027). SAES are files, or folders
    of whisper-steer sae train, which hold a file for each hook point.

    Two latents match where the frames in which both are active are more than half of those in which either is, over
    clips of speech, music and environment. Every SAE is compared with every other, both ways: coverage is the share
    of its latents alive that have a match; by chance is the same with the other's frames half the sound later.
    Duplicates are latents that match another of the same SAE, dead ones are active in no frame.
    """
    if len(saes) < 2:
        raise UsageError("stability compares SAEs: name two or more")
    from whisper_steer.lab.domain_clips import domain_clips
    from whisper_steer.lab.encoders import open_encoder
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.frames import frames_of
    from whisper_steer.sae.files import load

    if len(points) > 1 and (files := [path for path in saes if not path.is_dir()]):
        raise UsageError(
            f"{files[0]} is no folder: several hook points take folders of whisper-steer sae train"
        )
    names, encoder = short_names(saes), open_encoder(model, device)
    loaded: dict[str, dict[str, SAE]] = {}
    for point in dict.fromkeys(points):
        paths = [path / f"{point}.safetensors" if path.is_dir() else path for path in saes]
        loaded[point] = {name: load(path).to("cpu") for name, path in zip(names, paths, strict=True)}
        for name, sae in loaded[point].items():
            check_width(name, sae, encoder, model)
    read = frames_of(encoder, list(loaded), domain_clips(data, split, clips))
    values = [{"point": point, **v} for point, by in loaded.items() for v in compared(by, read[point])]
    frames = read[points[0]]
    about = {"model": model, "split": split, "clips": len(frames.clips), "frames": len(frames.hidden)}
    columns, rows = by_pair(values) if len(points) == 1 else by_point(values)
    Findings("stability", about, columns, rows, values, plot(values)).show(out)


def by_pair(values: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table with a row for each of two SAEs against the other."""
    from whisper_steer.eval.report import ci

    columns = [
        "point", "SAE", "against", "alive", "dead", f"duplicates ({DUPLICATES})", f"coverage ({COVERAGE})",
        "by chance", f"direction within cosine {NEAR}", "mean largest cosine",
    ]  # fmt: skip
    rows = [
        [
            v["point"], v["sae"], v["other"], f"{v['alive']}", f"{v['dead']:.1%}", f"{v['duplicates']:.1%}",
            ci(v["coverage"], 100, "%"), f"{v['by_chance']:.1%}", f"{v['near']:.1%}", f"{v['cosine']:.2f}",
        ]
        for v in values
    ]  # fmt: skip
    return columns, rows


def by_point(values: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table with a row for each hook point: means over all pairs, both ways, and their range."""
    columns = [
        "point", "pairs, both ways", "dead", f"duplicates ({DUPLICATES})", f"coverage ({COVERAGE}), least to most",
        "by chance", f"direction within cosine {NEAR}", "mean largest cosine",
    ]  # fmt: skip
    rows = []
    for point in dict.fromkeys(v["point"] for v in values):
        here = [v for v in values if v["point"] == point]
        covered = [v["coverage"]["value"] for v in here]
        means = {
            key: sum(v[key] for v in here) / len(here)
            for key in ("dead", "duplicates", "by_chance", "near", "cosine")
        }
        rows.append(
            [
                point, str(len(here)), f"{means['dead']:.1%}", f"{means['duplicates']:.1%}",
                f"{sum(covered) / len(here):.1%}, {min(covered):.1%} to {max(covered):.1%}",
                f"{means['by_chance']:.1%}", f"{means['near']:.1%}", f"{means['cosine']:.2f}",
            ]
        )  # fmt: skip
    return columns, rows


def compared(saes: dict[str, SAE], frames: Frames) -> list[dict[str, Any]]:
    """Every SAE with every other."""
    import numpy as np

    from whisper_steer.lab.patterns import MATCH, alive, chance, closest, coverage, matches, patterns

    found = {name: patterns(sae, frames.batches()) for name, sae in saes.items()}
    lives = {name: alive(pattern) for name, pattern in found.items()}
    twins = {name: matches(pattern, pattern, same=True).iou > MATCH for name, pattern in found.items()}
    names = sorted({clip.group for clip in frames.clips})
    groups = np.array([names.index(clip.group) for clip in frames.clips])[frames.clip]
    values = []
    for a, b in permutations(saes, 2):
        pairs = matches(found[a], found[b])
        cosine = closest(saes[a].W_dec.detach(), saes[b].W_dec.detach()).numpy()[lives[a]]
        values.append(
            {
                "sae": a,
                "other": b,
                "alive": int(lives[a].sum()),
                "dead": float(1 - lives[a].mean()),
                "duplicates": float(twins[a][lives[a]].mean()),
                "coverage": coverage(found[a], found[b], pairs, groups).to_dict(),
                "by_chance": chance(found[a], found[b]),
                "near": float((cosine > NEAR).mean()),
                "cosine": float(cosine.mean()),
                "iou": _histogram(pairs.iou[lives[a]]),
                "best_iou": [
                    round(float(iou), 3) if there else None
                    for iou, there in zip(pairs.iou, lives[a], strict=True)
                ],
            }
        )
    return values


def short_names(paths: tuple[Path, ...]) -> list[str]:
    """The names of files, with as many folders before them as it takes to tell them apart."""
    parts = [path.parts if path.is_dir() else path.with_suffix("").parts for path in paths]
    for n in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-n:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise UsageError("an SAE is named twice: name each once")


BINS = 20
"""of the histogram of best IoU"""


def _histogram(iou: np.ndarray) -> list[int]:
    import numpy as np

    counts: list[int] = np.histogram(iou, BINS, (0, 1))[0].tolist()
    return counts


def plot(values: list[dict[str, Any]]) -> str:
    """How well the latents of each SAE agree with their best match in another."""
    from matplotlib import pyplot as plt

    from whisper_steer.eval.plots import svg
    from whisper_steer.lab.patterns import MATCH

    points = list(dict.fromkeys(v["point"] for v in values))
    figure, panels = plt.subplots(
        1, len(points), figsize=(3 + 3.2 * len(points), 3.6), squeeze=False, sharey=True
    )
    edges = [i / BINS for i in range(BINS + 1)]
    for axes, point in zip(panels[0], points, strict=True):
        for v in values:
            if v["point"] == point:
                shares = [100 * count / max(1, v["alive"]) for count in v["iou"]]
                axes.stairs(shares, edges, label=f"{v['sae']} in {v['other']}")
        axes.axvline(MATCH, color="#6b7280", lw=0.8, ls="--")
        axes.set_title(point, fontsize=10, loc="left")
        axes.set_xlabel("IoU with the best match")
        axes.grid(alpha=0.2)
    panels[0][0].set_ylabel("% of latents alive")
    panels[0][-1].legend(fontsize=7)
    return svg(figure)
