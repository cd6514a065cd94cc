"""Figures: one look, each described in words."""
