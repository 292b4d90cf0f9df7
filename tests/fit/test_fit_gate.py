"""If these fail, the gate does not hear what its features tell apart, or learns from labels in the wrong place."""

import numpy as np
import pytest
import torch

from whisper_steer.data.labels import NONSPEECH, SPEECH, UNKNOWN
from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError
from whisper_steer.fit.conv_gate import step_labels
from whisper_steer.fit.fit_gate import fit_gates
from whisper_steer.gate.kinds import Conv, Gate, Linear
from whisper_steer.sae.model import Latents


def made(
    rng: np.random.Generator, n: int, frames: int = 40, shift: float = 4.0, around: float = 0.0
) -> Activations:
    """Windows of noise; in every second one ``frames`` frames of speech, moved along one direction and what lies around
    it along another. In the others the same frames move, and nothing around them."""
    hidden = rng.normal(size=(n, 1500, 8)).astype(np.float16)
    labels = np.full((n, 1500), NONSPEECH, np.int8)
    speech = np.arange(n) % 2 == 0
    for i in range(n):
        start = int(rng.integers(60, 1400))
        if speech[i] or around:
            hidden[i, start : start + frames, 3] += shift
        if speech[i]:
            labels[i, start : start + frames] = SPEECH
            hidden[i, start - 40 : start + frames + 40, 5] += around
    return Activations(hidden, labels, np.full(n, 1500), speech, ["as recorded"] * n)


def margin(gate: Gate, test: Activations) -> float:
    """Between the strongest evidence in windows with speech and in those without."""
    strongest = torch.cat([gate.evidence(test.frames(i)[None]).amax(dim=1) for i in range(len(test.speech))])
    return float(strongest[test.speech].min() - strongest[~test.speech].max())


def test_every_gate_separates_what_its_features_separate(rng: np.random.Generator) -> None:
    """Speech moved along one direction: each gate must find it, on windows it has not seen."""
    train, test = made(rng, 16), made(rng, 16)
    latents = Latents(torch.zeros(8), torch.eye(8), torch.zeros(8), torch.tensor(0.0), torch.eye(8))
    gates = fit_gates(train, latents, conv_steps=60)
    assert {name: type(gate) for name, gate in gates.items()} == {
        "dense": Linear,
        "sae": Linear,
        "conv": Conv,
    }
    for name, gate in gates.items():
        assert margin(gate, test) > 0, name


@pytest.mark.slow
def test_the_convolution_tells_a_bark_from_a_word(rng: np.random.Generator) -> None:
    """0.2 s that look the same in speech and in noise: what lies around them must decide."""
    train, test = made(rng, 32, 10, 6.0, 1.5), made(rng, 16, 10, 6.0, 1.5)
    gates = fit_gates(train, conv_steps=150)
    assert margin(gates["dense"], test) < margin(gates["conv"], test)
    assert margin(gates["conv"], test) > 0


def test_labels_of_steps() -> None:
    """A step is speech where either of its frames is; where one is unknown, nothing is learned from it."""
    frames = np.array(
        [[SPEECH, UNKNOWN, NONSPEECH, SPEECH, UNKNOWN, NONSPEECH, NONSPEECH, NONSPEECH]], np.int8
    )
    assert step_labels(frames).tolist() == [[SPEECH, SPEECH, UNKNOWN, NONSPEECH]]


def test_without_speech_there_is_no_gate(rng: np.random.Generator) -> None:
    silent = made(rng, 4)
    silent.labels[:] = NONSPEECH
    with pytest.raises(FitError, match="no speech was found"):
        fit_gates(silent)
