"""Train nano from scratch: python -m whisper_steer.nano.train --data DIR --work DIR --out nano.pt

DATA holds a manifest.jsonl with the Free Spoken Digit Dataset and non-speech; voices are synthesised into WORK once.
The learning rate and the length of the strings follow the time spent of --minutes. A checkpoint is written to WORK
every few minutes; --resume goes on from it.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import pickle
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed
from torch.multiprocessing.spawn import spawn
from tqdm import tqdm

from whisper_steer.nano import speech
from whisper_steer.nano.batches import ENCODER_ONLY, make_batch
from whisper_steer.nano.network import WEIGHTS, Nano
from whisper_steer.nano.strings import Composer


def sounds(
    data: Path, work: Path, seed: int
) -> tuple[list[speech.Unit], list[speech.Unit], list[speech.Audio]]:
    """Recorded digits, synthesised voices and noises of the fit split; cached in WORK."""
    cache = work / "sounds.pkl"
    if cache.exists():
        known: tuple[list[speech.Unit], list[speech.Unit], list[speech.Audio]] = pickle.loads(
            cache.read_bytes()
        )
        return known
    noises = [np.asarray(n[: 20 * speech.RATE]) for n in speech.noises(data, "fit")]
    found = speech.recorded(data, "fit"), speech.synthesised(speech.training_voices(), 2, 4, seed), noises
    cache.with_suffix(".tmp").write_bytes(pickle.dumps(found))
    os.replace(cache.with_suffix(".tmp"), cache)
    return found


def learning_rate(progress: float, step: int, peak: float) -> float:
    """Linear warm-up over 150 steps, then a cosine to 1 % of the peak."""
    return (
        peak * min(1.0, (step + 1) / 150) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
    )


def save(thing: object, path: Path) -> None:
    torch.save(thing, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def average(net: Nano, spent: float, workers: int) -> float:
    """Average gradients, and the time spent, over the workers; returns the latter."""
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in grads] + [torch.tensor([spent])])
    distributed.all_reduce(flat)
    flat /= workers
    at = 0
    for g in grads:
        g.copy_(flat[at : at + g.numel()].view_as(g))
        at += g.numel()
    return float(flat[-1])


def train(rank: int, args: argparse.Namespace) -> None:
    """One worker: train for the minutes asked for; the first writes checkpoints and the averaged weights."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"file://{args.work.resolve()}/rendezvous", None, args.workers, rank
    )
    torch.manual_seed(args.seed)
    net, step, spent = Nano(), 0, 0.0
    mean = copy.deepcopy(net)
    learned: list[torch.Tensor] = [p for p in net.parameters() if p.requires_grad]
    averaged: list[torch.Tensor] = [p for p in mean.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.ndim > 1], "weight_decay": 0.02},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=args.rate, betas=(0.9, 0.98))
    last = args.work / "last.pt"
    if args.resume and last.exists():
        state = torch.load(last, weights_only=True)
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["mean"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]
    composer = Composer(*sounds(args.data, args.work, args.seed), seed=args.seed + 1000 * rank + step)
    began, saved = time.monotonic() - spent, time.monotonic()
    running: dict[str, float] = {}
    bar = tqdm(
        total=round(args.minutes * 60), initial=round(spent), unit="s", mininterval=20, disable=rank > 0
    )
    while spent < args.minutes * 60:
        progress = spent / 60 / args.minutes
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(progress, step, args.rate)
        batch = make_batch(composer, progress, np.random.default_rng([args.seed, step]))
        losses = net.losses(
            batch, "decoder" if args.decoder_only else "encoder" if progress < ENCODER_ONLY else "all"
        )
        optimiser.zero_grad()
        sum((WEIGHTS[k] * v for k, v in losses.items()), start=torch.zeros(())).backward()
        spent = average(net, time.monotonic() - began, args.workers)
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(learned, 1.0)):
            optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(averaged, learned, 1 - min(0.996, (1 + step) / (10 + step)))
        step += 1
        for k, v in losses.items():
            running[k] = 0.98 * running.get(k, v.item()) + 0.02 * v.item()
        bar.update(max(round(spent) - bar.n, 0))
        bar.set_postfix(step=step, **{k: f"{v:.3f}" for k, v in running.items()}, refresh=False)
        if rank == 0 and time.monotonic() - saved > 180:
            saved = time.monotonic()
            state = {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict()}
            save({**state, "step": step, "spent": spent}, last)
            save(mean.export(), args.out)
    if rank == 0:
        save(mean.export(), args.out)
    bar.close()
    distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with manifest.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="folder for the cache and checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="where the fp16 checkpoint goes")
    parser.add_argument("--minutes", type=float, default=80.0, help="wall time to train")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--resume", action="store_true", help="go on from WORK/last.pt")
    parser.add_argument("--decoder-only", action="store_true", help="keep the encoder as it is")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    (args.work / "rendezvous").unlink(missing_ok=True)
    sounds(args.data, args.work, args.seed)
    spawn(train, (args,), nprocs=args.workers)


if __name__ == "__main__":
    main()
