"""Pages to look at latents in a browser: self-contained HTML."""
