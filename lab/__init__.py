"""How the gates and sparse autoencoders that ship were trained on a GPU: what was run, and what came of it, stands in
docs/laboratory.md. Plain scripts: ``python -m lab.scenes``, ``lab.gates``, ``lab.saes``.
"""
