"""The benchmark: how often a Whisper system writes text where nobody speaks, and what preventing it costs speech.

A run flows through the modules in this order:

    cli.py -> config.py        what to run: model, data, systems, conditions, seed; a stable run id
    data/, conditions.py       audio on disk -> `Clip`; speech in noise, quiet speech, recordings with pauses
    systems/, fits.py          the systems compared; what they learn from the `fit` and `choose` splits
    session.py                 one model: encodings.py (a memo), store.py (decodings on disk), probes.py (single steps)
    runner.py                  clip x system -> one JSONL record each; a killed run goes on where it stopped
    metrics.py, recordings.py  a record -> its figures; intervals.py: 95 % intervals
    summary.py, report*.py     tables, results.json, report.md, report.html
    compare.py, cost.py        two runs against each other, bars; real-time factors

`curves/` is ``python -m whisper_steer.eval.curves``: edits of the encoder without a gate, false speech against WER.
`gate_check.py` and `hard_speech.py` are ``whisper-steer check-gate``: detectors alone, nothing decoded.
"""
