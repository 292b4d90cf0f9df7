"""Fitting an artifact: clips -> windows -> activations -> SAE -> scores -> gate -> calibration -> artifact."""
