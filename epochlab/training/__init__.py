"""Training with whole epochs compiled: one run, and a grid of them."""
