"""How the calibration pack is made: speech by espeak-ng, flite and festival, seeds of synthetic non-speech.

python -m whisper_steer.data.make_pack --out whisper_steer/assets/calibration
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
from tqdm import tqdm

from whisper_steer.data.pack import FOLDER, load_pack
from whisper_steer.data.synthetic_speech import SR, plan_speech, say
from whisper_steer.errors import MissingPackageError
from whisper_steer.files.disk import write_whole
from whisper_steer.sounds import GENERATORS

MINUTES = {"fit": 31.0, "choose": 13.0}
"""Speech per split."""
OPUS_LEVEL = 0.93
"""libsndfile's compression level; about 22 kbit/s."""
GAP = SR // 5
"""Zeros between the clips of a file, so that the codec does not smear one into the next."""
SEED_BASE = 1_000_000
"""Seeds of the pack's non-speech start here, so that lower ones stay unseen for benchmarks."""
CLIPS_PER_SOUND = 8
CHOOSE_ONLY_SOUNDS = (
    "bells", "birds", "call_progress", "chip_music", "footsteps", "jackhammer", "organ", "radio_static", "scrape",
    "siren", "train", "waves",
)  # fmt: skip


def make_pack(out: Path, seed: int = 0) -> dict[str, Any]:
    """Synthesise, code and index the pack in folder `out`; returns its card.

    Raises MissingPackageError where espeak-ng or flite is not installed.
    """
    for program in ("espeak-ng", "flite"):
        if shutil.which(program) is None:
            raise MissingPackageError(
                f"{program} makes the pack's speech but is not installed: apt install {program}"
            )
    texts = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
    out.mkdir(parents=True, exist_ok=True)
    speech: list[dict[str, Any]] = []
    for split, minutes in MINUTES.items():
        speech += write_speech(
            out / f"speech-{split}.ogg", np.random.default_rng([seed, len(split)]), split, minutes, texts
        )
    files = [f"speech-{split}.ogg" for split in MINUTES]
    lists = {"speech": speech, "nonspeech": plan_nonspeech(np.random.default_rng([seed, 1]))}
    body = [
        f'"{k}": [\n' + ",\n".join(json.dumps(e, ensure_ascii=False) for e in v) + "\n]"
        for k, v in lists.items()
    ]
    write_whole(out / "index.json", "{" + f'"files": {json.dumps(files)},\n' + ",\n".join(body) + "}\n")
    card = describe(out, lists)
    write_whole(out / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return card


def write_speech(
    path: Path, rng: np.random.Generator, split: str, minutes: float, texts: dict[str, Any]
) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    partial = path.with_name(path.name + ".partial")
    ogg = {"format": "OGG", "subtype": "OPUS", "compression_level": OPUS_LEVEL}
    with (
        tempfile.TemporaryDirectory() as scratch,
        soundfile.SoundFile(partial, "w", SR, 1, **ogg) as file,
        tqdm(total=round(minutes * 60), unit="s", desc=f"speech, {split}") as bar,
    ):
        offset, spoken = 0, 0
        for voice, text in plan_speech(rng, split, texts):
            x = say(voice, text, rng, Path(scratch) / "clip.wav")
            if not 0.2 <= len(x) / SR <= 12:
                continue
            file.write(np.concatenate([x, np.zeros(GAP, np.float32)]))
            entries.append(
                {
                    "file": path.name,
                    "offset": offset,
                    "samples": len(x),
                    **asdict(voice),
                    "split": split,
                    "text": text,
                }
            )
            offset, spoken = offset + len(x) + GAP, spoken + len(x)
            bar.update(round(len(x) / SR))
            if spoken >= minutes * 60 * SR:
                break
    os.replace(partial, path)
    return entries


def plan_nonspeech(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Several draws of every generator, 3-30 s, a quarter of each (or all of a held-out sound) for choosing."""
    plan = []
    for name in GENERATORS:
        for i in range(2 if name in ("silence", "dither") else CLIPS_PER_SOUND):
            seconds = round(3 * 10 ** (rng.random() ** 1.5), 2)
            split = "choose" if name in CHOOSE_ONLY_SOUNDS or i % 4 == 1 else "fit"
            plan.append({"name": name, "seed": SEED_BASE + i, "seconds": seconds, "split": split})
    return plan


def describe(folder: Path, lists: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The card: contents, engines, licences, and where Silero VAD (as faster-whisper ships it) hears speech."""
    from faster_whisper.vad import get_speech_timestamps

    speech, opened = lists["speech"], Counter[str]()
    for clip in tqdm(load_pack(folder), unit="clip", desc="Silero VAD"):
        heard = bool(get_speech_timestamps(clip.samples()))
        opened[clip.label or "speech"] += heard
    drawn = Counter(s["name"] for s in lists["nonspeech"])

    def count(split: str) -> dict[str, Any]:
        part = [s for s in speech if s["split"] == split]
        noise = [s for s in lists["nonspeech"] if s["split"] == split]
        return {
            "speech_clips": len(part),
            "speech_minutes": round(sum(s["samples"] for s in part) / SR / 60, 1),
            "speakers": len({s["group"] for s in part}),
            "voices": len({(s["engine"], s["name"]) for s in part}),
            "languages": sorted({s["language"] for s in part}),
            "nonspeech_clips": len(noise),
            "nonspeech_minutes": round(sum(s["seconds"] for s in noise) / 60, 1),
        }

    return {
        "what": "Clean synthesised speech and seeded synthetic non-speech for fitting steering without data.",
        "made_by": "python -m whisper_steer.data.make_pack --out whisper_steer/assets/calibration",
        "coding": f"Ogg Opus, 16 kHz mono, {sum(f.stat().st_size for f in folder.glob('*.ogg')) / 1e6:.2f} MB",
        "splits": {split: count(split) for split in MINUTES},
        "clips_by_engine": dict(Counter(s["engine"] for s in speech)),
        "engines": {p: _version(p) for p in ("espeak-ng", "flite", "festival") if shutil.which(p)},
        "licences": {
            "texts": "written for this project, MIT like it",
            "espeak-ng": "program under GPL-3.0-or-later; the audio it writes is not a derived work of the program",
            "flite": "Carnegie Mellon University's permissive licence: free to use and distribute, names kept; "
            "voices kal, awb, rms and slt are part of the package",
            "festival": "University of Edinburgh's permissive licence; voice kal_diphone (festvox-kallpc16k): "
            "Alan W Black and Kevin Lenzo, the same terms",
        },
        "silero_opens_on": {
            "speech": f"{opened['speech']}/{len(speech)}",
            "nonspeech": f"{sum(opened[k] for k in drawn)}/{sum(drawn.values())}",
            "by_sound": {k: f"{opened[k]}/{n}" for k, n in drawn.items()},
        },
        "limits": "No human recording is in it; clean, fluent, read speech only; both splits say the same English "
        "texts; synthesised whispering is the nearest to whispered speech; no singing, shouting or crying.",
    }


def _version(program: str) -> str:
    printed = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+(\.\d+)?", printed)
    return found.group() if found else "unknown"


@click.command(
    help="Make the calibration pack: speech by espeak-ng, flite and festival, seeds of non-speech."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the pack.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, seed: int) -> None:
    click.echo(json.dumps(make_pack(out, seed), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
