"""Figures: what they draw, say and refuse. How they look was judged by eye."""

import base64

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from epochlab import (
    TrainingPlan,
    describe,
    draw_plan,
    plot_curves,
    plot_dots,
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
    seed_band(ax, [1, 2], np.array([[1.0, 2.0], [3.0, 2.0]]), label="loss")  # no spread at 2
    assert ax.get_lines()[0].get_ydata().tolist() == [2.0, 2.0]
    vertices = ax.collections[0].get_paths()[0].vertices
    half_width = 12.706 * np.sqrt(2) / np.sqrt(2)  # t of one degree of freedom
    assert vertices[:, 1].min() == pytest.approx(2 - half_width, rel=1e-3)
    assert describe(ax) == "loss: from 2 at 1 to 2 at 2."


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0],
        [[1.0, 2.0]],
        [[1.0], [2.0]],
        np.zeros((2, 2, 1)),
        [[1.0, 2.0], [3.0]],
        [["a", "b"], ["c", "d"]],
    ],
)
def test_band_refuses_one_seed_other_shapes_and_what_is_no_number(ax, values):
    with pytest.raises(ValueError, match=r"values must .* shape \(≥ 2 seeds, 2\)"):
        seed_band(ax, [1, 2], values, label="loss")


def test_dots_show_each_seed_and_the_mean(ax):
    assert seed_dots({"small": [1.0, 2.0], "large": [5.0, 7.0]}, ax) is ax
    assert [label.get_text() for label in ax.get_yticklabels()] == ["small", "large"]
    assert [text.get_text() for text in ax.texts] == ["mean 1.5", "mean 6"]
    assert ax.yaxis_inverted()  # the first group on top
    assert describe(ax) == "small: 2 dots, mean 1.5. large: 2 dots, mean 6."
    assert describe(seed_dots({4: [1.0, 2.0], None: [5.0, 7.0]})).startswith("4: 2 dots, mean 1.5.")
    plt.close()
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
    from epochlab import Run, StopReason, StopReport  # slow to import

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
    for runs in ([], [run([10], [0.5])]):
        expected = rf"runs\['small'\] must hold at least 2 seeds; got {len(runs)}"
        with pytest.raises(ValueError, match=expected):
            three_clocks({"small": runs})
    with pytest.raises(ValueError, match=r"runs\['small'\] must all have .*at the same steps"):
        three_clocks({"small": [run([10], [0.5]), run([20], [0.5])]})
    with pytest.raises(ValueError, match="have 'val_auc'"):
        three_clocks({"small": [run([10], [0.5]), run([10], [0.5])]}, y="val_auc")
    with pytest.raises(TypeError, match="runs must be a mapping"):
        three_clocks([run([10], [0.5])])
    assert not plt.get_fignums()


def test_sweep_is_drawn_in_the_order_of_its_key(ax):
    rows = [(512, 0, 1.0), (8, 1, 4.0), (512, 1, 3.0), (8, 0, 2.0), (64, 0, 5.0), (64, 1, 5.0)]
    table = pd.DataFrame(rows, columns=["batch_size", "seed", "loss"])
    assert plot_sweep(table, "batch_size", "loss", label="mine", ax=ax) is ax
    (line,) = ax.get_lines()
    assert line.get_xdata().tolist() == [8, 64, 512] and line.get_ydata().tolist() == [3, 5, 2]
    assert ax.get_xscale() == "log" and line.get_label() == "mine"
    with pytest.raises(ValueError, match="y must be a column of .*; got 'accuracy'"):
        plot_sweep(table, "batch_size", "accuracy")
    named = table.assign(optimizer="sgd", loss=table["loss"].astype(object))
    with pytest.raises(ValueError, match="x must be a column of numbers; got 'optimizer'"):
        plot_sweep(named, "optimizer", "loss")
    with pytest.raises(ValueError, match="y must be a column of numbers; got 'optimizer'"):
        plot_sweep(named, "batch_size", "optimizer")
    plot_sweep(named, "batch_size", "loss", ax=ax)  # numbers, whatever their dtype
    with pytest.raises(ValueError, match="one row per batch_size and seed"):
        plot_sweep(pd.concat([table, table]), "batch_size", "loss")
    with pytest.raises(TypeError, match="table must be the DataFrame"):
        plot_sweep(rows, "batch_size", "loss")


