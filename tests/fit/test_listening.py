"""If these fail, a gate is chosen or its promise made on something else than what a user's recording would show."""

import numpy as np
import pytest
import torch
from whisper.model import Whisper

from whisper_steer.data import labels as labels_of
from whisper_steer.data.clips import Clip
from whisper_steer.data.recordings import recordings
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.fit.listening import Heard, calibrate, compare, hear
from whisper_steer.gate.conformal import conformal_threshold
from whisper_steer.gate.hearing import listen
from whisper_steer.gate.kinds import Linear


def heard(kind: str, spoken: tuple[int, int] | None, loud: dict[tuple[int, int], float]) -> Heard:
    evidence = np.full(1000, -5.0, np.float32)
    for (a, b), value in loud.items():
        evidence[a:b] = value
    steps = np.zeros(1000, bool)
    if spoken:
        steps[slice(*spoken)] = True
    return Heard(evidence, steps, [spoken] if spoken else [], kind)


def test_gates_are_compared_where_they_lose_as_much_speech() -> None:
    """No threshold above 3 loses as little as 2 % of the speech. There 0.2 s of a pause are 1.2 s of a span."""
    loud = heard("recording", (100, 200), {(100, 200): 3.0, (700, 705): 4.0})
    quiet, dog = heard("nonspeech", None, {}), heard("nonspeech", None, {(10, 20): 3.5})
    many = [heard("speech", (100, 200), {(100, 200): 3.0}) for _ in range(40)]
    voices = [heard("voice", None, {(10, 20): 9.0}), heard("voice", None, {})]
    hard = [heard("hard", (100, 200), {(100, 200): value}) for value in (9.0, 9.0, 9.0, 0.0)]
    found = compare([loud, quiet, dog, *many, *voices, *hard])
    wrong, pause = loud.wrong_seconds(3.0)
    assert wrong == pytest.approx((5 + 2 * 12) * 0.04)
    assert found["pauses_in_spans"] == pytest.approx(wrong / pause)
    assert (found["nonspeech_with_spans"], found["voice_with_spans"]) == (0.5, 0.5)
    assert found["hard_without_spans"] == 0.25
    assert found["cost"] == pytest.approx((wrong / pause + 0.5 + 0.5 + 0.25) / 4)


def test_a_calibration_knows_every_utterance_and_every_pause() -> None:
    recording = heard("recording", (100, 200), {(100, 200): 3.0, (700, 705): 4.0, (10, 20): 1.0})
    calibration = calibrate(
        [recording, heard("nonspeech", None, {(10, 20): 3.5}), heard("speech", (0, 50), {})]
    )
    assert calibration.utterances == 2
    assert sorted(calibration.nonspeech.tolist()) == [1.0, 3.5, 4.0]
    assert calibration.curve[-1].tolist() == [3.0, 1.0]


def test_each_clip_is_heard_as_a_users_is(
    tiny_model: Whisper, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several gates read one pass of the encoder, and each hears what `listen` hears; utterances lie where they are."""
    monkeypatch.setattr(labels_of, "speech_frames", lambda s: np.ones(-(-len(s) // 320), bool))

    def clip(kind: str, i: int) -> Clip:
        samples = rng.normal(size=48000).astype(np.float32) * 0.1
        return Clip(kind, "choose", f"{kind}{i}", samples, "d", id=f"{kind}{i}", seconds=3.0, text="one two")

    clips = [clip(kind, i) for kind in ("speech", "nonspeech") for i in range(4)]
    made = [*clips[:1], *clips[-1:], *recordings(clips, "pauses", 1, 0, split="choose")]
    prefix = Prefix(tiny_model.encoder, "blocks.0")
    gates = {str(i): Linear(torch.zeros(32), torch.randn(32), torch.tensor(0.0)) for i in range(2)}
    found = hear(prefix, gates, made, "here")
    for name, gate in gates.items():
        for clip_, each in zip(made, found[name], strict=True):
            assert np.array_equal(each.evidence, listen(prefix, gate, clip_.samples(), 0.0).evidence)
    speech, nonspeech, recording = found["0"]
    assert speech.spoken.all() and not nonspeech.spoken.any()
    assert recording.spoken.sum() == pytest.approx(
        75 * len(recording.utterances), abs=2 * len(recording.utterances)
    )
    assert len(recording.utterances) > 0


def test_what_harder_speech_loses_more_is_taken_off_the_curve() -> None:
    """Else a gate fitted from synthesised voices has a threshold that lets through all that comes near speech."""
    evidence = np.arange(100, dtype=np.float32)
    heard = [Heard(evidence, np.ones(100, bool), [(0, 100)], "speech")]
    plain, eased = (calibrate(heard, harder).curve for harder in (0.0, 0.2))
    assert torch.equal(plain[:, 0], eased[:, 0])
    assert torch.allclose(eased[:, 1], (plain[:, 1] - 0.2).clamp(min=0))
    n = len(heard)
    assert conformal_threshold(eased, n, 0.6) > conformal_threshold(plain, n, 0.6)
