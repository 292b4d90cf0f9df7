"""What mode "steer" gives back that mode "skip" loses, and what it lets through.

``python -m benchmarks.second_opinion tiny.en manifest.jsonl --n 60``

Clips of the manifest's `test` split in which the gate hears nobody: English speech as it is and in each condition of
`whisper_steer.fit.listening.HARD`, and non-speech, n of each. Mode "skip" leaves them empty. Mode "steer" edits
and decodes them, greedily: text that comes out of speech is given back, text out of non-speech is let through. Beside
each method at the artifact's strength stands stock. MODEL: as for whisper-steer transcribe.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.common import steering_for
from whisper_steer.data.clips import Clip
from whisper_steer.data.load import load
from whisper_steer.errors import ArtifactError
from whisper_steer.eval.curves.bench import pick
from whisper_steer.eval.metrics import has_text, word_counts
from whisper_steer.eval.provenance import machine
from whisper_steer.eval.report import table
from whisper_steer.fit.listening import hard_speech
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.openai import transcribe
from whisper_steer.steer.methods import METHODS
from whisper_steer.steer.steering import Steering


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--n", type=int, default=60, help="clips of each kind and condition")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = load_model(args.model, "cpu")
    skip = steering_for(model.encoder)
    if skip is None:
        raise ArtifactError(f"no steering ships for {args.model}")
    artifact = skip.artifact
    prefix = skip.prefix(model.encoder)
    clips = pick(load(f"manifest:{args.manifest}"), "test", args.n)
    speech, nonspeech = ([clip for clip in clips if clip.kind == kind] for kind in ("speech", "nonspeech"))
    groups: dict[str, list[Clip]] = {"clean": speech}
    for clip in hard_speech(speech, nonspeech, args.n, seed=0):
        groups.setdefault(clip.condition, []).append(clip)
    groups["non-speech"] = nonspeech
    unheard = {
        name: [clip for clip in found if not skip.listen(prefix, clip.samples()).spans]
        for name, found in groups.items()
    }
    ways = {
        "stock": None,
        **{f"steer, {name}": Steering(artifact, mode="steer", method=name) for name in METHODS},
    }
    rows = []
    for name, found in unheard.items():
        cells = []
        for way in ways.values():
            texts = [
                transcribe(model, clip.samples(), steering=way, language="en", temperature=0.0, fp16=False)[
                    "text"
                ]
                for clip in found
            ]
            written = sum(has_text(text, clip.normalizer) for text, clip in zip(texts, found, strict=True))
            right = total = 0
            for text, clip in zip(texts, found, strict=True):
                counted = word_counts(clip.text, text, clip.normalizer) if clip.text else None
                if counted:
                    right, total = right + max(0, counted.words - counted.errors), total + counted.words
            cells.append(f"{written}" + (f"; {right} of {total} words" if total else ""))
        rows.append([name, f"{len(groups[name])}", f"{len(found)}", *cells])
    print(f"{args.model}, {artifact.name} {artifact.digest()}, {machine()}\n")
    print(table(["clips", "all", "the gate hears nobody", *(f"text, {way}" for way in ways)], rows))


if __name__ == "__main__":
    main()
