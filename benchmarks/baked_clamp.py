"""Can the clamp itself live in the weights? ``python -m benchmarks.baked_clamp MODEL --manifest FILE``

Latents that read the normalised input u of an MLP and write into the residual stream (a transcoder) are trained on a
few recordings; those that speak most for non-speech are clamped to 0, by a hook and as extra neurons of the MLP. The
table gives the difference of the encoder's output between the two, by how sharp the GELU is made, in float32 and in
CTranslate2's number formats, beside what the number format alone changes in the stock model.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import whisper
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.own import manifest as from_manifest
from whisper_steer.data.pack import load_pack
from whisper_steer.encoders.hooks import hooked
from whisper_steer.export import bake as baking
from whisper_steer.export.write import load_exported, log_mel
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.models.load import load_model
from whisper_steer.sae.model import SAE, SAEConfig
from whisper_steer.sae.train import batch_top_k


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--manifest", type=Path, help="recordings; without it, the built-in pack")
    parser.add_argument("--block", type=int, help="by default the last but one")
    parser.add_argument("--latents", type=int, default=20)
    parser.add_argument(
        "--clips", type=int, default=12, help="of each kind, to fit on and again to compare on"
    )
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = load_model(options.model, "cpu")
    block = options.block if options.block is not None else model.dims.n_audio_layer - 2
    clips = from_manifest(options.manifest) if options.manifest else load_pack()
    fitted = [mels(model, clips, kind, ("fit",), options.clips) for kind in ("speech", "nonspeech")]
    held = [mels(model, clips, kind, ("test", "choose"), options.clips) for kind in ("speech", "nonspeech")]
    compare = [*held[0], *held[1]]

    speech, nonspeech = (record(model, block, each) for each in fitted)
    latents = Transcoder(speech, nonspeech, steps=options.steps)
    chosen = latents.most_nonspeech(speech[0], nonspeech[0], options.latents)
    clamp = latents.clamp(model, block, chosen)
    expected = [clamp(mel) for mel in compare]
    with torch.no_grad():
        stock = [model.encoder(mel[None]) for mel in compare]
    print(
        f"{options.model}, block {block}, {options.latents} latents clamped to 0, {len(compare)} recordings"
    )
    print(
        f"the clamp changes the encoder's output by {relative(stock, expected):.1%} (root mean square, relative)"
    )
    print(f"\n{'baked as':34}{'largest diff.':>14}{'relative rms':>14}{'same tokens':>13}")

    known = {id(reference): tokens(model, reference) for reference in (stock, expected)}

    def row(name: str, encode: Callable[[Tensor], Tensor], reference: list[Tensor]) -> None:
        with torch.no_grad():
            found = [encode(mel[None]) for mel in compare]
        largest = max(float((a - b).abs().max()) for a, b in zip(found, reference, strict=True))
        same = sum(a == b for a, b in zip(tokens(model, found), known[id(reference)], strict=True))
        print(
            f"{name:34}{largest:14.2g}{relative(found, reference):14.2e}{same:>10}/{len(compare)}", flush=True
        )

    baked = {s: baking.bake_neurons(model, block, latents.neurons(chosen, s)) for s in (1, 10, 100, 1000)}
    for sharpness, each in baked.items():
        row(f"PyTorch float32, sharpness {sharpness}", each.encoder, expected)
    with tempfile.TemporaryDirectory() as scratch:
        for form in ("float32", "float16", "int8"):
            save_ct2(model, Path(scratch) / form, form)
            row(f"CTranslate2 {form}, stock model", load_exported(Path(scratch) / form), stock)
            for sharpness in (10, 100) if form != "float32" else (100,):
                folder = Path(scratch) / f"{form}-{sharpness}"
                save_ct2(baked[sharpness], folder, form)
                row(f"CTranslate2 {form}, sharpness {sharpness}", load_exported(folder), expected)
    texts(model, held, [stock, expected], len(held[0]))


class Transcoder:
    """Latents z of an MLP's input u from which the block's output h is rebuilt: ``h = mean + z @ directions``."""

    def __init__(self, *recorded: tuple[Tensor, Tensor], steps: int, k: int = 16) -> None:
        u, h = (torch.cat([pair[i] for pair in recorded]) for i in (0, 1))
        self.centre, self.mean = u.mean(dim=0), h.mean(dim=0)
        self.in_scale = float((u - self.centre).norm(dim=1).mean())
        self.out_scale = float((h - self.mean).norm(dim=1).mean())
        self.sae = SAE(SAEConfig(u.shape[1], 4, k))
        optimizer = torch.optim.Adam(self.sae.parameters(), lr=2e-3)
        bar = tqdm(range(steps), desc="transcoder")
        for _ in bar:
            rows = torch.randint(len(u), (1024,))
            z, threshold = batch_top_k(self.sae.pre_activations((u[rows] - self.centre) / self.in_scale), k)
            target = (h[rows] - self.mean) / self.out_scale
            loss = (z @ self.sae.W_dec - target).square().sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                self.sae.W_dec.div_(self.sae.W_dec.norm(dim=1, keepdim=True))
                self.sae.threshold += 0.05 * (threshold - self.sae.threshold)
            bar.set_postfix(unexplained=f"{float(loss / target.square().sum(dim=1).mean()):.3f}")

    @torch.no_grad()
    def most_nonspeech(self, speech: Tensor, nonspeech: Tensor, n: int) -> Tensor:
        """The n latents whose mean activation differs most between the two."""
        means = [self._z(u, slice(None)).mean(dim=0) for u in (speech, nonspeech)]
        return (means[1] - means[0]).topk(n).indices

    @torch.no_grad()
    def _z(self, u: Tensor, chosen: Tensor | slice) -> Tensor:
        weight, bias = self._linear(chosen)
        return torch.relu(u @ weight.T + bias - self.sae.threshold)

    @torch.no_grad()
    def _linear(self, chosen: Tensor | slice) -> tuple[Tensor, Tensor]:
        weight = self.sae.W_enc[:, chosen].T / self.in_scale
        bias = (self.sae.b_enc - self.sae.b_dec @ self.sae.W_enc)[chosen] - weight @ self.centre
        return weight, bias

    def clamp(self, model: Whisper, block: int, chosen: Tensor) -> Callable[[Tensor], Tensor]:
        """The encoder with the clamp as a hook: reads u, writes behind the block."""
        directions = self.sae.W_dec[chosen].detach() * self.out_scale
        read: list[Tensor] = []

        def run(mel: Tensor) -> Tensor:
            handle = model.encoder.blocks[block].mlp_ln.register_forward_hook(
                lambda _module, _inputs, output: read.append(output)
            )
            try:
                with (
                    torch.no_grad(),
                    hooked(
                        model.encoder,
                        (f"blocks.{block}", lambda h: h - self._z(read[-1], chosen) @ directions),
                    ),
                ):
                    return model.encoder(mel[None])
            finally:
                handle.remove()

        return run

    @torch.no_grad()
    def neurons(self, chosen: Tensor, sharpness: float) -> baking.Neurons:
        weight, bias = self._linear(chosen)
        n = len(chosen)
        return baking.clamp_neurons(
            weight,
            bias,
            self.sae.threshold.expand(n),
            self.sae.W_dec[chosen].detach() * self.out_scale,
            torch.zeros(n),
            sharpness=sharpness,
        )


def mels(model: Whisper, clips: list[Clip], kind: str, splits: tuple[str, ...], n: int) -> list[Tensor]:
    found = [c for c in clips if c.kind == kind and c.split in splits and not c.voice]
    picked = np.random.default_rng(0).choice(len(found), min(n, len(found)), replace=False)
    return [log_mel(model, found[i].samples()) for i in picked]


@torch.no_grad()
def record(model: Whisper, block: int, windows: list[Tensor]) -> tuple[Tensor, Tensor]:
    """(frames, n_state) of the MLP's input and of the block's output."""
    read: list[Tensor] = []
    wrote: list[Tensor] = []
    handle = model.encoder.blocks[block].mlp_ln.register_forward_hook(
        lambda _m, _i, output: read.append(output[0])
    )
    try:
        with hooked(model.encoder, (f"blocks.{block}", lambda h: wrote.append(h[0]))):
            for mel in windows:
                model.encoder(mel[None])
    finally:
        handle.remove()
    return torch.cat(read), torch.cat(wrote)


def relative(found: list[Tensor], reference: list[Tensor]) -> float:
    missed = sum(float((a - b).square().sum()) for a, b in zip(found, reference, strict=True))
    return (missed / sum(float(b.square().sum()) for b in reference)) ** 0.5


def tokens(model: Whisper, features: list[Tensor], ban: bool = True) -> list[list[int]]:
    """Greedy, 24 tokens at most, all windows in one batch; ban: end-of-text may not come first, as in stock."""
    options = whisper.DecodingOptions(
        language="en",
        fp16=False,
        without_timestamps=True,
        sample_len=24,
        suppress_blank=ban,
        length_penalty=0.0,
    )
    return [result.tokens for result in whisper.decode(model, torch.cat(features), options)]


def texts(model: Whisper, held: list[list[Tensor]], runs: list[list[Tensor]], n_speech: int) -> None:
    """What the clamp without a gate does: text on non-speech, and on speech."""
    stock, clamped = (tokens(model, run, ban=False) for run in runs)
    for name, part in (("speech", slice(n_speech)), ("non-speech", slice(n_speech, None))):
        before, after = stock[part], clamped[part]
        same = sum(a == b for a, b in zip(before, after, strict=True))
        print(
            f"{name}: text on {sum(map(bool, before))} of {len(before)} stock, {sum(map(bool, after))} clamped without "
            f"a gate; tokens as stock's on {same} (silence allowed in both)"
        )


if __name__ == "__main__":
    main()
