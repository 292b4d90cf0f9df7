"""If these fail, a damaged artifact ends in a traceback, runs what is hidden in it, or steers with nonsense."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from helpers import make_artifact
from safetensors.torch import load_file, save_file
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.cli import main
from whisper_steer.cli.inspect import report
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.explain.names import Names
from whisper_steer.sae import files as saes
from whisper_steer.steer.artifact import SAE_TENSORS, TENSORS, Artifact, read_sae
from whisper_steer.steer.promises import thresholds
from whisper_steer.steer.steering import Steering

Path_ = tuple[str | int, ...]

VALUES: list[Any] = [
    None, 0, -1, 2.5, True, "", "x", "a\nb", "\ud800", [], [1], [[]], {}, {"a": 1}, 10**400, float("nan"), float("inf"),
]  # fmt: skip
"""what a field may hold that was never meant to"""


@pytest.fixture(scope="module")
def sound(tiny_model: Whisper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_artifact(tiny_model.encoder, threshold=0.0).save(
        tmp_path_factory.mktemp("sound") / "artifact"
    )


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "artifact"))


def used(folder: Path) -> Steering:
    """All that is done with an artifact before there is sound."""
    artifact = Artifact.load(folder)
    "\n".join(report(artifact)).encode()
    json.dumps([artifact.card(), thresholds(artifact)], ensure_ascii=False).encode()
    for mode in ("skip", "steer"):
        steering = Steering(artifact, mode=mode, max_suppressed_speech=0.5)  # type: ignore[arg-type]
        json.dumps(steering.describe()).encode()
    assert math.isfinite(steering.threshold)
    hidden = torch.randn(1, 100, 32, generator=torch.Generator().manual_seed(0))
    assert steering.unspoken(hidden).shape == (1,)
    assert steering.edit(hidden).shape == hidden.shape
    return steering


def refused(folder: Path) -> bool:
    """Whether an artifact is refused, in one line that names it; else all of it can be used."""
    try:
        used(folder)
    except (ArtifactError, UsageError) as error:
        assert len(str(error).splitlines()) == 1
        assert str(folder) in str(error) or isinstance(error, UsageError)
        str(error).encode()
        return True
    return False


def places(value: Any, above: Path_ = ()) -> Iterator[Path_]:
    """Where something can be put in the place of something else."""
    if above:
        yield above
    inside = (
        value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    )
    for key, each in inside:
        yield from places(each, (*above, key))


def put(card: Any, place: Path_, value: Any) -> Any:
    changed = copy.deepcopy(card)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return changed


def test_a_card_of_wrong_types_and_values_is_refused_or_works(folder: Path) -> None:
    """Every field of it, with everything that JSON can say."""
    card = json.loads((folder / "card.json").read_text())
    assert not refused(folder)
    counted = 0
    for place in places(card):
        for value in VALUES:
            (folder / "card.json").write_text(json.dumps(put(card, place, value)))
            counted += refused(folder)
    assert counted > 150


def test_a_card_without_one_of_its_fields_is_refused_or_works(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    for place in places(card):
        changed = put(card, place, None)
        inside = changed
        for key in place[:-1]:
            inside = inside[key]
        del inside[place[-1]]
        (folder / "card.json").write_text(json.dumps(changed))
        gone = refused(folder)
        assert (
            gone
            or len(place) > 1
            or place[0]
            not in (
                "schema",
                "name",
                "fingerprint",
                "hook_point",
                "gate_point",
                "gate",
                "strengths",
            )
        )


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"null", b"[]", b"3", b'"x"', b"\xff\xfe{}", b"\x00", b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000, b'{"schema": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda text: text[:6].decode("latin-1"),
)  # fmt: skip
def test_a_card_that_is_no_card_is_refused(folder: Path, text: bytes) -> None:
    (folder / "card.json").write_bytes(text)
    assert refused(folder)


def test_a_deeply_nested_part_of_a_card_is_refused_or_works(folder: Path) -> None:
    text = (folder / "card.json").read_text().rstrip().removesuffix("}")
    for depth in (100, 400, 900, 990):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            middle = "1" if closing == "}" else ""
            (folder / "card.json").write_text(
                f'{text}, "plan": {{"x": {opening * depth}{middle}{closing * depth}}}}}'
            )
            refused(folder)


CASTS = {
    "float64": lambda t: t.double(), "float16": lambda t: t.half(), "int16": lambda t: t.short(),
    "bool": lambda t: t.bool(), "flat": lambda t: t.flatten(), "empty": lambda t: torch.zeros(0),
    "scalar": lambda t: torch.tensor(1.0), "one more dimension": lambda t: t[None], "NaN": lambda t: t * math.nan,
    "infinite": lambda t: t + math.inf, "double": lambda t: torch.cat([t.reshape(-1)] * 2),
}  # fmt: skip


@pytest.mark.parametrize("cast", CASTS)
def test_every_tensor_of_another_type_or_shape_is_refused_or_works(folder: Path, cast: str) -> None:
    tensors = load_file(folder / TENSORS)
    for name, tensor in tensors.items():
        changed: Tensor = CASTS[cast](tensor).contiguous().clone()
        save_file({**tensors, name: changed}, folder / TENSORS)
        same = (
            changed.shape == tensor.shape and changed.dtype == tensor.dtype and bool(changed.isfinite().all())
        )
        # The linear gate's weights and a threshold a latent may be of other sizes.
        assert refused(folder) or same or changed.isfinite().all()
        if cast in ("float64", "float16", "int16", "bool", "NaN", "infinite"):
            assert refused(folder), name


def test_a_missing_or_foreign_tensor_is_refused(folder: Path) -> None:
    tensors = load_file(folder / TENSORS)
    for name in tensors:
        save_file({k: v for k, v in tensors.items() if k != name}, folder / TENSORS)
        assert refused(folder), name
    for name in ("gate.hidden_weight", "edits.more", "gate.latents.k"):
        save_file({**tensors, name: torch.zeros(1)}, folder / TENSORS)
        assert refused(folder), name


@pytest.mark.parametrize("name", [TENSORS, SAE_TENSORS])
def test_a_mutated_file_of_tensors_is_refused_or_works(folder: Path, name: str) -> None:
    """Bits flipped in the header, cut ends, lengths that are lies. Seeded."""
    whole = (folder / name).read_bytes()
    draw = random.Random(0)
    header = 8 + int.from_bytes(whole[:8], "little")
    mutants = [whole[:n] for n in (0, 1, 7, 8, 9, 100, header, len(whole) // 2, len(whole) - 1)]
    mutants += [
        n.to_bytes(8, "little") + whole[8:] for n in (0, 1, header - 9, header, 10**9, 2**63, 2**64 - 1)
    ]
    mutants += [(200_000).to_bytes(8, "little") + b"[" * 200_000, b"\x80\x04" + whole, whole + b"more"]
    for _ in range(80):
        changed = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(header)] = draw.randrange(256)
        mutants.append(bytes(changed))
    for mutant in mutants:
        (folder / name).write_bytes(mutant)
        if name == TENSORS:
            refused(folder)
            continue
        for read in (read_sae, saes.load):
            try:
                read(folder / name)
            except ArtifactError as error:
                assert len(str(error).splitlines()) == 1


class Trap:
    """What a pickle would do as soon as it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (self.trace,)  # type: ignore[return-value]