def curves(key, values, *, seeds=4, epochs=5, final=0.9, column="val_accuracy", spread=0.02):
    """A table as `sweep(..., curves=True)` returns it; all lines end near `final`."""
    rng = np.random.default_rng(0)
    rows = [
        (value, seed, epoch, 10 * (epoch + 1) - 1)
        for value in values
        for seed in range(seeds)
        for epoch in range(epochs)
    ]
    table = pd.DataFrame(rows, columns=[key, "seed", "epoch", "step"])
    learned = 1 - 0.5 ** (table["epoch"] + 1.0)
    noise = rng.uniform(-spread, spread, len(table)) if spread else 0.0
    return table.assign(**{column: final * learned + noise})


def drawn(ax):
    """Draw the figure; return the boxes in pixels of all its text, and of the figure."""
    figure = ax.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    texts = [
        text
        for axes in figure.axes
        for text in axes.findobj(matplotlib.text.Text)
        if text.get_visible() and text.get_text()
    ]
    boxes = [matplotlib.text.Text.get_window_extent(text, renderer) for text in texts]
    return [(text.get_text(), box) for text, box in zip(texts, boxes, strict=True)], figure.bbox


def check_readable(ax):
    """No name on another name, nothing beyond the figure's edge."""
    boxes, edge = drawn(ax)
    names = {text.get_text() for axes in ax.figure.axes for text in axes.texts}
    of_names = [(text, box) for text, box in boxes if text in names]
    assert len(of_names) == sum(len(axes.texts) for axes in ax.figure.axes)
    for i, (text, box) in enumerate(of_names):
        assert edge.x0 <= box.x0 and box.x1 <= edge.x1, (text, box)
        assert edge.y0 <= box.y0 and box.y1 <= edge.y1, (text, box)
        for other, of_other in of_names[:i]:
            assert not box.overlaps(of_other), (text, other)


def test_curves_are_the_mean_over_seeds_in_percent_from_epoch_1():
    table = curves("batch_size", [4, 512])
    ax = plot_curves(table.sample(frac=1, random_state=0), "val_accuracy", by="batch_size")
    expected = table.groupby(["batch_size", "epoch"])["val_accuracy"].mean() * 100
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert set(lines) == {"batch size 4", "batch size 512"}
    for size in (4, 512):
        line = lines[f"batch size {size}"]
        assert line.get_xdata().tolist() == [1, 2, 3, 4, 5]
        assert line.get_ydata() == pytest.approx(expected[size].to_numpy())
    assert ax.get_xlabel() == "epoch" and ax.get_xlim() == (1, 5)
    assert ax.get_ylabel() == "validation accuracy in %\nmean of 4 seeds, 95 % band"
    assert describe(ax).startswith(
        "validation accuracy in %, mean of 4 seeds, 95 % band against epoch. batch size"
    )
    assert "batch size 512: from 4" in describe(ax)


def test_curves_against_updates_and_against_a_key(ax):
    table = curves("batch_size", [4, 512], column="loss")
    assert plot_curves(table, "loss", by="batch_size", x="step", ax=ax) is ax
    assert ax.get_lines()[0].get_xdata().tolist() == [10, 20, 30, 40, 50]
    assert ax.get_xlabel() == "updates" and ax.get_ylabel().startswith("loss\n")
    table.loc[table["batch_size"] == 512, "step"] //= 10
    ax = plot_curves(table, "loss", by="batch_size", x="step")  # from 1 to 5, from 10 to 50
    assert ax.get_xscale() == "log" and ax.get_xlim() == pytest.approx((1, 50))
    check_readable(ax)
    sizes = curves("batch_size", [512, 4, 64], epochs=1).drop(columns=["epoch", "step"])
    ax = plot_curves(sizes, "val_accuracy", x="batch_size", names={"val_accuracy": "new"})
    assert ax.get_xscale() == "log" and ax.get_xlabel() == "batch size"
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["4", "64", "512"]
    assert ax.get_lines()[0].get_label() == "new" and ax.get_ylabel().startswith("accuracy in %")
    check_readable(ax)


