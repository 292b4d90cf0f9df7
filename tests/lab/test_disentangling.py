"""Speakers lie on one side each, factors that say nothing are left out, and both representations are in the table."""

import numpy as np
import pytest

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.lab.disentangling import defined, part, plot, sides


def clip(split: str, group: str) -> Clip:
    return Clip("speech", split, group, np.zeros(1, np.float32))


def test_speakers_lie_on_one_side_each() -> None:
    clips = [clip(split, f"{split}{i}") for split in ("fit", "choose", "test") for i in range(10)]
    clips += [clip("fit", "test0"), clip("fit", "choose0"), clip("choose", "test1")]
    assert [side.tolist() for side in sides(clips, False)] == [
        list(range(10)), list(range(10, 20)), list(range(20, 30)),
    ]  # fmt: skip
    assert all((side == np.arange(20, 30)).all() for side in sides(clips, True))
    with pytest.raises(DataError, match="9 clips of split choose"):
        sides(clips[:10] + clips[11:], False)


def test_both_representations_on_the_same_factors(rng: np.random.Generator) -> None:
    rows = tuple(np.split(np.arange(150), 3))
    factors = rng.standard_normal((150, 14))
    factors[:, 3], factors[7, 4] = 1.0, np.nan
    factors, names = defined(factors, [f"f{i}" for i in range(14)], rows)
    assert names == [f"f{i}" for i in range(14) if i not in (3, 4)]
    mixed = factors @ np.linalg.qr(rng.standard_normal((12, 12)))[0]
    dense, latents = part("blocks.0", {"dense": mixed, "latents": factors}, factors, names, rows)
    assert dense.factors == latents.factors
    assert len(dense.factors) == 10
    assert (latents.r2 > 0.9).all()
    assert latents.completeness.min() > 0.95 > dense.completeness.max()
    assert latents.disentanglement > 0.95 > dense.disentanglement
    assert plot([dense, latents]).startswith("<svg")
    assert set(dense.to_dict()) >= {"r2", "completeness", "disentanglement"}