@pytest.mark.parametrize("how", ["pickle", "torch", "torch in tensors"])
def test_nothing_in_a_file_is_ever_run(folder: Path, tmp_path: Path, how: str) -> None:
    trace = tmp_path / "trace"
    trap: Any = Trap(trace)
    buffer = io.BytesIO()
    if how == "pickle":
        buffer.write(pickle.dumps(trap))
    else:
        torch.save({"W_enc": trap} if how == "torch in tensors" else trap, buffer)
    for name in (TENSORS, SAE_TENSORS, "ae.pt", "names.safetensors"):
        (folder / name).write_bytes(buffer.getvalue())
    (folder / "names.json").write_text('{"schema": 1}')
    assert refused(folder)
    for attempt in (
        lambda: read_sae(folder / SAE_TENSORS),
        lambda: saes.load(folder),
        lambda: saes.load(folder / "ae.pt"),
        lambda: Names.load(folder, ("",)),
    ):
        with pytest.raises(ArtifactError):
            attempt()
    assert not trace.exists()


@pytest.mark.parametrize("name", ["names", "risk"])
@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"[" * 100_000, b'{"schema": 1}', b"\xff"])
def test_what_lies_beside_an_artifact_may_be_damaged(folder: Path, name: str, text: bytes) -> None:
    (folder / f"{name}.json").write_bytes(text)
    steering = used(folder)  # neither is read before it is needed
    with pytest.raises(ArtifactError) as told:
        _ = steering.risk if name == "risk" else Names.load(folder, (steering.artifact.fingerprint,))
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a\0b", "", ".", "x" * 300, "/dev/null", "/proc/self/mem", "\udcff"])
def test_an_artifact_that_cannot_be_a_path_is_refused(name: str) -> None:
    with pytest.raises((UsageError, ArtifactError)):
        Steering(name)
    done = CliRunner().invoke(main, ["inspect", name])
    assert (done.exit_code, len(done.stderr.splitlines())) in {(1, 1), (2, 1), (2, 4)}, done.stderr
    assert isinstance(done.exception, SystemExit)
