"""Training of the Batch-Top-K SAE on recorded activations; resumable after a kill, the same for the same seed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError
from whisper_steer.files.disk import write_whole
from whisper_steer.sae.model import SAE, SAEConfig

SAVE_EVERY = 200


@dataclass(frozen=True)
class Training:
    """How to train. Defaults suit an hour of audio on two CPU cores."""

    steps: int = 400
    batch: int = 2048
    learning_rate: float = 1e-3
    aux_k: int = 128
    """dead latents that try to explain what the live ones leave (Gao et al., arXiv 2406.04093)"""
    aux_weight: float = 1 / 32
    dead_after: int = 100
    """steps without an activation after which a latent counts as dead"""
    threshold_momentum: float = 0.99
    seed: int = 0


@dataclass(frozen=True)
class Quality:
    """How well an SAE explains held-out frames, run as at inference."""

    explained_variance: float
    """of the unit-norm input, over frames and dimensions"""
    mean_active: float
    """latents above the threshold per frame"""
    dead: float
    """share of latents that no frame activates"""


def train(
    activations: Activations,
    config: SAEConfig,
    training: Training,
    checkpoint: Path | None = None,
    turn_back: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> SAE:
    """Train an SAE on the frames of the recorded windows.

    ``checkpoint``: a folder in which the state is kept every 200 steps, under a name made of everything it depends on,
    activations included, and continued from where it is there. The mean is set from
    the data; the inference threshold is the running mean of the smallest activation that Batch-Top-K keeps
    (arXiv 2412.06410). ``turn_back``, for controls: given the decoder directions after a step and those of the start,
    (n_latents, n_state) of norm 1 each, it returns those to go on with. Raises `FitError` where there are fewer frames
    than one batch.
    """
    rng = np.random.default_rng(training.seed)
    index = activations.frame_index(rng)
    if checkpoint is not None:
        depends = json.dumps(
            [activations.digest(), asdict(config), asdict(training), getattr(turn_back, "__name__", "")]
        )
        checkpoint = checkpoint / hashlib.sha256(depends.encode()).hexdigest()[:20]
    if len(index) < training.batch:
        raise FitError(f"{len(index)} frames of audio are too few for an SAE; fit on at least a few minutes")
    sae = SAE(config, torch.Generator().manual_seed(training.seed))
    first = sae.W_dec.detach().clone()
    sae.mean.copy_(_gather(activations, index[rng.permutation(len(index))[:20_000]]).mean(dim=0))
    optimizer = torch.optim.Adam(sae.parameters(), lr=training.learning_rate, betas=(0.9, 0.999))
    idle = torch.zeros(config.n_latents)
    start = _restore(checkpoint, sae, optimizer, idle) if checkpoint else 0
    bar = tqdm(range(start, training.steps), initial=start, total=training.steps, desc="SAE", unit="step")
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * _schedule(step, training.steps)
        chosen = np.random.default_rng([training.seed, step]).integers(len(index), size=training.batch)
        h = _gather(activations, index[chosen])
        loss, kept = _step(sae, optimizer, h, idle, training)
        if turn_back is not None:
            sae.W_dec.data.copy_(turn_back(sae.W_dec.data, first))
        momentum = training.threshold_momentum if step else 0.0
        sae.threshold.mul_(momentum).add_(kept * (1 - momentum))
        bar.set_postfix(
            unexplained=f"{loss:.3f}", dead=int((idle > training.dead_after).sum()), refresh=False
        )
        if checkpoint and (step + 1) % SAVE_EVERY == 0:
            _save(checkpoint, sae, optimizer, idle, step + 1)
    return sae.eval()


def measure(sae: SAE, activations: Activations, frames: int = 20_000, seed: int = 1) -> Quality:
    """`quality` on a sample of the frames of other windows than those of training."""
    rng = np.random.default_rng(seed)
    index = activations.frame_index(rng)
    return quality(sae, _gather(activations, index[rng.permutation(len(index))[:frames]]))


@torch.no_grad()
def quality(sae: SAE, h: Tensor) -> Quality:
    """Of activations (frames, n_state) that it was not trained on."""
    x, _ = sae.normalise(h)
    z = sae.encode(h)
    error = ((x - sae.decode(z)) ** 2).sum() / ((x - x.mean(dim=0)) ** 2).sum()
    active = (z > 0).float()
    return Quality(
        1 - float(error), float(active.sum(dim=1).mean()), float((active.sum(dim=0) == 0).float().mean())
    )


def _step(
    sae: SAE, optimizer: torch.optim.Adam, h: Tensor, idle: Tensor, training: Training
) -> tuple[float, Tensor]:
    x, _ = sae.normalise(h)
    half = torch.autocast(h.device.type, torch.bfloat16, enabled=h.device.type != "cpu")
    with half:  # a CPU without bfloat16 instructions takes ten times as long with it
        pre = sae.pre_activations(x)
        z, kept = batch_top_k(pre, sae.config.k)
        error = x - sae.decode(z)
    loss = error.float().pow(2).sum(dim=-1).mean()
    total = loss
    dead = idle > training.dead_after
    if dead.any():
        n = min(training.aux_k, int(dead.sum()))
        revived = torch.where(dead, pre.float(), 0.0).topk(n, dim=-1)
        z_aux = torch.zeros_like(pre.float()).scatter(-1, revived.indices, revived.values)
        with half:
            explained = z_aux @ sae.W_dec
        total = loss + training.aux_weight * (error.detach() - explained).float().pow(2).sum(dim=-1).mean()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    keep_unit_norm_gradient(sae.W_dec)
    optimizer.step()
    with torch.no_grad():
        sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
        idle += 1
        idle[(z > 0).any(dim=0)] = 0
    return float(loss.detach()), kept.float()


def batch_top_k(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Keep the k * batch largest of (batch, n_latents); also returns the smallest kept value."""
    kept = pre.flatten().topk(k * len(pre), sorted=False).values.min()
    return pre * (pre >= kept), kept.detach()


