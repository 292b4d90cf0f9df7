"""A batch job: every recording of a folder to JSON, through faster-whisper; one bad file does not stop the rest.

python examples/folder.py RECORDINGS OUT [MODEL]        # needs faster-whisper
For thousands of hours there is `whisper-steer archive`, which shards, resumes and runs on Ray.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from whisper_steer.errors import WhisperSteerError
from whisper_steer.runtimes.faster import WhisperModel

SOUNDS = {".flac", ".mp3", ".m4a", ".ogg", ".wav"}


def main(folder: str, out: str, name: str = "tiny.en") -> int:
    model = WhisperModel(name, device="cpu", compute_type="int8")
    failed = 0
    Path(out).mkdir(parents=True, exist_ok=True)
    for path in sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SOUNDS):
        try:
            segments, info = model.transcribe(str(path))
            found = [{"start": s.start, "end": s.end, "text": s.text} for s in segments]
        except WhisperSteerError as error:
            failed += 1
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        whole = {"audio": str(path), "seconds": info.duration, "segments": found}
        target = Path(out) / f"{path.stem}.json"
        target.with_suffix(".partial").write_text(json.dumps(whole, indent=1), encoding="utf-8")
        target.with_suffix(".partial").replace(target)
        print(f"{path.name}: {len(found)} segments")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
