"""Does the promise hold on a user's recordings, stratum by stratum: holds, broken, or too few to tell.

One clip of each speaker, because the clips of one are alike: a thousand of them are no proof for the next speaker.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from whisper_steer.data.clips import Clip
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.fit.strata import one_of_each
from whisper_steer.gate.strata import names
from whisper_steer.gate.verdict import judge
from whisper_steer.steer.steering import Steering


def verdicts(
    prefix: Prefix, steering: Steering, clips: list[Clip], hard: int, seed: int
) -> list[dict[str, Any]]:
    """A row a stratum: how much of the speech of one clip a speaker is left out, and what that says of the promise.

    ``hard``: of so many speakers the clip is judged in noise, where there are clips of it, and from afar as well.
    """
    speech = [clip for clip in clips if clip.kind == "speech"]
    noise = [clip for clip in clips if clip.kind == "nonspeech" and not clip.voice]
    found = one_of_each(prefix, steering.artifact.gate, speech, noise, seed, hard)
    return [
        {"stratum": name, **asdict(judge(losses, steering.promise))}
        for name in names(each.strata for each in found)
        if (losses := [each.loss(steering.threshold) for each in found if name in each.strata])
    ]


def promise_table(rows: list[dict[str, Any]], promise: float) -> str:
    """Markdown of `verdicts`."""
    lines = [
        f"promise: of what is spoken at most {promise:.2%} is left out; one clip of each speaker",
        "",
        "| speech | speakers | left out | at most, with 95 % confidence | the promise |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        told = row["answer"]
        if told == "too few to tell":
            told += f": {row['needed']} speakers would" if row["needed"] else ": no number of them would"
        lines.append(f"| {row['stratum']} | {row['n']} | {row['mean']:.2%} | {row['at_most']:.2%} | {told} |")
    return "\n".join(lines).replace("%", " %").replace("  %", " %")


__all__ = ["promise_table", "verdicts"]
