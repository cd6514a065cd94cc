"""Figures: what they draw, say and refuse. How they look was judged by eye."""

import base64

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from epochlab import (
    Run,
    StopReason,
    StopReport,
    TrainingPlan,
    describe,
    draw_plan,
    plot_sweep,
    seed_band,
    seed_dots,
    set_style,
    three_clocks,
)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


@pytest.fixture(autouse=True)
def same_settings_afterwards():
    with matplotlib.rc_context():
        yield
    plt.close("all")


def test_plan_has_a_numbered_box_per_iteration():
    ax = draw_plan(TrainingPlan(100, 32, 3))
    numbers = [text.get_text() for text in ax.texts if text.get_text().isdigit()]
    assert numbers == [str(number) for number in range(1, 13)]
    assert [box.get_width() for box in ax.patches] == [32, 32, 32, 4] * 3
    assert len({box.get_facecolor() for box in ax.patches}) == 2
    assert "the last of them only 4" in describe(ax)


def test_plan_without_a_short_batch_has_one_colour(ax):
    assert draw_plan(TrainingPlan(64, 32), ax) is ax
    assert len({box.get_facecolor() for box in ax.patches}) == 1
    assert "only" not in describe(ax)


@pytest.mark.parametrize("plan", [TrainingPlan(61, 1), TrainingPlan(10, 5, 13)])
def test_plan_that_nobody_could_read(plan):
    with pytest.raises(ValueError, match="at most 60 steps per epoch and 12 epochs to be drawn"):
        draw_plan(plan)
    assert not plt.get_fignums()


def test_band_is_the_interval_over_seeds(ax):
    seed_band(ax, [1, 2], np.array([[1.0, 2.0], [3.0, 2.0]]), label="loss")
    assert ax.get_lines()[0].get_ydata().tolist() == [2.0, 2.0]
    vertices = ax.collections[0].get_paths()[0].vertices
    half_width = 12.706 * np.sqrt(2) / np.sqrt(2)  # t of one degree of freedom
    assert vertices[:, 1].min() == pytest.approx(2 - half_width, rel=1e-3)
    assert describe(ax) == "loss: from 2 at 1 to 2 at 2."


@pytest.mark.parametrize("values", [[1.0, 2.0], [[1.0, 2.0]], [[1.0], [2.0]], np.zeros((2, 2, 1))])
def test_band_refuses_one_seed_and_other_shapes(ax, values):
    with pytest.raises(ValueError, match=r"values must have shape \(seeds, 2\) with at least 2"):
        seed_band(ax, [1, 2], values, label="loss")


def test_dots_show_each_seed_and_the_mean(ax):
    assert seed_dots({"small": [1.0, 2.0], "large": [5.0, 7.0]}, ax) is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == ["small", "large"]
    assert [text.get_text() for text in ax.texts] == ["mean 1.5", "mean 6"]
    assert ax.yaxis_inverted()  # the first group on top
    assert describe(ax) == "small: 2 dots, mean 1.5. large: 2 dots, mean 6."
    with pytest.raises(ValueError, match=r"groups\['one'\] must hold at least 2 seeds; got 1"):
        seed_dots({"one": [1.0]})
    assert len(plt.get_fignums()) == 1  # the one given


def test_what_cannot_be_drawn_is_refused(ax):
    with pytest.raises(TypeError, match="plan must be a TrainingPlan; got 100"):
        draw_plan(100)
    with pytest.raises(TypeError, match="ax must be Axes of matplotlib; got None"):
        describe(None)
    with pytest.raises(TypeError, match="ax must be Axes of matplotlib; got None"):
        seed_band(None, [1, 2], [[1.0, 2.0], [3.0, 4.0]], label="loss")
    with pytest.raises(TypeError, match="groups must be a mapping from names to values"):
        seed_dots([1.0, 2.0])
    with pytest.raises(ValueError, match=r"groups\['a'\] must be finite numbers; got nan"):
        seed_dots({"a": [1.0, np.nan]})
    with pytest.raises(ValueError, match="values must be finite numbers; got nan"):
        seed_band(ax, [1, 2], [[1.0, np.nan], [3.0, 4.0]], label="loss")


def run(steps, accuracy, *, seconds=2.0, plan=None):
    table = pd.DataFrame({"epoch": 0, "step": np.array(steps) - 1, "val_accuracy": accuracy})
    table["loss"] = table["val_loss"] = 1.0
    report = StopReport(StopReason.EPOCHS, epochs_run=1)
    plan = plan or TrainingPlan(100, 10, 2)
    return Run(np.zeros(steps[-1]), table, seconds, 0.0, plan, report)


