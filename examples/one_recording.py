"""One recording: the text, and for each segment how sure we are that somebody spoke.

python examples/one_recording.py recording.wav [MODEL]
"""

from __future__ import annotations

import sys

import whisper_steer


def main(path: str, name: str = "tiny.en") -> None:
    model = whisper_steer.load_model(name)
    result = whisper_steer.transcribe(model, path, fp16=model.device.type == "cuda")
    for segment in result["segments"]:
        evidence, risk = segment["steering"]["evidence"], segment.get("risk")
        told = f"evidence {evidence:+.1f}" + ("" if risk is None else f", risk {risk:.2f}")
        print(f"{segment['start']:7.1f} to {segment['end']:7.1f} s  {told}: {segment['text'].strip()}")
    spans = result["steering"]["spans"]
    spoken = sum(span["end"] - span["start"] for span in spans)
    print(f"somebody speaks in {spoken:.0f} of {result['steering']['seconds']:.0f} s, in {len(spans)} spans")


if __name__ == "__main__":
    main(*sys.argv[1:])
