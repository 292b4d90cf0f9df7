"""The pages in a real browser, opened from a file: 4,000 latents sorted, filtered, searched, walked through by keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest

from whisper_steer.pages import write
from whisper_steer.pages.numbers import BINS, DOMAINS, Numbers

from .conftest import HOSTILE, Made

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium here"),
]

HELPERS = """
const ids = () => all("tr.row").map((row) => Number(row.dataset.latent));
const type = (s, value) => { $(s).value = value; $(s).dispatchEvent(new Event("input", { bubbles: true })); };
const key = (name) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
const count = () => $("#count").textContent;
"""


def looked_at(index: Path, probe: str, size: str = "1400,900") -> dict[str, Any]:
    return browser.looked_at(index, probe, size, HELPERS)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Numbers]:
    """Pages of 4,000 latents with random numbers, one with a hostile name, one shown in full."""
    rng, n = np.random.default_rng(0), 4000
    inside, outside = rng.random((2, 3, n)) * 0.1
    found = Numbers(
        rng.random(n), rng.random(n) ** 3, inside, outside, rng.random(n), rng.random(n) + 1,
        rng.integers(0, 99, (n, BINS)),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("large") / "pages"
    folder.mkdir()
    about = {"SAE": "sae", "point": "blocks.1", "model": "tiny", "data": "none", "clips": "0", "frames": 0}
    write.write_index(
        folder,
        about,
        found,
        write.Extras({17: HOSTILE}, effect=rng.normal(size=n), gradient=rng.normal(size=n)),
        [5],
    )
    content = {"latent": 5, "moments": [], "labels": [[HOSTILE, 0.5]], "texts": []}
    (folder / write.script(5)).write_text(f"latent({write.as_json(content)});\n")
    return folder / "index.html", found


def test_it_sorts_filters_and_searches(large: tuple[Path, Numbers]) -> None:
    index, numbers = large
    found = looked_at(
        index,
        """
        found.rows = ids().length; found.first = ids().slice(0, 5); found.count = count();
        all("#head button")[1].click(); found.lowest = ids().slice(0, 5);
        all("#head button")[5].click(); found.effect = ids()[0]; all("#head button")[1].click();
        type("#domain", "music"); found.music = count(); type("#domain", "any");
        const [least, most] = all("#ranges input").slice(2, 4);
        least.value = "10"; least.dispatchEvent(new Event("input"));
        most.value = "20"; most.dispatchEvent(new Event("input")); found.dense = count();
        $("form").reset(); await wait(50); found.reset = count();
        type("#search", "399"); found.search = count(); type("#search", "onerror"); found.named = ids();
        found.images = all("table img").length; type("#search", "");
        $("#scroll").scrollTop = 1e9; await wait(100); found.bottom = ids().at(-1); found.still = ids().length;
        """,
    )
    order = np.argsort(-numbers.auroc.round(4), kind="stable")
    assert found["first"] == order[:5].tolist()
    assert found["bottom"] == order[-1]
    assert found["lowest"] == order[::-1][:5].tolist()
    assert found["count"] == found["reset"] == "4000 of 4000 latents"
    domain, _ = numbers.domain()
    assert found["music"] == f"{(domain == DOMAINS.index('music')).sum()} of 4000 latents"
    dense = (numbers.density >= 0.1) & (numbers.density <= 0.2)
    assert abs(int(found["dense"].split()[0]) - dense.sum()) <= 2
    assert found["search"] == "11 of 4000 latents"  # 399 and 3990 to 3999
    assert (found["named"], found["images"]) == ([17], 0)
    assert found["rows"] < 100  # only what is in view exists
    assert found["still"] < 100
    assert found["failed"] == []


def test_keys_walk_through_it_and_a_latent_loads_from_the_folder(large: tuple[Path, Numbers]) -> None:
    index, numbers = large
    found = looked_at(
        index,
        """
        key("/"); found.searching = document.activeElement.id; key("Escape"); found.table = document.activeElement.id;
        key("ArrowDown"); key("j"); key("ArrowUp"); found.second = location.hash;
        key("End"); await wait(50); found.last = location.hash; found.seen = $("tr.on") !== null;
        key("Enter"); found.panel = document.activeElement.id;
        location.hash = "#5"; await wait(500); found.label = $(".labels span")?.textContent;
        location.hash = "#6"; await wait(500); found.none = $("#rest").textContent;
        found.title = $("#panel h2").textContent; found.acted = all("#panel img").length;
        """,
    )
    order = np.argsort(-numbers.auroc.round(4), kind="stable")
    assert (found["searching"], found["table"], found["panel"]) == ("search", "scroll", "panel")
    assert (found["second"], found["last"], found["seen"]) == (f"#{order[1]}", f"#{order[-1]}", True)
    assert found["label"] == HOSTILE
    assert "--latents" in found["none"]
    assert (found["title"], found["acted"], found["failed"]) == ("Latent 6", 0, [])
    assert all(name.startswith(("file:", "data:")) for name in found["asked"])


@pytest.mark.parametrize("size", ["1400,900", "500,900"])
def test_moments_are_shown_and_play(made: Made, size: str) -> None:
    j = next(j for j in made.data["shown"] if made.latent(j)["texts"])
    found = looked_at(
        made.folder / "index.html",
        f"""
        location.hash = "#{j}"; await wait(1000);
        const pictures = all(".moment img"); found.moments = pictures.length;
        found.pictures = pictures.map((each) => each.naturalHeight);
        found.curves = all(".moment path").length; found.texts = all(".text").length;
        const real = window.Audio;
        window.Audio = function (address) {{ found.audio = address; return new real(address); }};
        $(".sound").click(); found.icon = $(".sound b").textContent;
        """,
        size,
    )
    moments = made.latent(j)["moments"]
    assert found["moments"] == found["curves"] == len(moments)
    assert found["pictures"] == [80] * len(moments)
    assert found["audio"] == moments[0]["audio"]
    assert (found["icon"], found["texts"], found["failed"]) == ("■", 2, [])
    assert found["wide"] <= 0
