"""Small artifacts made by hand, for tests that need something to steer with; the command line in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner, Result
from torch import nn

from whisper_steer.audio.load import SAMPLE_RATE
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.cli import main
from whisper_steer.encoders.fingerprint import bfloat16_fingerprint, encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.hearing import STEP_SAMPLES, Hearing
from whisper_steer.gate.kinds import Linear, steps_of
from whisper_steer.gate.spans import MARGIN, STEP_SECONDS
from whisper_steer.sae.model import SAE, SAEConfig, normalise
from whisper_steer.steer.artifact import Artifact, Calibration
from whisper_steer.steer.methods import METHODS, Edits
from whisper_steer.steer.silence import Condition, Silence
from whisper_steer.steer.steering import Steering


def random_sae(n_state: int = 32, expansion: int = 4, seed: int = 0) -> SAE:
    generator = torch.Generator().manual_seed(seed)
    sae = SAE(SAEConfig(n_state, expansion, k=4), generator)
    with torch.no_grad():
        sae.mean.copy_(torch.randn(n_state, generator=generator))
        sae.b_enc.copy_(torch.randn(sae.config.n_latents, generator=generator) * 0.05)
        sae.b_dec.copy_(torch.randn(n_state, generator=generator) * 0.05)
        sae.threshold.fill_(0.1)
    return sae


def a_silence(sae: SAE) -> Silence:
    """Moves latents 1 and 5 where latent 7 fires, averaged over two seconds."""
    condition = Condition(
        sae.latents(torch.tensor([7])), torch.ones(1), torch.tensor(-0.1), torch.tensor(0.1)
    )
    return Silence(sae.latents(torch.tensor([1, 5])), torch.tensor([0.4, -0.2]), condition)


def three_latents() -> Edits:
    """Edits whose numbers are known."""
    sae = random_sae()
    return Edits(
        latents=sae.latents(torch.tensor([2, 30, 77])),
        sign=torch.tensor([1.0, -1.0, -1.0]),
        clamp_value=torch.tensor([0.6, 0.0, 0.0]),
        typical=torch.tensor([0.2, 0.3, 0.4]),
        mean_difference=torch.arange(32.0),
        silence=a_silence(sae),
    )


def latents_changed(edits: Edits, h: torch.Tensor, delta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The latents before and what a change of the activations made of them, solved for by least squares."""
    z, scale = edits.latents.encode(h)
    solved = torch.linalg.lstsq(edits.latents.directions.T, (delta / scale).reshape(-1, 32).T).solution.T
    return z.reshape(-1, 3), solved


def make_artifact(encoder: nn.Module, *, threshold: float, hook_point: str = "blocks.1") -> Artifact:
    """An artifact whose gate's threshold is known. Its weights are random."""
    n_state = encoder.ln_post.weight.shape[0]  # type: ignore[union-attr, index]
    sae = random_sae(n_state)
    indices = torch.tensor([1, 5, 9, 40])
    generator = torch.Generator().manual_seed(1)
    n = len(indices)
    edits = Edits(
        latents=sae.latents(indices),
        sign=torch.tensor([1.0, -1.0, 1.0, -1.0]),
        clamp_value=torch.tensor([0.5, 0.0, 0.3, 0.0]),
        typical=torch.rand(n, generator=generator),
        mean_difference=torch.randn(n_state, generator=generator),
        silence=a_silence(sae),
    )
    return Artifact(
        name="by-hand",
        fingerprint=encoder_fingerprint(encoder),
        fingerprint_bfloat16=bfloat16_fingerprint(encoder),
        hook_point=hook_point,
        edits=edits,
        gate_point=hook_point,
        gate=Linear(
            sae.mean.clone(), torch.randn(n, generator=generator), torch.tensor(0.1), sae.latents(indices)
        ),
        calibration=Calibration(
            torch.tensor([[threshold, 0.0], [threshold + abs(threshold), 1.0]]),
            400,
            torch.tensor([threshold]),
        ),
        strengths=dict.fromkeys(METHODS, 1.5),
        info={
            "sae": {
                "k": 4,
                "n_latents": 4 * n_state,
                "explained_variance": 0.5,
                "mean_active": 4.0,
                "dead": 0.0,
            },
            "latents": [{"latent": int(i), "frame_auroc": 0.9, "effect": 0.1} for i in indices],
            "selected_by": "hand",
            "plan": {"training": {"steps": 3, "batch": 256}},
        },
        sae=sae,
    )


