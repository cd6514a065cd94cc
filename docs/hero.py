"""Draws the README's picture from the recorded runs: python docs/hero.py"""

from pathlib import Path

import matplotlib.pyplot as plt
import play

import epochlab

LINES = {
    "epochs": ("C1", "20 epochs for every batch size", (2.02, 81)),
    "updates": ("C0", "500 updates for every batch size", (0.15, 83)),
}

epochlab.set_style()
ax = plt.figure(figsize=(7, 3.6)).subplots()
for budget, (color, name, where) in LINES.items():
    sizes = play.budget_data()["digits"][budget]["optimizers"]["sgd"]
    best = [next(r for r in size["rates"] if r["best"]) for size in sizes.values()]
    ax.plot(range(len(sizes)), [rate["mean"] for rate in best], color=color)
    for i, rate in enumerate(best):
        ax.plot([i] * len(rate["values"]), rate["values"], "o", color=color, alpha=0.4, ms=4)
    ax.text(*where, name, color=color)
ax.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
ax.set(xlabel="batch size", ylabel="new digits right (%)", ylim=(79, 92))
ax.set_title("Which batch size is best? It depends on what you keep equal")
ax.figure.savefig(Path(__file__).with_name("hero.png"), dpi=150, bbox_inches="tight")
