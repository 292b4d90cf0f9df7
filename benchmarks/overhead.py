"""What one window costs beside the encoder. ``python -m benchmarks.overhead tiny.en.pt base.pt small large-v3``

Each row is the median time, over that of the whole encoder in the same run, of listening (the encoder up to the gate's
block, and a gate there) and of edits. A name of a size stands for random weights of that size: the cost does not depend
on them. ``--device cuda --dtype float16 --batch 16`` measures on a GPU.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from whisper.model import AudioEncoder

from benchmarks.common import seconds, stand_in
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.eval.provenance import machine
from whisper_steer.models.load import load_model
from whisper_steer.steer.steering import Steering

SIZES = {
    "tiny": (80, 384, 6, 4),
    "base": (80, 512, 8, 6),
    "small": (80, 768, 12, 12),
    "medium": (80, 1024, 16, 24),
    "large-v3": (128, 1280, 20, 32),
}
"""mel bins, width, heads and blocks of the encoder"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "models", nargs="+", help=f"a .pt, an official name, or one of {', '.join(SIZES)} with random weights"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--gate-block", type=int, help="that the gate reads; by default the middle one")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    print(f"{machine()}; {options.device} {options.dtype}, batch {options.batch}")
    titles = (
        "encoder",
        "up to the gate",
        "conv gate",
        "dense gate",
        "sae gate",
        "silence",
        "clamp",
        "mean difference",
    )
    print(f"\n{'model':24}" + "".join(f"{title:>18}" for title in titles))
    for name in options.models:
        encoder = load(name).to(device, dtype).eval()
        n_mels, n_state = encoder.conv1.in_channels, encoder.conv1.out_channels
        mel = torch.randn(options.batch, n_mels, 3000, device=device, dtype=dtype)
        hidden = torch.randn(options.batch, 1500, n_state, device=device, dtype=dtype)

        def encode(encoder: AudioEncoder = encoder, mel: torch.Tensor = mel) -> None:
            with torch.no_grad():
                encoder(mel)
            wait(device)

        block = len(encoder.blocks) // 2 if options.gate_block is None else options.gate_block
        point = f"blocks.{block}"
        prefix = Prefix(encoder, point, fast=True)
        gates = [stand_in(encoder, point, gate=kind).gate.to(device) for kind in ("conv", "dense", "sae")]
        edits = [
            Steering(stand_in(encoder, point), mode="steer", method=method)
            for method in ("silence", "clamp", "mean-difference")
        ]
        parts: list[Callable[[], object]] = [
            partial(prefix, mel),
            *(partial(gate.evidence, hidden) for gate in gates),
            *(partial(steering.edit, hidden) for steering in edits),
        ]
        base = seconds(encode, min(options.repeats, 3) if n_state > 512 else options.repeats)
        cells = [f"{base * 1e3:.0f} ms"]
        for part in parts:

            def once(part: Callable[[], object] = part) -> None:
                with torch.no_grad():
                    part()
                wait(device)

            cost = seconds(once, options.repeats * 4)
            cells.append(f"{cost * 1e3:.2f} ms {cost / base:.2%}")
        print(f"{Path(name).name:24}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
        del encoder
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\npeak memory of this process {peak:.1f} GiB")


def load(name: str) -> AudioEncoder:
    if name in SIZES:
        n_mels, n_state, n_head, n_layer = SIZES[name]
        return AudioEncoder(n_mels, 1500, n_state, n_head, n_layer)
    return load_model(name, "cpu").encoder


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
