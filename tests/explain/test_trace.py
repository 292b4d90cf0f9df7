"""If these fail, an explanation says what was not heard, or blames the wrong latent for a decision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_artifact, random_sae
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import ArtifactError
from whisper_steer.explain.names import Name, Names
from whisper_steer.explain.stretches import Explaining, heard
from whisper_steer.explain.trace import Trace, by_step, chunked, trace
from whisper_steer.explain.vote import Vote, fit_vote
from whisper_steer.gate.hearing import Hearing
from whisper_steer.gate.kinds import Linear
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.steering import Steering

CALLED = ("dog bark", "dog bark", "silence", "speech")
CLASSES = [("dog bark", "animal"), ("sentences", "speech"), ("silence",)]
VOTE = Vote(
    torch.full((4,), 0.9),
    torch.tensor([[5.0, 5.0, -2.0, -5.0], [-5.0, -5.0, -5.0, 9.0], [-5.0, -5.0, 9.0, -5.0]]),
    torch.tensor([0.0, 0.0, 1.0]),
)


def names_for(artifact: Artifact, point: str = "blocks.1", level: float = 0.1) -> Names:
    sae, indices = random_sae(), torch.tensor([3, 7, 11, 20])
    named = [
        Name(int(i), name, "sound", 0.5 + 0.1 * k, 4)
        for k, (i, name) in enumerate(zip(indices, CALLED, strict=True))
    ]
    return Names(
        artifact.fingerprint,
        point,
        named,
        sae.latents(indices),
        torch.full((4,), level),
        CLASSES,
        VOTE,
        {"data": "x"},
    )


@pytest.fixture
def artifact(tiny_model: Whisper) -> Artifact:
    return make_artifact(tiny_model.encoder, threshold=0.0)


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16000))).astype(np.float32)


def by_hand(activity: list[list[float]], added: list[list[float]] | None = None) -> Trace:
    """A trace of 0.48 s a row, for names of `CALLED`."""
    named = [Name(i, name, "sound", 0.5, 4) for i, name in enumerate(CALLED)]
    sae = random_sae()
    names = Names(
        "x", "blocks.0", named, sae.latents(torch.arange(4)), torch.full((4,), 0.5),
        CLASSES, VOTE,
    )  # fmt: skip

    def steps(rows: list[list[float]]) -> torch.Tensor:
        return torch.tensor(rows).repeat_interleave(12, dim=0).half()

    return Trace(names, steps(activity), None if added is None else steps(added))


def test_activity_is_that_of_the_sae_in_every_window(tiny_model: Whisper, artifact: Artifact) -> None:
    """Over a minute: each window decides where `listen` lets it, and the SAE agrees there."""
    names, samples = names_for(artifact), sound(61.3)
    prefix = Prefix(tiny_model.encoder, "blocks.1")
    found = trace(prefix, None, names, samples)
    assert found.added is None and found.activity.shape == (1533, 4)
    for start, first, last in ((0, 0, 710), (432000, 714, 818), (501120, 822, 1533)):
        hidden = prefix(window_mel(samples[start : start + 480000])[None])[0]
        with torch.no_grad():
            expected = by_step(random_sae().encode(hidden)[:, [3, 7, 11, 20]])
        offset = start // 640
        torch.testing.assert_close(
            found.activity[first:last].float(), expected[first - offset : last - offset], atol=2e-3, rtol=1e-2
        )


def test_what_a_latent_adds_is_what_the_evidence_loses_without_it(
    tiny_model: Whisper, artifact: Artifact
) -> None:
    """Against taking a small part of each latent out of the activations and asking the gate again."""
    samples = sound(4.0)
    names = names_for(artifact)
    generator = torch.Generator().manual_seed(3)
    gate = Linear(artifact.gate.mean, torch.randn(32, generator=generator), torch.tensor(0.1))
    prefix = Prefix(tiny_model.encoder, "blocks.1")
    added = trace(prefix, gate, names, samples).added
    assert added is not None
    hidden = prefix(window_mel(samples)[None])[0].float()
    z, scale = names.latents.encode(hidden)
    inside = 200  # frames of sound
    for i in range(4):
        part = 1e-3 * z[:, i : i + 1] * scale * names.latents.directions[i]
        part[inside:] = 0
        lost = (
            gate.evidence(hidden[None])[0, :100].sum() - gate.evidence((hidden - part)[None])[0, :100].sum()
        )
        assert float(added[:, i].float().sum()) == pytest.approx(1e3 * float(lost), rel=0.05, abs=0.02)


def test_a_short_sound_in_a_long_stretch_is_heard() -> None:
    quiet, bark, speech = [0, 0, 0.9, 0], [0.9, 0.9, 0, 0], [0, 0, 0, 0.9]
    found = by_hand([quiet] * 50 + [bark] * 2 + [quiet] * 6)
    assert [each.name for each in heard(found, 0.0, 58 * 0.48)] == ["dog bark"]
    assert [each.name for each in heard(found, 0.0, 10.0)] == ["silence"]
    both = heard(by_hand([bark] * 10 + [speech] * 10), 0.0, 20 * 0.48)
    assert {each.name for each in both} == {"dog bark", "speech"} and all(e.probability > 0.9 for e in both)


def test_the_vote_learns_what_tells_classes_apart() -> None:
    """Two latents of three classes and one that is noise, on clips that it has not seen."""
    generator = torch.Generator().manual_seed(0)

    def clips(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.arange(n) % 3
        means = torch.tensor([[1.0, 0.1], [0.1, 1.0], [0.1, 0.1]])[rows]
        noise = torch.rand(n, 1, generator=generator)
        return torch.cat([means * (0.5 + torch.rand(n, 2, generator=generator)), noise], dim=1), rows

    vote = fit_vote(*clips(60), *clips(30), torch.tensor([0.4, 0.4, 0.5]), 3)
    unseen, rows = clips(60)
    found = vote.probabilities(unseen)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(60))
    assert (found.argmax(dim=1) == rows).float().mean() > 0.95
    assert found[torch.arange(60), rows].mean() > 0.7
    by_hand = (unseen[0] / vote.typical).sqrt() @ vote.weight.T + vote.bias
    torch.testing.assert_close(found[0], by_hand.exp() / by_hand.exp().sum())


def test_reasons_are_the_heaviest_first_or_the_longest() -> None:
    activity = [[0.9, 0.2, 0.9, 0.9], [0.9, 0.2, 0.9, 0.0]]  # the second never fires
    plain = by_hand(activity).reasons(0.0, 0.96)
    assert [(r.latent, r.heard, r.weight) for r in plain] == [(0, 1.0, None), (2, 1.0, None), (3, 0.5, None)]
    weighed = by_hand(activity, [[0.5, 9, -2.0, 1.0], [0.5, 9, -2.0, 0.0]]).reasons(0.0, 0.96)
    assert [(r.latent, r.weight) for r in weighed] == [(2, -2.0), (0, 0.5), (3, 0.5)]


def test_the_ends_of_a_recording_can_be_asked_for() -> None:
    found = by_hand([[0.9, 0, 0, 0]])
    assert found.firing(0.47, 9.0).shape == found.firing(5.0, 9.0).shape == (1, 4)
    assert chunked(torch.ones(30, 2)).shape == (2, 2) and chunked(torch.ones(3, 2)).shape == (1, 2)


def test_names_come_back_from_disk_or_say_what_is_wrong(tmp_path: Path, artifact: Artifact) -> None:
    names, folder = names_for(artifact), artifact.save(tmp_path / "a")
    known = (artifact.fingerprint, None)
    with pytest.raises(ArtifactError, match="name-latents"):
        Names.load(folder, known)
    with pytest.raises(ArtifactError, match="name-latents"):
        Names.load(None, known)
    names.save(folder)
    found = Names.load(folder, known)
    assert (found.named, found.classes, found.point, found.info) == (
        names.named, names.classes, names.point, names.info,
    )  # fmt: skip
    torch.testing.assert_close(found.vote.weight, VOTE.weight)
    torch.testing.assert_close(found.latents.weight, names.latents.weight, atol=2e-3, rtol=1e-3)
    assert Artifact.load(folder).digest() == artifact.digest()  # steering does not change with names
    with pytest.raises(ArtifactError, match="another encoder"):
        Names.load(folder, ("sha256:other", None))
    text = (folder / "names.json").read_text()
    for damage in (
        "[1]",
        text.replace('"kind"', '"sort"'),
        text[:50],
        text.replace('"schema": 1', '"schema": 9'),
    ):
        (folder / "names.json").write_text(damage)
        with pytest.raises(ArtifactError, match="damaged"):
            Names.load(folder, known)
    artifact.save(folder)  # a new fit takes the place of the old, whose names are not its own
    assert not (folder / "names.json").exists()


def test_stretches_cover_the_recording(tmp_path: Path, tiny_model: Whisper, artifact: Artifact) -> None:
    """Whether the SAE lies where the gate listens decides whether reasons have weights."""
    folder = artifact.save(tmp_path / "a")
    evidence = np.full(250, -1.0, np.float32)
    evidence[80:150] = 1.0
    hearing = Hearing(evidence, 0.0, 10.0)
    for point in ("blocks.1", "blocks.0"):
        names_for(artifact, point, level=0.01).save(folder)
        found = Explaining(Steering(folder), tiny_model.encoder).explain(sound(10.0), hearing)
        assert [(s.start, s.end, s.speech) for s in found.stretches] == [
            (0.0, 2.72, False), (2.72, 6.48, True), (6.48, 10.0, False),
        ]  # fmt: skip
        assert [s.evidence for s in found.stretches] == [-1.0, 1.0, -1.0]
        reasons = [reason for stretch in found.stretches for reason in stretch.because]
        assert reasons and all((reason.weight is None) == (point == "blocks.0") for reason in reasons)
