"""If these fail, names are given that a listener would not give: the precision beside them is not what it says."""

from __future__ import annotations

import pytest
import torch

from whisper_steer.explain.precision import Tree
from whisper_steer.explain.sounds import names_of

CLASSES = [
    ("dog bark", "animal"),
    ("cat", "animal"),
    ("violin", "strings", "music"),
    ("cello", "strings", "music"),
    ("piano", "music"),
    ("silence",),
]


def rates(**each: float) -> torch.Tensor:
    tree = Tree(CLASSES)
    return torch.tensor([[each.get(names[0].replace(" ", "_"), 0.0)] for names in tree.classes])


def test_rivals_are_siblings_on_the_way_up() -> None:
    tree = Tree(CLASSES)
    assert tree.rivals("violin") == ["cello", "piano", "animal", "silence"]
    assert tree.rivals("music") == ["animal", "silence"]
    assert tree.rivals("silence") == ["animal", "music"]


def test_precision_by_hand() -> None:
    """On dogs half of the time, on cats a fifth, on one of three kinds of music a tenth."""
    tree, found = Tree(CLASSES), rates(dog_bark=0.5, cat=0.2, violin=0.1)
    assert tree.precision(found, "dog bark").item() == pytest.approx(0.5 / (0.5 + 0.2 + 0.1 / 3))
    assert tree.precision(found, "animal").item() == pytest.approx(0.35 / (0.35 + 0.1 / 3))
    assert tree.precision(found, "violin").item() == pytest.approx(0.1 / (0.1 + 0.35))
    assert tree.precision(found, "silence").item() == 0.0


def test_what_fires_on_everything_is_precise_for_nothing() -> None:
    """Not for a wide name either, of which there are many clips."""
    tree, always = Tree(CLASSES), torch.ones(len(CLASSES), 1)
    for name in tree.members:
        assert tree.precision(always, name).item() == pytest.approx(1 / (1 + len(tree.rivals(name))))
        assert tree.precision(always, name).item() < 0.5


def test_a_class_cannot_be_the_wider_name_of_another() -> None:
    with pytest.raises(ValueError, match="'animal'"):
        Tree([("dog bark", "animal"), ("animal",)])


def test_labels_of_data_sets_become_what_a_listener_says() -> None:
    assert names_of("dog_bark") == names_of("dog") == names_of("Dog barking") == ("dog bark", "animal")
    assert names_of("violin or fiddle") == ("violin", "strings", "music")
    assert names_of("game sfx jump") == ("game sound",)
    assert names_of("theremin") == ("theremin",)