def test_three_clocks_show_one_run_three_times():
    axes = three_clocks({"small": [run([10, 20], [0.5, 0.8]), run([10, 20], [0.7, 0.8])]})
    lines = [ax.get_lines()[0] for ax in axes]
    assert [line.get_xdata().tolist() for line in lines] == [[1, 2], [10, 20], [1.0, 2.0]]
    assert all(line.get_ydata() == pytest.approx([0.6, 0.8]) for line in lines)
    assert [ax.get_xlabel() for ax in axes] == ["epochs", "updates", "seconds of training"]


def test_three_clocks_refuse_one_seed_and_what_does_not_match():
    with pytest.raises(ValueError, match="at least 2 seeds"):
        three_clocks({"small": [run([10], [0.5])]})
    with pytest.raises(ValueError, match=r"runs\['small'\] must all be validated at the same"):
        three_clocks({"small": [run([10], [0.5]), run([20], [0.5])]})
    with pytest.raises(ValueError, match="have 'val_auc'"):
        three_clocks({"small": [run([10], [0.5]), run([10], [0.5])]}, y="val_auc")
    with pytest.raises(TypeError, match="runs must be a mapping"):
        three_clocks([run([10], [0.5])])
    assert len(plt.get_fignums()) <= 1  # the one of the band that refused


def test_sweep_is_drawn_in_the_order_of_its_key(ax):
    rows = [(512, 0, 1.0), (8, 1, 4.0), (512, 1, 3.0), (8, 0, 2.0), (64, 0, 5.0), (64, 1, 5.0)]
    table = pd.DataFrame(rows, columns=["batch_size", "seed", "loss"])
    assert plot_sweep(table, "batch_size", "loss", label="mine", ax=ax) is ax
    (line,) = ax.get_lines()
    assert line.get_xdata().tolist() == [8, 64, 512] and line.get_ydata().tolist() == [3, 5, 2]
    assert ax.get_xscale() == "log" and line.get_label() == "mine"
    with pytest.raises(ValueError, match="y must be a column of .*; got 'accuracy'"):
        plot_sweep(table, "batch_size", "accuracy")
    with pytest.raises(ValueError, match="one row per batch_size and seed"):
        plot_sweep(pd.concat([table, table]), "batch_size", "loss")
    with pytest.raises(TypeError, match="table must be the DataFrame"):
        plot_sweep(rows, "batch_size", "loss")


def test_description_of_bars_and_of_nothing(ax):
    assert describe(ax) == ""
    ax.bar([1, 2], [3, 4.5], label="batches")
    ax.set(title="Batches", xlabel="epoch", ylabel="count")
    assert describe(ax) == "Batches. count against epoch. batches: 3, 4.5."
    ax.set_label("In my words.")
    assert describe(ax) == "In my words."


def test_description_names_a_turn_but_no_wobble(ax):
    ax.plot([1, 2, 3, 4], [0.9, 0.4, 0.5, 0.6], label="turns")
    ax.plot([1, 2, 3, 4], [0.9, 0.5, 0.39, 0.4], label="falls")
    ax.plot([1, 2, 3], [0.1, np.nan, 0.3], label="broken")
    assert describe(ax) == (
        "turns: from 0.9 at 1 to 0.6 at 4, lowest 0.4 at 2. falls: from 0.9 at 1 to 0.4 at 4. "
        "broken: from 0.1 at 1 to 0.3 at 3."
    )


def test_description_of_scattered_dots(ax):
    ax.scatter([3, 1, 2], [5, 4, 9], label="runs")
    assert describe(ax) == "runs: 3 dots, from 4 at 1 to 5 at 3, highest 9 at 2."


def test_style_can_be_set_twice_and_outside_jupyter():
    set_style()
    set_style()
    assert plt.rcParams["axes.spines.top"] is False


def test_in_jupyter_a_figure_carries_its_alt_text(shown_in_jupyter):
    source = (
        "import epochlab, matplotlib.pyplot as plt\n"
        "epochlab.set_style()\n"
        "epochlab.set_style()\n"
        "_ = plt.plot([1, 2], [3, 4], label='loss')"
    )
    (output,) = shown_in_jupyter(source)
    assert output.metadata["image/png"]["alt"] == "loss: from 3 at 1 to 4 at 2."
    assert base64.b64decode(output.data["image/png"]).startswith(b"\x89PNG")
