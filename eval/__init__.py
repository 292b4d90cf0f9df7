"""The benchmark: how often a Whisper system writes text where nobody speaks, and what preventing it costs speech.

A run flows through the modules in this order:

    cli.py -> config.py        what to run: model, data, systems, conditions, seed; a stable run id
    data/, conditions.py       audio on disk -> `Clip`; speech in noise, quiet speech, long recordings
    systems/, fits.py          the systems compared; what they learn from the `fit` and `choose` splits
    session.py, store.py       one model, its memo of encoder outputs and the store of decoder outputs
    runner.py                  clip x system -> one JSONL record each; a killed run goes on where it stopped
    metrics.py, intervals.py   records -> rates with 95 % intervals (normalize.py, long.py beside them)
    summary.py, report*.py     tables, results.json, report.md, report.html
    compare.py, cost.py        two runs against each other, bars; real-time factors
"""
