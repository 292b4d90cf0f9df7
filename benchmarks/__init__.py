"""What steering costs, as ratios against stock in the same run. Plain scripts: ``python -m benchmarks.<name>``."""
