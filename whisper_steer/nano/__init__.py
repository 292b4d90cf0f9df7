"""The scripts that synthesise speech, train, measure and demonstrate nano, the small Whisper that ships.

speech -> strings -> labels -> batches -> network -> train; then evaluate, card and demo.
"""
