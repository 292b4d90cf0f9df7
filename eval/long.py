"""Long recordings: what was written inside the stretch without speech, and what was lost around it.

Words are placed twice. By their alignment with the reference, which needs no timestamps: an insertion at the junction
of the two utterances, or within EDGE words of it, was invented in the stretch; a deletion there was lost at its edges.
A model that gets most words wrong shows no insertions, so they are placed by time as well: the words of segments whose
middle lies in the stretch. Without timestamps a segment is a whole window, and the report leaves those figures out.
"""

from __future__ import annotations

from typing import Any

import jiwer

from whisper_steer.data.normalize import normalize

from .metrics import Output

EDGE = 3


def stretch_words(reference: str, text: str, junction: int, normalizer: str) -> tuple[int, int]:
    """Words (invented in the stretch, lost at its edges). ``junction``: words of the first utterance."""
    truth, written = normalize(reference, normalizer), normalize(text, normalizer)
    words = len(truth.split())
    near = range(max(0, junction - EDGE), min(words, junction + EDGE))
    if not written:
        return 0, len(near)
    invented = lost = 0
    for chunk in jiwer.process_words(truth, written).alignments[0]:
        if chunk.type == "insert" and junction - EDGE <= chunk.ref_start_idx <= junction + EDGE:
            invented += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type == "delete":
            lost += sum(chunk.ref_start_idx <= i < chunk.ref_end_idx for i in near)
    return invented, lost


def segment_times(output: Output, stretch: list[float], normalizer: str) -> dict[str, Any]:
    """Words of the segments whose middle lies in the stretch, seconds of it that segments cover, and by how far
    the speech after it is placed wrongly (None where no segment reaches beyond the stretch)."""
    start, end = stretch
    inside = [s["text"] for s in output.segments if start <= (s["start"] + s["end"]) / 2 <= end]
    covered = sum(max(0.0, min(s["end"], end) - max(s["start"], start)) for s in output.segments)
    after = [s for s in output.segments if s["end"] > end + 0.2]
    return {
        "words": sum(len(normalize(text, normalizer).split()) for text in inside),
        "covered_seconds": round(covered, 3),
        "onset_error": round(abs(after[0]["start"] - end), 3) if after else None,
    }
