"""When a listener says that speech has started or ended, from the evidence of the newest steps.

The newest steps are judged before what comes behind them was heard. Speech starts where one lies `ABOVE` the threshold
that `AHEAD` have come behind; it has ended where, but for the newest `BEHIND`, none of `HOLD` reaches the threshold.
How these are chosen: ``docs/live.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from whisper_steer.gate.spans import MARGIN, STEP_SECONDS, Evidence

AHEAD = 0.4
"""seconds that must have been heard behind a step before it counts as a start"""
BEHIND = 0.16
"""seconds that must have been heard behind a step before it counts towards an end"""
HOLD = 0.32
"""seconds without speech after which it has ended"""
ABOVE = 3.0
"""logits above the threshold at which speech starts: sounds seen without what follows them look more like speech"""

_ahead, _behind, _hold = (round(seconds / STEP_SECONDS) for seconds in (AHEAD, BEHIND, HOLD))


@dataclass(frozen=True)
class Event:
    """Speech starts or ends."""

    kind: Literal["start", "end"]
    time: float
    """seconds since the stream began: where, with the margin that spans have as well"""
    heard_at: float
    """seconds of audio that had come when it was told"""
    evidence: float
    """logit: of a start the strongest step so far, of an end the strongest since the start"""


class Turns:
    """Whether somebody speaks, as evidence comes. ``threshold``: that of the gate, as of whole recordings."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.speaking = False
        self._strongest = float("-inf")
        self._last = 0
        """behind the last step of speech"""
        self._ended = 0.0

    def hear(self, first: int, evidence: Evidence, now: float) -> Event | None:
        """Evidence (n,) of the newest steps, of which ``first`` lie before, as known after ``now`` seconds."""
        end = max(0, len(evidence) - (_behind if self.speaking else _ahead))
        start = max(0, end - _hold, 0 if self.speaking else self._last - first)
        recent = evidence[start:end]
        heard = recent >= self.threshold + (0.0 if self.speaking else ABOVE)
        if heard.any():
            places = heard.nonzero()[0]
            self._last = first + start + int(places[-1]) + 1
            self._strongest = max(self._strongest, float(recent.max()))
            if not self.speaking:
                self.speaking = True
                at = (first + start + int(places[0])) * STEP_SECONDS - MARGIN
                return Event("start", round(max(at, self._ended), 2), now, self._strongest)
        elif self.speaking:
            return self.finish(now)
        return None

    def finish(self, now: float) -> Event | None:
        """The end of what is being said, where something is."""
        if not self.speaking:
            return None
        self.speaking = False
        self._ended = round(min(self._last * STEP_SECONDS + MARGIN, now), 2)
        strongest, self._strongest = self._strongest, float("-inf")
        return Event("end", self._ended, now, strongest)
