"""``whisper-steer name-latents``: names for an artifact's latents, from labelled recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import click
from tqdm import tqdm

from whisper_steer.data.clips import Clip, Split
from whisper_steer.data.load import load
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import UsageError
from whisper_steer.explain.check import Hits, hits
from whisper_steer.explain.examples import balanced, quiet, windows
from whisper_steer.explain.names import Names
from whisper_steer.explain.naming import choose_names, labelled
from whisper_steer.models.load import load_model
from whisper_steer.sae.files import load as load_sae
from whisper_steer.sae.model import SAE
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.find import resolve

MOST_CLIPS: dict[Split, int] = {"fit": 40, "choose": 20}
"""of a class"""


@click.command()
@click.argument("artifact")
@click.option("--manifest", required=True, type=click.Path(path_type=Path), help="JSONL of labelled clips.")
@click.option("--model", help="The artifact's model.  [default: the artifact's name]")
@click.option("--model-dir", help="Where models are kept.")
@click.option(
    "--sae", type=click.Path(path_type=Path), help="Another SAE of the model.  [default: the artifact's]"
)
@click.option(
    "--point", help="Where that SAE lies: blocks.N or ln_post.  [default: the artifact's hook point]"
)
def name_latents(
    artifact: str,
    manifest: Path,
    model: str | None,
    model_dir: str | None,
    sae: Path | None,
    point: str | None,
) -> None:
    """Name the latents of ARTIFACT by what they fire on, for `whisper-steer explain`.

    Writes names.json and names.safetensors into the artifact's folder. The manifest is that of `whisper-steer fit`:
    non-speech with a label, speech with or without a transcript. Names are chosen on the splits fit and choose; how
    often the name heard first is the label is printed for the clips without speech of the split test.
    """
    if (sae is None) != (point is None):
        raise UsageError("--sae and --point go together: name both or neither")
    loaded = Artifact.load(resolve(artifact))
    encoder = load_model(model or loaded.name, None, model_dir).encoder
    clips = load(f"manifest:{manifest}")
    used: SAE = loaded.load_sae() if sae is None else load_sae(sae)
    place = point or loaded.hook_point
    prefix = Prefix(encoder, place)
    parts = {}
    for split, most in MOST_CLIPS.items():
        used_clips = balanced([*(c for c in clips if c.split == split), *quiet(split, most // 2)], most)
        parts[split] = list(labelled(prefix, used, windows(_shown(used_clips, split))))
    names = choose_names(parts["fit"], parts["choose"], used, loaded.fingerprint, place)
    assert loaded.path is not None
    names.save(loaded.path)
    for line in report(names):
        click.echo(line)
    tests = [c for c in clips if c.split == "test" and c.kind == "nonspeech"]
    for line in table(hits(prefix, names, _shown(tests, "test")), {each[0] for each in names.classes}):
        click.echo(line)


def _shown(clips: list[Clip], what: str) -> Iterable[Clip]:
    """The clips, with a bar."""
    return tqdm(clips, desc=f"listening, {what}", unit="clip")


def report(names: Names) -> list[str]:
    """The names, with how many latents have each and how precise the best of them is."""
    counts = Counter((each.kind, each.name) for each in names.named)
    lines = [f"{len(names.named)} latents at {names.point} have a name"]
    for (kind, name), n in sorted(counts.items()):
        best = max(each.precision for each in names.named if each.name == name)
        lines.append(f"  {kind:8} {name:20} {n:4} latents, precision up to {best:.2f}")
    return lines


def table(found: list[Hits], known: set[str]) -> list[str]:
    """Class by class, and the shares in all."""
    if not found:
        return []
    lines = ["", "clips of the split test: class, clips, first name right, first right or wider, among three"]
    for each in found:
        mark = "" if each.names[0] in known else "  (no such class)"
        lines.append(
            f"  {each.names[0]:20} {each.clips:4} {each.first:4} {each.first_or_wider:4} {each.among_three:4}{mark}"
        )
    for title, rows in (
        ("all", found),
        ("of classes that are known", [e for e in found if e.names[0] in known]),
    ):
        if n := sum(e.clips for e in rows):
            shares = [
                sum(c) / n
                for c in zip(*((e.first, e.first_or_wider, e.among_three) for e in rows), strict=True)
            ]
            lines.append(f"{title}: {n} clips, " + ", ".join(f"{share:.1%}" for share in shares))
    return lines
