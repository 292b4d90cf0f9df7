"""How the calibration pack is made: speech of `synthetic_speech`, and the sounds that `find_sounds` found.

python -m whisper_steer.data.make_pack --out whisper_steer/assets/calibration
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
from tqdm import tqdm

from whisper_steer.data import voices
from whisper_steer.data.pack import FOLDER, WALK
from whisper_steer.data.synthetic_speech import SR, Audio, Line, plan_speech, say
from whisper_steer.files.disk import write_whole
from whisper_steer.sounds import walks
from whisper_steer.sounds.textures import RANDOM

LINES = {"fit": 400, "choose": 240}
"""of speech, by split"""
SHORTEST, LONGEST = {"fit": 0.2, "choose": 0.35}, 12.0
"""seconds of a line that is taken; hardly anybody says a word in less than what calibrates"""
OPUS_LEVEL = 0.93
"""libsndfile's compression level; about 22 kbit/s."""
GAP = SR // 5
"""Zeros between the clips of a file, so that the codec does not smear one into the next."""
WALKS, WALK_SECONDS, FIRST_WALK = 30, (2.0, 9.0), 5000
"""walks of each model, how long they are, and the first seed"""
CHOOSE_ONLY_SOUNDS = (
    "bells", "birds", "call_progress", "chip_music", "footsteps", "jackhammer", "organ", "radio_static", "scrape",
    "siren", "train", "waves",
)  # fmt: skip


def make_pack(out: Path, seed: int = 0) -> dict[str, Any]:
    """Synthesise, code and index the pack in folder `out`; returns its card.

    Raises MissingPackageError where an engine is not installed.
    """
    voices.require()
    texts = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    speech = [
        entry
        for split, lines in LINES.items()
        for entry in write_speech(out / f"speech-{split}.ogg", seed, split, lines, texts)
    ]
    files = [f"speech-{split}.ogg" for split in LINES]
    lists = {"speech": speech, "nonspeech": plan_nonspeech()}
    body = [
        f'"{k}": [\n' + ",\n".join(json.dumps(e, ensure_ascii=False) for e in v) + "\n]"
        for k, v in lists.items()
    ]
    write_whole(out / "index.json", "{" + f'"files": {json.dumps(files)},\n' + ",\n".join(body) + "}\n")
    card = describe(out, lists)
    write_whole(out / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return card


def write_speech(
    path: Path,
    seed: int,
    split: str,
    n: int,
    texts: dict[str, Any],
    spoken: Callable[[Line, np.random.Generator], Audio] = say,
) -> list[dict[str, Any]]:
    """Say ``n`` lines of a split into one file; returns where they lie in it. A line's sound depends on its number."""
    entries: list[dict[str, Any]] = []
    partial = path.with_name(path.name + ".partial")
    ogg = {"format": "OGG", "subtype": "OPUS", "compression_level": OPUS_LEVEL}
    plan = plan_speech(np.random.default_rng([seed, len(split)]), split, texts)
    with soundfile.SoundFile(partial, "w", SR, 1, **ogg) as file:
        offset = 0
        for number, line in enumerate(tqdm(islice(plan, n), total=n, unit="line", desc=f"speech, {split}")):
            x = spoken(line, np.random.default_rng([seed, len(split), number]))
            if not SHORTEST[split] <= len(x) / SR <= LONGEST:
                continue
            file.write(np.concatenate([x, np.zeros(GAP, np.float32)]))
            where = {"file": path.name, "offset": offset, "samples": len(x)}
            entries.append({**where, **asdict(line), "split": split})
            offset += len(x) + GAP
    os.replace(partial, path)
    return entries


def plan_nonspeech() -> list[dict[str, Any]]:
    """The sounds of sounds.json; a third of each, or all of a held-out one, for choosing. Then `WALKS` of each model of
    recorded sounds, a third of them for choosing."""
    plan: list[dict[str, Any]] = []
    turn = Counter[str]()
    for name, seed, seconds, *_ in json.loads((FOLDER / "sounds.json").read_text(encoding="utf-8")):
        chosen = name in CHOOSE_ONLY_SOUNDS or turn[name] % (3 if name in RANDOM else 4) == 1
        plan.append({"name": name, "seed": seed, "seconds": seconds, "split": "choose" if chosen else "fit"})
        turn[name] += 1
    for name in sorted(walks.load()):
        rng = np.random.default_rng(FIRST_WALK)
        for i in range(WALKS):
            seconds = round(float(np.exp(rng.uniform(*np.log(WALK_SECONDS)))), 2)
            split = "choose" if i % 3 == 1 else "fit"
            plan.append({"name": f"{WALK}{name}", "seed": FIRST_WALK + i, "seconds": seconds, "split": split})
    return plan


def describe(folder: Path, lists: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The card: contents, engines, licences."""
    speech = lists["speech"]

    def count(split: str) -> dict[str, Any]:
        part = [s for s in speech if s["split"] == split]
        noise = [s for s in lists["nonspeech"] if s["split"] == split]
        return {
            "speech_clips": len(part),
            "speech_minutes": round(sum(s["samples"] for s in part) / SR / 60, 1),
            "speakers": len({s["group"] for s in part}),
            "voices": dict(Counter(s["engine"] for s in part)),
            "languages": sorted({s["language"] for s in part}),
            "nonspeech_clips": len(noise),
            "nonspeech_minutes": round(sum(s["seconds"] for s in noise) / 60, 1),
        }

    return {
        "what": "Clean synthesised speech and seeded synthetic non-speech for fitting steering without data; a part of "
        "the sounds is drawn from models that were fitted to recordings.",
        "made_by": "python -m whisper_steer.data.make_pack --out whisper_steer/assets/calibration",
        "coding": f"Ogg Opus, 16 kHz mono, {sum(f.stat().st_size for f in folder.glob('*.ogg')) / 1e6:.2f} MB",
        "splits": {split: count(split) for split in LINES},
        "engines": {package: version(package) for package in voices.PACKAGES},
        "licences": {
            "texts": "written for this project, MIT like it",
            "hibari": "Apache-2.0, Maureese Williams; distilled from Kokoro-82M's voice af_heart",
            "kokoro": "Kokoro-82M and its styles jf_alpha, jf_gongitsune, jf_nezumi, jf_tebukuro, jm_kumo: Apache-2.0, "
            "hexgrad; ONNX export: MIT, thewh1teagle",
            "joe": "Piper's en_US-joe-medium: data set CC0 (NabuCasa), fine-tuned from Piper's lessac; package MIT",
            "walks": "models fitted to recordings of UrbanSound8K and ESC-50 (CC BY-NC 3.0), of Speech Commands' "
            "background noise (CC BY 4.0), of Open Surge (CC BY, CC BY-SA, CC0), of Pixabay and Freesound (Creative "
            "Commons); no recorded sound is in them",
            "espeak-ng": "program under GPL-3.0-or-later; the audio it writes is not a derived work of the program",
        },
        "limits": "No recorded sound is in it: few voices, made many by pitch, vocal tract and means of styles; other "
        "languages with an American accent or by espeak-ng; fluent, read speech; both splits say the same English "
        "texts; no singing, shouting or crying.",
    }


@click.command(help="Make the calibration pack: synthesised speech, seeds of non-speech.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the pack.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, seed: int) -> None:
    click.echo(json.dumps(make_pack(out, seed), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