def test_a_second_call_adds_a_line_to_the_same_axes():
    table = curves("batch_size", [4], spread=0).assign(accuracy=0.95)
    ax = plot_curves(table, "accuracy", names={"accuracy": "training images"})
    plot_curves(table, "val_accuracy", names={"val_accuracy": "new images"}, ax=ax)
    assert [text.get_text() for text in ax.texts] == ["training images", "new images"]
    assert ax.get_ylim()[0] < 45 and 95 < ax.get_ylim()[1] < 100
    check_readable(ax)


def test_the_band_of_two_seeds_does_not_flatten_the_lines():
    table = curves("batch_size", [4], seeds=2, spread=0.02)
    low, high = plot_curves(table, "val_accuracy", by="batch_size").get_ylim()
    values = 100 * table["val_accuracy"]
    assert values.min() - 5 < low < high < values.max() + 5


@pytest.mark.slow
@pytest.mark.parametrize("style", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_names_of_lines_never_overlap_nor_leave_the_figure(style, seed):
    rng = np.random.default_rng(seed)
    if style:
        set_style()
    count = rng.integers(1, 8)
    words = ["sgd", "adam", "with momentum and a schedule that ends at zero", "batch size 512"]
    names = [f"{rng.choice(words)} {i}" for i in range(count)]
    table = curves("kind", names, final=0.9, spread=rng.choice([0, 0.001, 0.05]))
    if seed % 2:  # otherwise all end at the same value or nearly so
        table["val_accuracy"] *= table["kind"].map(dict(zip(names, rng.random(count), strict=True)))
    figure, axes = plt.subplots(
        1, rng.integers(1, 3), figsize=(8, rng.uniform(3, 5)), squeeze=False
    )
    for ax in axes[0]:
        plot_curves(table, "val_accuracy", by="kind", ax=ax).set_title("A title", loc="left")
    check_readable(ax)
    ax.set_ylim(60, 100)  # what is set later moves the names as well
    figure.set_size_inches(7, 4)
    check_readable(ax)


def test_values_that_are_not_finite_end_the_line_and_are_named():
    table = curves("learning_rate", [0.1, 1.0, 10.0], column="loss")
    table.loc[
        (table["learning_rate"] == 1) & (table["epoch"] > 2) & (table["seed"] == 1), "loss"
    ] = np.inf
    table.loc[table["learning_rate"] == 10, "loss"] = np.nan
    ax = plot_curves(table, "loss", by="learning_rate")
    assert [text.get_text() for text in ax.texts] == [
        "learning rate 0.1",
        "learning rate 1, then\nNaN",
        "learning rate 10: NaN",
    ]
    assert np.isfinite(ax.get_lines()[1].get_ydata()).tolist() == [True] * 3 + [False] * 2
    assert "learning rate 10: never finite." in describe(ax)
    assert "at 3, then NaN." in describe(ax)
    check_readable(ax)


def test_runs_that_stopped_early_end_the_line_without_a_word_of_nan():
    table = curves("batch_size", [4, 512])
    stopped = table[(table["batch_size"] == 4) | (table["seed"] > 0) | (table["epoch"] < 3)]
    ax = plot_curves(stopped, "val_accuracy", by="batch_size")
    assert np.isfinite(ax.get_lines()[1].get_ydata()).sum() == 3
    assert [text.get_text() for text in ax.texts] == ["batch size 4", "batch size 512"]
    check_readable(ax)


def test_curves_of_several_numbers_of_seeds_say_so():
    table = curves("batch_size", [4, 8, 512])
    few = table[(table["batch_size"] == 4) | (table["seed"] < 2)]
    ax = plot_curves(few, "val_accuracy", by="batch_size")
    assert ax.get_ylabel().endswith("\nmean of 2 to 4 seeds, 95 % band")


def test_dots_have_a_named_row_per_value_and_their_mean():
    runs = curves("batch_size", [4, 512], seeds=3, epochs=1).drop(columns=["epoch", "step"])
    ax = plot_dots(runs, "val_accuracy", by="batch_size", names={4: "small", 512: "large " * 12})
    assert ax.get_xlabel() == "validation accuracy in %, one dot per seed"
    assert ax.get_yticklabels()[0].get_text() == "small"
    means = 100 * runs.groupby("batch_size")["val_accuracy"].mean()
    assert [text.get_text() for text in ax.texts] == [f"mean {mean:.3g} %" for mean in means]
    assert f"small: 3 dots, mean {means[4]:.3g}." in describe(ax)
    boxes, edge = drawn(ax)
    assert all(edge.x0 <= box.x0 and box.x1 <= edge.x1 for _, box in boxes)
    check_readable(ax)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("batch_size", 1024, "batch size 1,024"),
        ("label_noise", 0.4, "label noise 0.4"),
        ("learning_rate", 1e-4, "learning rate 0.0001"),
        ("label_noise", 0.0, "label noise 0"),
        ("optimizer", "adam", "adam"),
        ("weight_decay", None, "no weight decay"),
        ("augment", False, "no augment"),
        ("augment", True, "augment"),
        ("layers", [64, 32], "layers 64, 32"),
        ("optimizer", dict, "optimizer dict"),
    ],
)
def test_values_are_named_as_one_says_them(key, value, name):
    rows = pd.DataFrame({key: [value] * 2, "seed": [0, 1], "loss": [0.1, 0.2]})
    assert [text.get_text() for text in plot_dots(rows, "loss", by=key).get_yticklabels()] == [name]


