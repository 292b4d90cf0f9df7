"""The tables' figures for a case small enough to work out by hand, and recordings with pauses."""

from __future__ import annotations

from typing import Any

import pytest

from whisper_steer.eval.metrics import Output, Window
from whisper_steer.eval.summary import clip_sets, summarise

CLIP: dict[str, Any] = {
    "split": "test", "text": None, "normalizer": "english", "label": None, "voice": False, "condition": "clean",
    "extra": {},
}  # fmt: skip
CLIPS = [
    CLIP | {"id": "n1", "kind": "nonspeech", "dataset": "rain", "group": "r1", "seconds": 30.0},
    CLIP | {"id": "n2", "kind": "nonspeech", "dataset": "rain", "group": "r2", "seconds": 30.0},
    CLIP | {"id": "v1", "kind": "nonspeech", "dataset": "street", "group": "r3", "seconds": 30.0, "voice": True},
    CLIP | {"id": "s1", "kind": "speech", "dataset": "read", "group": "a", "seconds": 30.0, "text": "the cat sat down"},
    CLIP | {"id": "s2", "kind": "speech", "dataset": "read", "group": "b", "seconds": 30.0, "text": "yes"},
    CLIP
    | {"id": "s1@snr:0", "kind": "speech", "dataset": "read", "group": "a", "seconds": 30.0, "text": "the cat sat down",
       "condition": "snr:0"},
]  # fmt: skip


def wrote(text: str, score: float | None = None, tokens: tuple[int, ...] = ()) -> Output:
    segments = [{"start": 0.0, "end": 1.0, "text": text, "tokens": list(tokens)}] if text else []
    return Output(text, segments, [Window(0.1, -0.5, text)], score)


STOCK = {
    "n1": wrote("thank you"), "n2": wrote(""), "v1": wrote("hello"), "s1": wrote("the cat sat", tokens=(1, 2)),
    "s2": wrote("yes", tokens=(3,)), "s1@snr:0": wrote("the cat"),
}  # fmt: skip
GATE = {
    "n1": wrote("", 1.0), "n2": wrote("", 0.0), "v1": wrote("hello", 3.0), "s1": wrote("the cat sat", 5.0, (1, 2)),
    "s2": wrote("", 2.0), "s1@snr:0": wrote("", 0.5),
}  # fmt: skip
SUMMARY = summarise(CLIPS, {"stock": STOCK, "gate": GATE}, {"stock": "stock", "gate": "stock"})


def test_voice_classes_stay_out_of_the_headline() -> None:
    sets = clip_sets(CLIPS)
    assert [c["id"] for c in sets["nonspeech", "all non-speech"]] == ["n1", "n2"]
    assert [c["id"] for c in sets["nonspeech", "all voice classes"]] == ["v1"]
    assert [c["id"] for c in sets["speech", "all speech"]] == ["s1", "s2"]
    assert [c["id"] for c in sets["speech", "single words"]] == ["s2"]


def test_nonspeech_figures_by_hand() -> None:
    """One of two clips with text; two words in one minute."""
    row = SUMMARY["nonspeech"]["all non-speech"]["stock"]
    assert (row["fsr_text"]["value"], row["F"]["value"], row["strings"]) == (0.5, 2.0, [["thank you", 1]])
    gated = SUMMARY["nonspeech"]["all non-speech"]["gate"]
    assert gated["fsr_text"]["value"] == 0.0
    assert (gated["against_stock"]["only_a"], gated["against_stock"]["only_b"]) == (0, 1)


def test_speech_figures_by_hand() -> None:
    """Stock drops one of five words, the gate two; one of its two clips comes out empty."""
    stock, gate = (SUMMARY["speech"]["all speech"][name] for name in ("stock", "gate"))
    assert (stock["wer"]["value"], stock["deletions"], stock["D"]["value"]) == (0.2, 1, 1.0)
    assert (gate["wer"]["value"], gate["frr"]["value"], gate["identical"]["value"]) == (0.4, 0.5, 0.5)
    assert gate["wer_against_stock"]["value"] == pytest.approx(0.2)


def test_the_curve_passes_through_stock_and_through_silence() -> None:
    """Threshold at the bottom: stock's F and D. Above n1's score of 1 and up to s2's of 2 nothing is lost."""
    points = {tuple(point[1:]) for point in SUMMARY["tradeoff"]["gate"]["curve"]}
    assert (2.0, 1.0) in points
    assert (0.0, 1.0) in points
    assert (0.0, 2.0) in points


def test_c_is_f_plus_k_d() -> None:
    row = SUMMARY["tradeoff"]["stock"]
    assert {k: v["value"] for k, v in row["C"].items()} == {
        "0.5": 2.5,
        "1": 3.0,
        "2": 4.0,
        "5": 7.0,
        "10": 12.0,
    }


def test_recordings_are_told_by_style_and_together() -> None:
    """A pause of half a minute with two words in it, and one of as long with none: 4 a minute, 0, and 2 together."""
    parts = [
        {"start": 0.0, "end": 2.0, "text": "yes", "filling": None, "clip": "a"},
        {"start": 2.0, "end": 32.0, "text": None, "filling": "room", "clip": None},
    ]
    clips = [
        CLIP
        | {"id": f"{style}/0", "kind": "recording", "dataset": "recordings", "group": style, "seconds": 32.0}
        | {"text": "yes", "condition": style, "extra": {"parts": parts}}
        for style in ("pauses", "babble")
    ]
    said = {"start": 0.1, "end": 1.8, "text": " Yes.", "tokens": []}
    false = {"start": 10.0, "end": 12.0, "text": " Thank you.", "tokens": []}
    found = {
        "stock": {"pauses/0": Output("x", [said, false], cpu=16.0), "babble/0": Output("x", [said], cpu=8.0)}
    }
    tables = summarise(clips, found, {"stock": "stock"})["recording"]
    assert set(tables) == {"all recordings", "pauses", "babble"}
    assert [tables[name]["stock"]["pause_words"]["value"] for name in tables] == [2.0, 4.0, 0.0]
    assert tables["all recordings"]["stock"]["rtf"]["value"] == 24 / 64
