"""If these fail, a killed training does not come back to the same SAE, or the SAE does not find what is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError, UsageError
from whisper_steer.sae import train as training
from whisper_steer.sae.plan import KINDS, Plan
from whisper_steer.sae.stack import Member, Stack
from whisper_steer.sae.train import State, Windowed, measure, quality, quality_in, train, train_on

N_STATE, N_TRUE = 16, 24
PLAN = Plan(k=3, expansion=3, steps=500, batch=512, learning_rate=5e-3)


@pytest.fixture(scope="module")
def directions() -> torch.Tensor:
    d = torch.randn(N_TRUE, N_STATE, generator=torch.Generator().manual_seed(100))
    return d / d.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def activations(directions: torch.Tensor) -> Activations:
    """Frames that are sums of two out of 24 known directions."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.zeros(4 * 1500, N_TRUE)
    chosen = torch.rand(4 * 1500, N_TRUE, generator=generator).topk(2, dim=1).indices
    codes.scatter_(1, chosen, 0.5 + torch.rand(4 * 1500, 2, generator=generator))
    hidden = (codes @ directions).reshape(4, 1500, N_STATE).half().numpy()
    return Activations(
        hidden, np.zeros((4, 1500), np.int8), np.full(4, 1500), np.array([True] * 4), ["as recorded"] * 4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_finds_the_directions_that_made_the_data(
    kind: str, activations: Activations, directions: torch.Tensor
) -> None:
    plan = replace(PLAN, kind=kind)  # type: ignore[arg-type]
    source = Windowed(activations, plan)
    stack = Stack(plan, ["x"], [Member("x")], source.sample())
    before = (directions @ stack.W_dec[0].T).amax(dim=1)
    train(stack, source)
    found = (directions @ stack.W_dec[0].T).amax(dim=1)
    assert float((found > 0.9).float().mean()) > float((before > 0.9).float().mean()) + 0.4
    torch.testing.assert_close(stack.W_dec[0].norm(dim=1), torch.ones(48))
    seen = quality_in(stack, 0, source.sample()[0])
    assert seen.explained_variance > (0.5 if kind == "relu" else 0.8)  # the L1 norm shrinks what it keeps
    assert 1.5 < seen.mean_active < 6  # k = 3 a frame


@pytest.mark.parametrize("kind", KINDS)
def test_the_quality_of_a_stack_is_that_of_the_sae_it_gives(kind: str, activations: Activations) -> None:
    plan = replace(PLAN, kind=kind, steps=60)  # type: ignore[arg-type]
    source = Windowed(activations, plan)
    stack = Stack(plan, ["x"], [Member("x")], source.sample())
    train(stack, source)
    h = source.sample()[0]
    expected = quality(stack.sae(0), h)
    in_parts = quality_in(stack, 0, h, size=700)
    for name, value in vars(expected).items():
        assert getattr(in_parts, name) == pytest.approx(value, abs=1e-5), name
    x = stack.sae(0).normalise(h)[0]
    left = x - stack.sae(0).decode(stack.sae(0).encode(h))
    assert 1 - float(left.var(dim=0, correction=0).sum() / x.var(dim=0, correction=0).sum()) == pytest.approx(
        expected.explained_variance, abs=1e-2
    )
    torch.testing.assert_close(stack.reconstruct(h, 0), stack.sae(0).reconstruct(h))


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_training_goes_on_to_the_same_weights(
    kind: str, activations: Activations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, thresholds, dead latents, weights of penalties and controls included."""
    plan = replace(PLAN, kind=kind, steps=130, batch=64)  # type: ignore[arg-type]
    source, members = Windowed(activations, plan), [Member("x"), Member("x", "soft-frozen")]
    sample = source.sample()

    def look(step: int) -> list[dict[str, object]]:
        return [{"step": step}]

    whole = Stack(plan, ["x"], members, sample)
    rows = train(whole, source, look=look)
    assert [row["step"] for row in rows] == [*range(13, 130, 13), 130]

    monkeypatch.setattr(training, "SAVE_SECONDS", -1.0)
    state, learn = State(tmp_path / "state.safetensors", "{}"), Stack.learn

    def dying(stack: Stack, h: torch.Tensor, step: int) -> None:
        if step == 115:
            raise KeyboardInterrupt
        learn(stack, h, step)

    monkeypatch.setattr(Stack, "learn", dying)
    with pytest.raises(KeyboardInterrupt):
        train(Stack(plan, ["x"], members, sample), source, state, look)
    monkeypatch.setattr(Stack, "learn", learn)
    resumed = Stack(plan, ["x"], members, sample)
    assert train(resumed, source, state, look) == rows
    for name, value in whole.state().items():
        assert torch.equal(value, resumed.state()[name]), name
    with pytest.raises(UsageError, match="state of another training"):
        train(Stack(plan, ["x"], members, sample), source, replace(state, depends="[]"))


def test_what_was_trained_on_other_activations_or_otherwise_is_not_continued(
    activations: Activations, tmp_path: Path
) -> None:
    """A folder used again with other recordings must not mix their SAE with the new one's."""
    plan = replace(PLAN, steps=30, batch=64)
    train_on(activations, plan, tmp_path)
    other = replace(activations, hidden=activations.hidden[::-1] * np.float16(2))
    less = replace(activations, content=activations.content - 100)
    for recorded, asked, control in (
        (other, plan, None),
        (less, plan, None),
        (activations, replace(plan, expansion=2), None),
        (activations, replace(plan, seed=1), None),
        (activations, plan, "soft-frozen"),
    ):
        fresh, kept = train_on(recorded, asked, None, control), train_on(recorded, asked, tmp_path, control)
        for name, value in fresh.state_dict().items():
            assert torch.equal(value, kept.state_dict()[name]), name
    assert len(list(tmp_path.iterdir())) == 6
    assert 0 < measure(kept, activations).explained_variance < 1


def test_too_little_data_is_told(activations: Activations) -> None:
    with pytest.raises(FitError, match="too few"):
        train_on(activations, replace(PLAN, batch=100_000))
