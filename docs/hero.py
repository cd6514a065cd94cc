"""Draws the README's picture: python docs/hero.py"""

from pathlib import Path

import epochlab

epochlab.set_style()
ax = epochlab.draw_plan(epochlab.TrainingPlan(100, 32, 3))
ax.set_title("100 samples in batches of 32: twelve iterations in three epochs")
ax.figure.savefig(Path(__file__).with_name("hero.png"), dpi=150, bbox_inches="tight")
