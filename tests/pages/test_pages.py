"""The pages of latents: their numbers are right, their sounds are those named, and nothing on them acts or loads."""

from __future__ import annotations

import base64
import copy
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import whisper
from helpers import make_artifact, random_sae, run
from PIL import Image
from sklearn.metrics import roc_auc_score
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.data.load import load
from whisper_steer.errors import DataError, UsageError
from whisper_steer.fit.windows import single
from whisper_steer.pages.choose import chosen, names_in, read_stability, sampled
from whisper_steer.pages.clamp import Clamping
from whisper_steer.pages.numbers import DOMAINS, domain_of

from .conftest import HOSTILE, Made

READABLE = 6


@pytest.fixture(scope="module")
def dense(made: Made, tiny_model: Whisper) -> dict[str, np.ndarray]:
    """Latents (frames, n) of every clip in one dense array, with stock's own spectrogram; clip and label of each frame.

    By openai-whisper's functions and `single`, not by the code that makes the pages.
    """
    sae, parts, clip, labels = random_sae(), [], [], []
    kept: list[torch.Tensor] = []
    handle = tiny_model.encoder.blocks[1].register_forward_hook(lambda _m, _i, out: kept.append(out))
    for i, each in enumerate(_clips(made)):
        samples = each.samples()
        mel = _stock_mel(samples)
        with torch.no_grad():
            tiny_model.encoder(mel[None])
            n = len(samples) // 320
            parts.append(sae.encode(kept.pop()[0, :n].half().float()).numpy())
        clip.append(np.full(n, i))
        known = single(each).labels[:n]
        labels.append(np.full(n, -1) if each.voice else known)
    handle.remove()
    return {"z": np.concatenate(parts), "clip": np.concatenate(clip), "labels": np.concatenate(labels)}


def _clips(made: Made) -> list[Clip]:
    """In the order of the manifest, without the broken one."""
    return [c for c in load(f"manifest:{made.manifest}") if "broken" not in c.id]


