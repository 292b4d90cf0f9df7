"""SAEs of every block and of the encoder's output, at once. ``python -m lab.saes base --scenes-from DIR --out DIR``

Written are POINT.safetensors, the tensors of `whisper_steer.sae.model.SAE` with matrices in float16, soft-frozen-POINT
likewise for the controls, and log.json: ten times explained variance, latents per frame and share of dead latents on
held-out frames, for each point in order and then for each control. What was killed goes on where its state was kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from lab.activations import frames, mels
from lab.command import Command
from lab.pool import Pool
from lab.scenes import TOLD, read
from lab.stack import Plan, Stack
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.encoders.hooks import hook_points
from whisper_steer.errors import UsageError
from whisper_steer.files.lock import alone_in
from whisper_steer.files.output import finite, moved_into
from whisper_steer.models.load import load_model
from whisper_steer.sae.model import SAE
from whisper_steer.sae.train import quality

STEPS = {"tiny.en": 11188, "base": 8062}
SOFT_FROZEN = {"tiny.en": "blocks.1,blocks.2,ln_post", "base": "blocks.2,blocks.4,ln_post"}
THRESHOLD_FROM = {"tiny.en": 1.0}
"""share of the batch; a quarter for all others, where sorting all of it takes longer than all else"""
HELD_OUT = 20_000
"""frames"""
SAVE_EVERY = 2000
STATE, LOG = "state.safetensors", "log.json"


@click.command(cls=Command, help=__doc__)
@click.argument("model")
@click.option("--scenes-from", type=click.Path(path_type=Path), required=True, help="Made by lab.scenes.")
@click.option(
    "--steps", type=click.IntRange(1), help=f"[default: {STEPS['tiny.en']} for tiny.en, else {STEPS['base']}]"
)
@click.option("--batch", type=click.IntRange(4), default=Plan.batch, show_default=True, help="Frames.")
@click.option("--k", type=click.IntRange(1), default=Plan.k, show_default=True, help="Latents per frame.")
@click.option("--expansion", type=click.IntRange(1), default=Plan.expansion, show_default=True)
@click.option(
    "--soft-frozen", help="Points with a control, separated by commas.  [default: three; else none]"
)
@click.option("--device", help="[default: CUDA where there is one]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder.")
def main(
    model: str,
    scenes_from: Path,
    steps: int | None,
    batch: int,
    k: int,
    expansion: int,
    soft_frozen: str | None,
    device: str | None,
    out: Path,
) -> None:
    torch.set_float32_matmul_precision("high")
    plan = Plan(
        steps or STEPS.get(model, STEPS["base"]),
        batch,
        k,
        expansion,
        threshold_from=THRESHOLD_FROM.get(model, 0.25),
    )
    controls = SOFT_FROZEN.get(model, "") if soft_frozen is None else soft_frozen
    encoder = load_model(model, device).encoder
    with alone_in(out, "training"):
        train(encoder, scenes_from, plan, [each for each in controls.split(",") if each], out)


def train(encoder: Any, scenes_from: Path, plan: Plan, controls: list[str], out: Path) -> None:
    """Train and write all. Raises `UsageError` for an unknown point, and where ``out`` holds another training."""
    points = hook_points(encoder)
    if unknown := set(controls) - set(points):
        raise UsageError(f"unknown hook point {min(unknown)!r}; this encoder has {', '.join(points)}")
    if (out / LOG).exists():
        raise UsageError(f"{out} holds a finished training: name a new folder")
    made, held_out = read(scenes_from, "fit"), read(scenes_from, "choose")
    device, n_mels = encoder.conv1.weight.device, encoder.conv1.in_channels
    sources = [points.index(point) for point in [*points, *controls]]
    depends = [asdict(plan), controls, encoder_fingerprint(encoder), (scenes_from / TOLD).read_text()]
    contents = [torch.from_numpy(part.content.astype("int64")).to(device) for part in (made, held_out)]
    generator = torch.Generator().manual_seed(plan.seed)
    held = frames(encoder, mels(held_out, n_mels, device), contents[1], points, generator)
    held = held[:, torch.randint(held.shape[1], (HELD_OUT,), generator=generator).to(device)].float()
    pool = Pool(encoder, points, mels(made, n_mels, device), contents[0], plan.batch, plan.seed)
    stack = Stack(plan, pool.mean()[sources], len(controls))
    start, log = _restore(out / STATE, stack, depends)
    told = {-(-plan.steps * tenth // 10) for tenth in range(10)}
    for step in tqdm(range(start, plan.steps), initial=start, total=plan.steps, desc="SAEs", unit="step"):
        if step in told:
            log.append(_measured(stack, held[sources], step))
        stack.learn(pool.batch_at(step)[sources], step)
        if (step + 1) % SAVE_EVERY == 0:
            _save(out, stack, depends, step + 1, log)
    log.append(_measured(stack, held[sources], plan.steps))
    names = [*points, *(f"soft-frozen-{point}" for point in controls)]
    with moved_into(out) as scratch:
        for index, name in enumerate(names):
            save_file(tensors(stack.sae(index)), scratch / f"{name}.safetensors")
        about = {"points": points, "soft_frozen": controls, **asdict(plan), "log": log}
        (scratch / LOG).write_text(json.dumps(finite(about)) + "\n", encoding="utf-8")
    (out / STATE).unlink(missing_ok=True)


def tensors(sae: SAE) -> dict[str, Tensor]:
    """What is written of an SAE: its matrices in float16, the rest in float32."""
    return {
        name: (tensor.half() if tensor.ndim == 2 else tensor.float()).cpu().contiguous()
        for name, tensor in sae.state_dict().items()
    }


def _measured(stack: Stack, held: Tensor, step: int) -> dict[str, Any]:
    found = [quality(stack.sae(index), h) for index, h in enumerate(held)]
    rows = [[round(q.explained_variance, 4), round(q.mean_active, 1), round(q.dead, 4)] for q in found]
    return {"step": step, "progress": round(step / stack.plan.steps, 3), "quality": rows}


def _save(out: Path, stack: Stack, depends: list[Any], step: int, log: list[dict[str, Any]]) -> None:
    told = {"depends": json.dumps(depends), "step": str(step), "log": json.dumps(log)}
    with moved_into(out) as scratch:
        state = {name: tensor.cpu().contiguous() for name, tensor in stack.state().items()}
        save_file(state, scratch / STATE, told)


def _restore(path: Path, stack: Stack, depends: list[Any]) -> tuple[int, list[dict[str, Any]]]:
    """The step to go on at, and the log up to there."""
    if not path.is_file():
        return 0, []
    with safe_open(path, "pt") as file:
        told = file.metadata()
        if told["depends"] != json.dumps(depends):
            raise UsageError(f"{path.parent} holds the state of another training: name a new folder")
        stack.restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return int(told["step"]), json.loads(told["log"])


if __name__ == "__main__":
    main()
