"""The gate: where does somebody speak?"""