def _stock_mel(samples: np.ndarray) -> torch.Tensor:
    """The first window as openai-whisper's `transcribe` makes it."""
    mel = whisper.log_mel_spectrogram(samples, padding=480000)
    return whisper.pad_or_trim(mel[:, : len(samples) // 160], 3000)


def test_every_number_is_what_it_says(made: Made, dense: dict[str, np.ndarray]) -> None:
    z, labels, table = dense["z"], dense["labels"], made.data["latents"]
    np.testing.assert_allclose(table["density"], (z > 0).mean(axis=0), rtol=2e-3, atol=2e-3)
    known = labels >= 0
    expected = [roc_auc_score(labels[known] == SPEECH, column) for column in z[known].T]
    np.testing.assert_allclose(table["auroc"], expected, atol=2e-3)
    kinds = np.array([domain_of(c) or "" for c in _clips(made)])[dense["clip"]]
    kinds[(kinds == "speech") & (labels != SPEECH)] = ""
    for d, domain in enumerate(DOMAINS):
        inside = (z[kinds == domain] > 0).mean(axis=0)
        outside = (z[(kinds != domain) & (kinds != "")] > 0).mean(axis=0)
        np.testing.assert_allclose(table["inside"][d], inside, atol=3e-3)
        np.testing.assert_allclose(table["outside"][d], outside, atol=3e-3)
    for j, counts in enumerate(table["histogram"]):
        assert abs(sum(counts) - (z[:, j] > 0).sum()) <= 1
        assert table["largest"][j] == pytest.approx(z[:, j].max(), rel=2e-3, abs=1e-6)
    gaps = np.array(table["inside"]) - np.array(table["outside"])
    for j, domain in enumerate(table["domain"]):
        best = int(gaps[:, j].argmax())
        assert domain == (DOMAINS[best] if gaps[best, j] > 0.04 else "")
    assert table["stability"][3] == 0.75
    assert table["stability"][2] is None
    assert set(labels) == {-1, NONSPEECH, SPEECH}


def test_the_effect_is_the_derivative_of_what_the_decoder_does(made: Made, tiny_model: Whisper) -> None:
    """Central difference of the log odds that nothing is written, by openai-whisper's decoder alone."""
    sae, table = random_sae(), made.data["latents"]
    j = int(np.argmax(np.abs(table["gradient"])))
    clamping = Clamping(tiny_model, "blocks.1", sae)
    tokenizer = whisper.tokenizer.get_tokenizer(False)
    slopes = []
    for clip in _clips(made):
        if clip.kind != "nonspeech" or clip.voice:
            continue
        hidden = clamping.window(clip)
        _, scale = sae.normalise(hidden)
        odds = []
        for step in (1e-2, -1e-2):
            moved = hidden + step * scale * sae.W_dec[j].detach()
            with torch.no_grad():
                features = tiny_model.encoder.ln_post(moved[None])
                prompt = torch.tensor([tokenizer.sot_sequence_including_notimestamps])
                logits = tiny_model.decoder(prompt, features)[0, -1]
            odds.append(float(logits[tokenizer.eot] - logits[: tokenizer.eot].logsumexp(0)))
        slopes.append((odds[0] - odds[1]) / 2e-2)
    assert table["gradient"][j] == pytest.approx(np.mean(slopes), rel=0.02)


def test_snippets_are_the_moments_they_name(made: Made, dense: dict[str, np.ndarray]) -> None:
    by_name = {c.id: (i, c) for i, c in enumerate(_clips(made))}
    seen = 0
    for j in made.data["shown"][:20]:
        previous = np.inf
        for m in made.latent(j)["moments"]:
            i, clip = by_name[m["clip"]]
            column = dense["z"][dense["clip"] == i, j]
            assert m["value"] == pytest.approx(column.max(), rel=2e-3)
            assert m["value"] <= previous
            previous = m["value"]
            first = round(m["start"] * 50)
            np.testing.assert_allclose(m["curve"], column[first : first + 100], atol=2e-3)
            assert m["start"] <= m["at"] < m["start"] + m["seconds"]
            kind, _, content = m["audio"].partition(",")
            assert kind == "data:audio/mpeg;base64"
            heard, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
            meant = clip.samples()[first * 320 :][: len(m["curve"]) * 320]
            assert (rate, len(heard)) == (16000, len(meant))
            assert np.corrcoef(heard, meant)[0, 1] > (0.95 if clip.kind == "speech" else 0.7)
            picture = Image.open(io.BytesIO(base64.b64decode(m["picture"].partition(",")[2])))
            assert picture.size == (max(400, len(meant)) // 160, 80)
            seen += 1
    assert seen >= 30


def test_clamping_is_the_latent_set_and_nothing_else(made: Made, tiny_model: Whisper) -> None:
    sae = random_sae()
    clamping = Clamping(tiny_model, "blocks.1", sae)
    hidden = clamping.window(_clips(made)[0])
    z, (x, scale) = sae.encode(hidden).detach(), sae.normalise(hidden)
    for value in (0.0, 0.7):
        want = z.clone()
        want[:, 5] = value
        error = x - sae.decode(z)
        expected = ((sae.decode(want) + error) * scale + sae.mean).detach()
        torch.testing.assert_close(clamping.clamped(hidden, 5, value), expected, atol=1e-4, rtol=1e-4)
    texts = next(t["texts"] for t in map(made.latent, made.data["shown"]) if t["texts"])
    assert [t["kind"] for t in texts] == ["speech", "nonspeech"]
    by_name = {c.id: c for c in _clips(made)}
    options = whisper.DecodingOptions(
        language="en", without_timestamps=True, suppress_blank=False, fp16=False, sample_len=100
    )
    for text in texts:
        samples = by_name[text["clip"]].samples()
        mel = _stock_mel(samples)
        assert text["plain"] == whisper.decode(tiny_model, mel, options).text


def test_a_decoder_that_ends_at_once_writes_nothing(made: Made, tiny_model: Whisper) -> None:
    silent = copy.deepcopy(tiny_model)
    with torch.no_grad():
        silent.decoder.ln.weight.zero_()
        silent.decoder.ln.bias.copy_(10 * silent.decoder.token_embedding.weight[50256])
    texts = Clamping(silent, "blocks.1", random_sae()).texts(_clips(made)[3], 5, 0.7)
    assert texts.to_dict() == {"plain": "", "zero": "", "high": ""}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]


def test_nothing_is_loaded_and_no_label_acts(made: Made) -> None:
    """A label may hold anything: it is text in JSON, in which it closes no script."""
    tags = _Tags()
    tags.feed(made.index)
    assert tags.found.count("script") == 2
    assert not {"img", "link", "iframe", "object", "embed"} & set(tags.found)
    assert tags.addresses == []
    for text in (made.index, *(path.read_text() for path in made.folder.glob("*.js"))):
        without = text.replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"https?:|url\(|@import|fetch\(|XMLHttpRequest|innerHTML|insertAdjacent|eval\(", without
        )
    assert "onerror=" not in made.index
    scripts = list(made.folder.glob("latent-*.js"))
    assert not any("<" in path.read_text(encoding="ascii") for path in scripts)
    labels = {m["label"] for j in made.data["shown"] for m in made.latent(j)["moments"]}
    assert HOSTILE in labels


def test_a_clip_that_cannot_be_read_is_told_and_left_out(made: Made) -> None:
    assert "Skipping" in made.result.output
    assert "broken.wav" in made.result.output
    assert made.data["about"]["clips"].startswith(f"{READABLE} (")


def test_the_folder_is_replaced_whole_and_only_ours(made: Made, tiny_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages"
    options = [
        "--model",
        tiny_path,
        "--point",
        "blocks.1",
        "--data",
        f"manifest:{made.manifest}",
        "--texts",
        "0",
    ]
    for wanted, files in (("5,7", {"latent-5.js", "latent-7.js"}), ("2", {"latent-2.js"})):
        assert run("features", made.sae, *options, "--latents", wanted, "--out", out).exit_code == 0
        assert {path.name for path in out.iterdir()} == {"index.html", "card.json"} | files
    (out / "mine.txt").write_text("kept")
    refused = run("features", made.sae, *options, "--out", out)
    assert refused.exit_code == 2
    assert "mine.txt" in refused.output
    assert (out / "latent-2.js").exists()


def test_wrong_usage_is_told(made: Made, tiny_path: Path, tmp_path: Path) -> None:
    data = ["--data", f"manifest:{made.manifest}", "--out", tmp_path / "pages"]
    alone = run("features", made.sae, *data)
    assert (alone.exit_code, "--model" in alone.output) == (2, True)
    point = run("features", made.sae, "--model", tiny_path, "--point", "blocks.7", *data)
    assert (point.exit_code, "ln_post" in point.output) == (2, True)
    belongs = ["--model", tiny_path, "--point", "blocks.1"]
    latents = run("features", made.sae, *belongs, "--latents", "3,128", *data)
    assert (latents.exit_code, "127" in latents.output) == (2, True)
    empty = run("features", made.sae, *belongs, "--split", "fit", *data)
    assert (empty.exit_code, "--split" in empty.output) == (1, True)
    assert not (tmp_path / "pages").exists()


def test_which_latents_are_shown() -> None:
    auroc, density = np.array([0.9, 0.5, 0.05, np.nan, 0.6]), np.array([0.1, 0.2, 0.1, 0.3, 0.0])
    assert chosen("all", auroc, density) == [0, 1, 2, 3]
    assert chosen("top:2", auroc, density) == [0, 2]
    assert chosen("4, 1", auroc, density) == [1, 4]
    for wrong in ("5", "top:x", "-1", ""):
        with pytest.raises(UsageError):
            chosen(wrong, auroc, density)


def test_a_sample_takes_the_domains_in_turn() -> None:
    def clip(kind: str, dataset: str, label: str | None, i: int) -> Clip:
        return Clip(
            kind, "test", f"{dataset}/{i}", np.zeros(1), dataset, id=f"{dataset}/{label}/{i}", label=label
        )  # type: ignore[arg-type]

    many = [clip("speech", "a", None, i) for i in range(50)] + [
        clip("speech", "b", None, i) for i in range(3)
    ]
    many += [clip("nonspeech", "c", "flute", i) for i in range(20)]
    many += [clip("nonspeech", "d", label, i) for label in ("wind", "rain") for i in range(20)]
    found = sampled(many, 12)
    assert [sum(c.dataset in names for c in found) for names in ("ab", "c", "d")] == [4, 4, 4]
    assert [sum(c.dataset == name for c in found) for name in "ab"] == [2, 2]
    assert sum(c.label == "wind" for c in found) == 2
    assert len(sampled(many, 1000)) == len(many)


def test_names_are_shown_where_they_are_of_this_sae(tiny_model: Whisper, tmp_path: Path) -> None:
    from whisper_steer.explain.names import Name, Names
    from whisper_steer.explain.vote import Vote

    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    assert names_in(artifact, "blocks.1", random_sae()) == {}
    artifact.save(tmp_path / "artifact")
    index = torch.tensor([4, 9])
    vote = Vote(torch.ones(2), torch.zeros(2, 2), torch.zeros(2))
    named = [Name(4, "dog bark", "sound", 0.9, 5), Name(9, "rain", "sound", 0.8, 4)]
    classes = [("dog bark", "animal"), ("rain", "weather")]
    levels = torch.ones(2)
    Names(artifact.fingerprint, "blocks.1", named, random_sae().latents(index), levels, classes, vote).save(
        tmp_path / "artifact"
    )
    assert names_in(artifact, "blocks.1", random_sae()) == {4: "dog bark", 9: "rain"}
    assert names_in(artifact, "blocks.1", random_sae(seed=1)) == {}
    assert names_in(artifact, "blocks.0", random_sae()) == {}


def test_stability_of_another_sae_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stability.json"
    path.write_text(
        '{"values": [{"sae": "a", "best_iou": [0.5, null]}, {"sae": "b", "best_iou": [0.4, 0.2]}]}'
    )
    for sae, n in ((tmp_path / "c.safetensors", 2), (tmp_path / "a.safetensors", 3)):
        with pytest.raises(DataError, match="lab stability"):
            read_stability(path, sae, n)
    np.testing.assert_array_equal(read_stability(path, Path("a.safetensors"), 2), [0.5, np.nan])


def test_a_hubert_has_pages_without_texts(made: Made, tmp_path: Path) -> None:
    """An encoder without a decoder: no effect, and it is said."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.HubertModel(config).save_pretrained(tmp_path / "hubert")
    options = ["--model", tmp_path / "hubert", "--point", "blocks.1", "--latents", "top:2"]
    result = run(
        "features", made.sae, *options, "--data", f"manifest:{made.manifest}", "--out", tmp_path / "out"
    )
    assert result.exit_code == 0, result.output
    assert "need a Whisper" in result.output
    assert '"effect":null' in (tmp_path / "out" / "index.html").read_text()
    assert len(list((tmp_path / "out").glob("latent-*.js"))) == 2
