"""Audio to fit and to measure on: clips, their splits, loaders of data sets, the calibration pack."""
