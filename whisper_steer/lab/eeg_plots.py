"""The pictures of `whisper-steer lab eeg`: r of all latents beside chance, and the kernels of the best."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt

from whisper_steer.eval.plots import svg
from whisper_steer.lab.significance import ALPHA, Significance


def picture(
    names: list[str], found: Significance, null: np.ndarray, kernels: dict[str, tuple[np.ndarray, np.ndarray]]
) -> str:
    """SVG. ``null``: (any number,) r of permuted latents. ``kernels``: by name, lags in seconds and weights."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    bins = np.linspace(min(null.min(), found.r.min()), max(null.max(), found.r.max()), 60).tolist()
    left.hist(
        null, bins, weights=np.full(len(null), 1 / len(null)), color="#9ca3af", label="permuted latents"
    )
    passed = found.found
    for mark, colour, label in (
        (~passed, "#2563eb", "latents"),
        (passed, "#dc2626", f"latents, Holm p ≤ {ALPHA:g}"),
    ):
        left.hist(
            found.r[mark], bins, weights=np.full(mark.sum(), 1 / len(mark)), color=colour, alpha=0.6,
            label=f"{mark.sum()} {label}",
        )  # fmt: skip
    left.set_xlabel("r of predicted and recorded EEG, held-out trials")
    left.set_ylabel("share")
    left.legend(fontsize=8)
    for name, (lags, weights) in kernels.items():
        right.plot(1000 * lags, weights / max(float(np.abs(weights).max()), 1e-12), label=f"latent {name}")
    right.axhline(0, color="#9ca3af", lw=0.6)
    right.set_xlabel("ms after the latent")
    right.set_ylabel("response function, peak 1")
    right.legend(fontsize=8)
    return svg(figure)
