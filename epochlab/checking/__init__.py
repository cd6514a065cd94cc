"""Mistakes in a call of `fit`, named before training."""