@pytest.mark.parametrize("plot", [plot_curves, plot_dots])
def test_tables_that_cannot_be_drawn_are_refused_before_a_figure_is_made(plot):
    table = curves("batch_size", [4, 512], epochs=1 if plot is plot_dots else 3)
    with pytest.raises(ValueError, match="by must be a key of the runs, one of .*; got 'size'"):
        plot(table, "val_accuracy", by="size")
    with pytest.raises(ValueError, match="one column 'accuracy'"):
        plot(table, "accuracy", by="batch_size")
    with pytest.raises(ValueError, match="batch size 4 must hold at least 2 seeds; got 1"):
        plot(table[table["seed"] == 0], "val_accuracy", by="batch_size")
    with pytest.raises(ValueError, match=r"names must be for what is drawn, \[4, 512\]; got 8"):
        plot(table, "val_accuracy", by="batch_size", names={8: "eight"})
    with pytest.raises(ValueError, match="names must differ"):
        plot(table, "val_accuracy", by="batch_size", names={4: "same", 512: "same"})
    with pytest.raises(TypeError, match="names must be a mapping from values to names"):
        plot(table, "val_accuracy", by="batch_size", names=["small", "large"])
    with pytest.raises(TypeError, match=r"names\[4\] must be a string; got 4"):
        plot(table, "val_accuracy", by="batch_size", names={4: 4})
    table.insert(0, "learning_rate", [0.1, 0.2] * (len(table) // 2))
    with pytest.raises(ValueError, match='two learning rates are left .* draw by="learning_rate"'):
        plot(table, "val_accuracy", by="batch_size")
    with pytest.raises(TypeError, match="runs must be a table of runs"):
        plot([1, 2], "val_accuracy", by="batch_size")
    assert not plt.get_fignums()


def test_curves_refuse_too_many_lines_and_what_is_no_x():
    table = curves("batch_size", range(1, 9))
    with pytest.raises(ValueError, match="batch_size must have at most 7 values.*: keep"):
        plot_curves(table, "val_accuracy", by="batch_size")
    with pytest.raises(ValueError, match='x must be "epoch", "step" or a key of the runs; got'):
        plot_curves(table, "val_accuracy", by="batch_size", x="val_accuracy")
    with pytest.raises(ValueError, match="batch size 1: each seed must have one row per epoch"):
        plot_curves(pd.concat([table, table]), "val_accuracy", by="batch_size")
    with pytest.raises(ValueError, match="5 epochs|five epochs .* take best_epochs or last_epochs"):
        plot_dots(table, "val_accuracy", by="batch_size")
    with pytest.raises(ValueError, match="batch size 1: val_accuracy is not finite for seed 0"):
        last = table[table["epoch"] == 4]
        plot_dots(last.assign(val_accuracy=np.nan), "val_accuracy", by="batch_size")
    assert not plt.get_fignums()


def test_description_of_bars_and_of_nothing(ax):
    assert describe(ax) == ""
    ax.bar([1, 2], [3, 4.5], label="batches")
    ax.set(title="Batches", xlabel="epoch", ylabel="count")
    assert describe(ax) == "Batches. count against epoch. batches: 3, 4.5."
    ax.set_label("In my words.")
    assert describe(ax) == "In my words."


def test_description_of_lines_across_the_axes_and_of_what_words_cannot_tell(ax):
    ax.plot([1, 2, 3], [0.5, 0.6, 0.7], label="accuracy")
    ax.axhline(0.1, label="chance")
    ax.axvline(2, label="best epoch")
    ax.fill_between([1, 2, 3], [0.4] * 3, [0.8] * 3, label="band")
    ax.vlines([1, 2], 0, 1, label="updates")
    ax.plot([0, 1], [0, 1], transform=ax.transAxes, label="diagonal")
    ax.plot([0, 1], [0, 1], transform=ax.get_yaxis_transform(), label="mixed")
    ax.axline((1, 0.2), slope=0.1, label="slope")
    ax.barh([0, 1], [3, 4.5], label="seconds")
    assert describe(ax) == (
        "accuracy: from 0.5 at 1 to 0.7 at 3. chance: a horizontal line at 0.1. "
        "best epoch: a vertical line at 2. seconds: 3, 4.5."
    )


def test_description_of_a_colorbar_is_its_own_label(ax):
    image = ax.imshow(np.eye(3))
    assert describe(ax.figure.colorbar(image).ax) == ""
    assert describe(ax.figure.colorbar(image, label="share right").ax) == "share right."


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
    ax.scatter([4, np.nan, 6], [1, 2, np.nan], label="one of them drawn")
    ax.scatter([], [], label="none")
    assert describe(ax) == (
        "runs: 3 dots, from 4 at 1 to 5 at 3, highest 9 at 2. one of them drawn: 1 dots, mean 4."
    )


def test_description_names_categories(ax):
    names = ["digits", "photos", "text"]
    ax.plot(names, [0.9, 0.5, 0.7], label="accuracy")
    ax.scatter(names[::-1], [2, 2, 2], label="seeds")
    ax.bar(names, [3, 4.5, 5], label="epochs")
    assert describe(ax) == (
        "accuracy: from 0.9 at digits to 0.7 at text, lowest 0.5 at photos. "
        "seeds: 3 dots, from 2 at digits to 2 at text. epochs: 3, 4.5, 5."
    )


def test_style_can_be_set_twice_and_outside_jupyter():
    set_style()
    set_style()
    assert plt.rcParams["axes.spines.top"] is False


@pytest.mark.slow
def test_in_jupyter_a_figure_is_sharp_and_described(shown_in_jupyter):
    source = (
        "import epochlab, matplotlib.pyplot as plt\n"
        "epochlab.set_style()\n"
        "epochlab.set_style()\n"
        "_ = plt.plot([1, 2], [3, 4], label='loss')"
    )
    output, below = shown_in_jupyter(source)
    assert below.data == {
        "text/html": "<details><summary>Description of the figure</summary>"
        "loss: from 3 at 1 to 4 at 2.</details>"
    }
    shown = output.metadata["image/png"]
    assert shown["alt"] == "loss: from 3 at 1 to 4 at 2."
    picture = base64.b64decode(output.data["image/png"])
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width // 2, height // 2) == (shown["width"], shown["height"])
    assert 700 < shown["width"] < 850  # as wide as the column of a notebook
