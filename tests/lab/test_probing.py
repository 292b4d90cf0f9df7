"""A sweep sees few latents suffice where few were planted, and chance where there is nothing."""

import numpy as np

from whisper_steer.lab.hold_out import HoldOut
from whisper_steer.lab.pooled import Features
from whisper_steer.lab.probing import plot, probe_counts


def test_planted_latents_saturate_at_their_number_and_noise_stays_at_chance(rng: np.random.Generator) -> None:
    n, width = 240, 60
    y = rng.integers(0, 3, n)
    held = HoldOut([(np.arange(120), np.arange(120, n))], np.arange(n).astype(str), "half")
    planted = rng.random((n, width))
    planted[np.arange(n), 7 * (1 + y)] += 3  # latents 7, 14 and 21 say the class
    found = probe_counts("blocks.0", "latents", Features(planted, width), y, held, (1, 3, 10, 500))
    assert found.counts == [1, 3, 10, 60]
    assert found.scores[0].value < 0.8
    assert found.scores[1].value > 0.97
    assert found.saturates == 3
    noise = probe_counts("blocks.0", "dense", Features(rng.random((n, width)), width), y, held, (10,))
    assert all(score.low < 1 / 3 < score.high for score in noise.scores)
    assert "blocks.0" in plot([found, noise], 1 / 3)
