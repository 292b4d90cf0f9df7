"""Sparse autoencoders of activations."""
