"""What ``whisper-steer sae train`` does: from clips to files of SAEs, a log and a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from whisper_steer.data.clips import Clip
from whisper_steer.data.splits import order_key
from whisper_steer.errors import DataError, UsageError
from whisper_steer.files.output import moved_into
from whisper_steer.lab.encoders import SpeechEncoder, WhisperEncoder, open_encoder
from whisper_steer.sae import recovered
from whisper_steer.sae.augment import Augment
from whisper_steer.sae.files import save
from whisper_steer.sae.plan import Plan
from whisper_steer.sae.pool import BUFFER, Pool
from whisper_steer.sae.processes import Processes
from whisper_steer.sae.progress import PLOT, plot, write_log
from whisper_steer.sae.recorded import Recorded
from whisper_steer.sae.stack import Member, Stack
from whisper_steer.sae.train import HELD_OUT, Rows, State, quality_in, train
from whisper_steer.sae.windows import Heard


@dataclass(frozen=True)
class Job:
    """One call of the command."""

    model: str
    """as `open_encoder` takes it"""
    clips: Sequence[Clip]
    """of splits ``fit`` and ``choose``; those with voice in classes of non-speech are left out"""
    points: str
    """hook points separated by commas, or "all\""""
    out: Path
    plan: Plan = field(default_factory=Plan)
    controls: Sequence[str] = ()
    """of every point, beside its SAE"""
    buffer: int = BUFFER
    augment: bool = False
    record: Path | None = None
    """folder in which activations are kept, None for in memory"""
    loss_clips: int = 64
    """of held-out speech, for the loss recovered; 0 leaves that out"""
    device: str | None = None


def run(job: Job, processes: Processes) -> Rows:
    """Train, measure and write POINT.safetensors and CONTROL-POINT.safetensors, log.jsonl and log.svg; returns the rows
    of the last step. Raises `UsageError`, `DataError`, `FitError` and what `open_encoder` raises."""
    device = processes.device(job.device)
    encoder = open_encoder(job.model, device)
    points = processes.share(chosen_points(job.points, encoder.points))
    members = [Member(p, control) for control in (None, *job.controls) for p in points]
    taken = [
        f"{each.name}.safetensors" for each in members if (job.out / f"{each.name}.safetensors").exists()
    ]
    if taken:
        raise UsageError(f"{job.out} holds {taken[0]} already: name a new folder")
    if encoder.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    fit, choose = (of_split(job.clips, split) for split in ("fit", "choose"))
    heard = Heard(encoder, points, fit, Augment(fit, job.plan.seed) if job.augment else None)
    pool = Pool(
        Recorded(heard, job.record) if job.record else heard, job.plan.batch, job.buffer, job.plan.seed
    )
    stack = Stack(job.plan, points, members, pool.sample())
    held = held_out(Heard(encoder, points, choose), job.plan.seed)
    depends = [
        asdict(job.plan),
        [each.name for each in members],
        *(heard.digest(p) for p in points),
        job.buffer,
    ]
    state = State(job.out / f"state-{processes.index}.safetensors", json.dumps(depends))

    def look(step: int) -> Rows:
        rows = []
        for index, (member, source) in enumerate(zip(members, stack.sources.tolist(), strict=True)):
            found = quality_in(stack, index, held[source])
            rows.append(
                {
                    "sae": member.name, "point": member.point, "control": member.control, "step": step,
                    "explained_variance": found.explained_variance, "l0": found.mean_active, "dead": found.dead,
                }
            )  # fmt: skip
        return rows

    def show(rows: Rows) -> None:
        if processes.index == 0:
            write_log(job.out, rows)

    rows = train(stack, pool, state, look, show)
    if isinstance(encoder, WhisperEncoder) and job.loss_clips:
        add_recovered(rows[-len(members) :], stack, job, choose, encoder.device)
    write(job, stack, encoder)
    rows = processes.gather(rows)
    if processes.index == 0:
        write_log(job.out, rows)
        with moved_into(job.out) as folder:
            (folder / PLOT).write_text(plot(rows), encoding="utf-8")
    state.path.unlink(missing_ok=True)
    return [row for row in rows if row["step"] == job.plan.steps]


def chosen_points(asked: str, points: Sequence[str]) -> list[str]:
    """Hook points by name. Raises `UsageError`."""
    found = (
        list(points)
        if asked == "all"
        else list(dict.fromkeys(p.strip() for p in asked.split(",") if p.strip()))
    )
    if unknown := [each for each in found if each not in points]:
        raise UsageError(f"unknown hook point {unknown[0]!r}; this encoder has {', '.join(points)}")
    if not found:
        raise UsageError("name at least one hook point with --points, or all")
    return found


def of_split(clips: Sequence[Clip], split: str) -> list[Clip]:
    """Raises `DataError` where there are none."""
    found = [clip for clip in clips if clip.split == split and not clip.voice]
    if not found:
        raise DataError(f"there are no clips of the split {split!r}: name more data with --data")
    return found


def held_out(heard: Heard, seed: int) -> list[Tensor]:
    """About `HELD_OUT` frames (m, n_state) float16 of each point."""
    order = heard.order(0, seed)
    enough = int((heard.rows[order].cumsum() < HELD_OUT).sum()) + 1
    return list(torch.cat(list(heard.read(order[:enough].tolist(), 0)), dim=1))


def add_recovered(rows: Rows, stack: Stack, job: Job, choose: Sequence[Clip], device: torch.device) -> None:
    """To the last row of each SAE, where there is held-out speech with transcripts."""
    model = recovered.with_decoder(job.model, device)
    clips = recovered.suitable(choose, model, job.loss_clips, lambda clip: order_key(clip, job.plan.seed))
    if not clips:
        return
    clean = recovered.hear(model, clips)
    ablated: dict[str, recovered.Transcribed] = {}
    for index, row in enumerate(rows):
        point, mean = row["point"], stack.mean[index]
        if point not in ablated:
            ablated[point] = recovered.hear(
                model,
                clips,
                point,
                recovered.replaced(lambda h, mean=mean: mean.expand_as(h)),  # type: ignore[misc]
            )
        through = recovered.hear(
            model,
            clips,
            point,
            recovered.replaced(lambda h, index=index: stack.reconstruct(h, index)),  # type: ignore[misc]
        )
        row |= recovered.recovered(clean, ablated[point], through, clips) | {"loss_clips": len(clips)}


def write(job: Job, stack: Stack, encoder: SpeechEncoder) -> None:
    """Each SAE as a file of its own, with what it is of and how it was trained."""
    for index, member in enumerate(stack.members):
        sae = stack.sae(index)
        sae.about = {
            "hook_point": member.point,
            "model": Path(job.model).name,
            "fingerprint": encoder.fingerprint,
            "control": member.control,
            "training": asdict(job.plan),
        }
        save(sae, job.out / f"{member.name}.safetensors", half=True)