def telling_artifact(
    encoder: nn.Module, speech: np.ndarray, other: np.ndarray, hook_point: str = "blocks.1"
) -> Artifact:
    """An artifact whose gate takes one sound for speech and another not, by their mean activations.

    The sounds, of at most 30 s, have to be of one length: the gate sees where a window ends.
    """
    artifact = make_artifact(encoder, threshold=0.0, hook_point=hook_point)
    prefix, n = Prefix(encoder, hook_point), len(speech) // STEP_SAMPLES
    steps = [steps_of(prefix(window_mel(sound)[None]))[0, :n] for sound in (speech, other)]
    mean = torch.cat(steps).mean(dim=0)
    first, second = (normalise(each, mean)[0].mean(dim=0) for each in steps)
    weight = (first - second) * 10 / (first - second).square().sum()
    artifact.gate = Linear(mean, weight, -(first + second) @ weight / 2)
    return artifact


def small_hubert(folder: Path, layer_norm_first: bool) -> Path:
    """A HuBERT of transformers with random weights: three blocks, activations of width 24."""
    import transformers

    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        do_stable_layer_norm=layer_norm_first,
        feat_extract_norm="layer" if layer_norm_first else "group",
    )
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=layer_norm_first).save_pretrained(folder)
    return folder


class Told(Steering):
    """Steering that is told where somebody speaks: (start, end) in seconds, each longer than a second."""

    def __init__(self, artifact: Artifact, spans: list[tuple[float, float]], **options: Any) -> None:
        super().__init__(artifact, **options)
        self.told = spans

    def listen(self, prefix: Prefix, audio: np.ndarray | torch.Tensor) -> Hearing:
        evidence = np.full(-(-len(audio) // STEP_SAMPLES), -1.0, np.float32)
        for start, end in self.told:
            first, last = (round(t / STEP_SECONDS) for t in (start + MARGIN, end - MARGIN))
            evidence[first:last] = 1.0
        return Hearing(evidence, 0.0, len(audio) / SAMPLE_RATE)


def wrapped(encoder: Any, how: str) -> Any:
    """An encoder as users wrap it. Its numbers stay the same."""
    match how:
        case "compile":
            encoder = torch.compile(encoder, backend="eager")
        case "compile in place":
            encoder.compile(backend="eager")
        case "compile blocks":
            name = "blocks" if hasattr(encoder, "blocks") else "layers"
            blocks = [torch.compile(block, backend="eager") for block in getattr(encoder, name)]
            setattr(encoder, name, nn.ModuleList(blocks))
        case "data parallel":
            encoder = nn.DataParallel(encoder)
    return encoder


ALWAYS_OPEN, ALWAYS_SHUT = 1e9, -1e9
"""thresholds under which nothing, or all of it, is judged speech"""

ONCE = ("--temperature_increment_on_fallback", "None")
FILES = {"tone.json", "tone.srt", "tone.tsv", "tone.txt", "tone.vtt"}
"""what it writes for tone.wav"""
QUICK = ("--beam_size", "None", *ONCE)
"""options of `whisper-steer transcribe` that keep it to one greedy decoding"""


def run(*args: str | Path, stdin: bytes | None = None) -> Result:
    """`whisper-steer` in this process."""
    torch.manual_seed(0)
    return CliRunner().invoke(main, [str(a) for a in args], input=stdin)


def contents(folder: Path) -> dict[str, Any]:
    """File name -> text, or what the JSON says: a temperature may be 0 or 0.0, NaN is a word."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    return {
        name: json.loads(text, parse_constant=str) if name.endswith(".json") else text
        for name, text in texts.items()
    }
