"""Does the promise hold? Simulated over divisions of the speakers: ``python -m whisper_steer.eval.promise``."""
