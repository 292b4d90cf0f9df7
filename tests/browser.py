"""A page in headless Chromium, opened from its file, with a script that looks at it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

LISTEN = (
    "<script>window.failed=[];addEventListener('error',(e)=>failed.push(String(e.message)),true);</script>"
)
HELPERS = """
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const $ = (s) => document.querySelector(s), all = (s) => [...document.querySelectorAll(s)];
"""


def looked_at(index: Path, probe: str, size: str = "1400,900", helpers: str = "") -> dict[str, Any]:
    """What a script finds on the page in Chromium, with the errors and the addresses that were asked for."""
    end = (
        "found.failed=failed; found.asked=performance.getEntriesByType('resource').map((e)=>e.name);"
        "found.wide=document.documentElement.scrollWidth-innerWidth; document.title=JSON.stringify(found);"
    )
    text = index.read_text(encoding="utf-8").replace("<head>", f"<head>{LISTEN}")
    script = (
        f"addEventListener('load', async () => {{ {HELPERS} {helpers} const found={{}}; {probe} {end} }});"
    )
    probed = index.with_name("probed.html")
    probed.write_text(text.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={index.parent.parent / 'profile'}",
        f"--window-size={size}", "--virtual-time-budget=20000",
    ]  # fmt: skip
    done = subprocess.run(
        [str(CHROMIUM), *flags, "--dump-dom", probed.as_uri()],
        check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    probed.unlink()
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout, re.S)
    assert title is not None, done.stdout[:500]
    found: dict[str, Any] = json.loads(
        title[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return found