def keep_unit_norm_gradient(W_dec: Tensor) -> None:
    """Take from the gradient of each decoder direction (..., n_latents, n_state) the part along it, which only changes
    its norm."""
    gradient = W_dec.grad
    assert gradient is not None
    gradient -= (gradient * W_dec.data).sum(dim=-1, keepdim=True) * W_dec.data


def _schedule(step: int, steps: int) -> float:
    """Warm up over 5 %, then constant, then down to 0 over the last 30 %."""
    return min(1.0, (step + 1) / (0.05 * steps), (steps - step) / (0.3 * steps))


def _gather(activations: Activations, index: np.ndarray) -> Tensor:
    order = np.argsort(index[:, 0], kind="stable")
    return activations.gather(index[order])


def _save(folder: Path, sae: SAE, optimizer: torch.optim.Adam, idle: Tensor, step: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"sae.{k}": v for k, v in sae.state_dict().items()} | {"idle": idle}
    tensors |= adam_tensors(optimizer)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "state.tmp")
    os.replace(folder / "state.tmp", folder / f"step-{step}.safetensors")
    write_whole(folder / "step.json", json.dumps({"step": step}))
    for old in folder.glob("step-*.safetensors"):
        if old.name != f"step-{step}.safetensors":
            old.unlink()


def _restore(folder: Path, sae: SAE, optimizer: torch.optim.Adam, idle: Tensor) -> int:
    if not (folder / "step.json").exists():
        return 0
    step = int(json.loads((folder / "step.json").read_text())["step"])
    tensors = load_file(folder / f"step-{step}.safetensors")
    sae.load_state_dict({k[4:]: v for k, v in tensors.items() if k.startswith("sae.")})
    idle.copy_(tensors["idle"])
    load_adam(optimizer, tensors)
    return step


def adam_tensors(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """What an optimiser remembers, under names for a file."""
    states = optimizer.state_dict()["state"]
    return {f"adam.{n}.{key}": value for n, state in states.items() for key, value in state.items()}


def load_adam(optimizer: torch.optim.Adam, tensors: Mapping[str, Tensor]) -> None:
    """Take what `adam_tensors` gave, from among others."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, number, key = name.split(".")
            state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
