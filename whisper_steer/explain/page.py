"""The page of an explained recording: one file that works offline, with sound, picture and a row for each stretch."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import numpy as np
import soundfile
from whisper.audio import SAMPLE_RATE

from whisper_steer.explain.picture import picture
from whisper_steer.explain.report import Explained, against, notes, supporting, told
from whisper_steer.explain.stretches import Stretch
from whisper_steer.files.template import filled

TEMPLATE = Path(__file__).with_name("page.html")


def page(shown: Explained, samples: np.ndarray) -> str:
    """The whole page. ``samples``: (n,) float32 at 16 kHz."""
    values = {
        "title": html.escape(shown.title),
        "summary": html.escape(shown.summary),
        "notes": html.escape(notes(shown)),
        "picture": base64.b64encode(picture(shown.explanation, samples)).decode(),
        "rows": "\n".join(
            _row(stretch, *texts)
            for stretch, *texts in zip(shown.explanation.stretches, shown.stock, shown.steered, strict=True)
        ),
        "audio": base64.b64encode(ogg(samples)).decode(),
    }
    return filled(TEMPLATE, values)


def _row(stretch: Stretch, stock: str, steered: str) -> str:
    cells = [
        told(stretch.heard), supporting(stretch), against(stretch), stock or "nothing", steered or "nothing",
    ]  # fmt: skip
    decision = "<td class='speech'>speech" if stretch.speech else "<td class='dim'>no speech"
    return (
        f"<tr><td><a href='#audio' data-at='{stretch.start:.2f}'>{stretch.start:.1f} to {stretch.end:.1f}</a></td>"
        f"{decision}<br>evidence {stretch.evidence:.1f}</td>"
        + "".join(f"<td>{html.escape(text)}</td>" for text in cells)
        + "</tr>"
    )


def ogg(samples: np.ndarray) -> bytes:
    """Samples (n,) at 16 kHz as Ogg Vorbis.

    In pieces: libsndfile's Vorbis encoder takes a stack frame for each block of one long write.
    """
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", SAMPLE_RATE, 1, format="OGG", subtype="VORBIS") as file:
        for start in range(0, len(samples), SAMPLE_RATE):
            file.write(samples[start : start + SAMPLE_RATE])
    return out.getvalue()


__all__ = ["ogg", "page"]
