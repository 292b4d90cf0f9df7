"""SAE files of others and our own, one module each; `whisper_steer.sae.files` tells them apart."""
