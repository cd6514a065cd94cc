"""The five things to play with, operated in a browser, and held to the package and to NumPy."""

import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from epochlab import Patience, TrainingPlan, difference, replay

sys.path.append(str(Path(__file__).parents[1] / "docs"))
import play

pytestmark = pytest.mark.slow
NAMES = ["budget", "patience", "stop", "calculator", "descent"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """All five on one page, in Debian's Chromium."""
    api = pytest.importorskip("playwright.sync_api")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("needs /usr/bin/chromium: apt-get install chromium")
    path = tmp_path_factory.mktemp("play") / "play.html"
    path.write_text(
        f'<meta charset="utf-8"><main>{"".join(map(play.fragment, NAMES))}</main>', encoding="utf-8"
    )
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(path.as_uri())
        yield page
        assert errors == []
        browser.close()


def said(page, name):
    return page.inner_text(f"#play-{name} .said")


def test_they_are_small():
    parts = [play.fragment(name) for name in NAMES]
    assert sum(map(len, parts)) < 100_000


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="name must be one of .*; got 'slider'"):
        play.fragment("slider")


def test_the_calculator_counts_as_the_package_does(page):
    rng = random.Random(7)
    cases = []
    for _ in range(20_000):
        largest = 10 ** rng.randint(1, 7)
        cases.append(
            [
                rng.randint(0, largest),
                rng.randint(0, largest),
                rng.randint(0, 300),
                rng.choice([0, 0.1, 0.2, 0.25, 0.5, 0.8, round(rng.random(), 3), 1]),
                rng.random() < 0.5,
                rng.randint(0, 9),
            ]
        )
    found = page.evaluate("cases => cases.map(c => play.plan(...c))", cases)
    for case, counted in zip(cases, found, strict=True):
        n, batch_size, epochs, split, drop, accumulation = case
        try:
            plan = TrainingPlan(
                n,
                batch_size,
                epochs,
                validation_split=split,
                drop_remainder=drop,
                gradient_accumulation_steps=accumulation,
            )
        except ValueError:
            assert list(counted) == ["error"], case
            continue
        assert counted == {
            "training samples": plan.n_train,
            "validation samples": plan.n_validation,
            "steps per epoch": plan.steps_per_epoch,
            "last batch size": plan.last_batch_size,
            "dropped per epoch": plan.dropped_samples,
            "validation steps": plan.validation_steps,
            "steps in all": plan.total_steps,
            "updates in all": plan.total_updates,
            "training samples seen": plan.samples_seen,
        }, case
    assert sum("error" in counted for counted in found) > 1_000


def test_the_calculator_answers_to_the_keyboard(page):
    page.focus("#play-calculator [name=batch]")
    page.keyboard.press("Control+A")
    page.keyboard.type("64")
    assert said(page, "calculator").startswith("Your run makes 80 updates: 16 steps")
    page.focus("#play-calculator [name=drop]")
    page.keyboard.press("Space")
    assert said(page, "calculator").startswith("Your run makes 75 updates: 15 steps")
    page.fill("#play-calculator [name=batch]", "0")
    assert said(page, "calculator") == "The batch size must be a whole number of at least 1."


def test_the_slider_says_what_replay_does_in_all_its_states(page):
    for number, curve in enumerate(play.DATA["patience"]()):
        page.click(f"#play-patience input[name=curve] >> nth={number}")
        page.focus("#play-patience [name=patience]")
        page.keyboard.press("Home")
        for patience in range(1, 31):
            report = replay(curve["val_loss"], Patience(patience))
            text = said(page, "patience")
            assert text.startswith(f"Patience {patience} ")
            if report.stopped_epoch is None:
                assert "never stops" in text
            else:
                assert f"stops after epoch {report.epochs_run} and" in text
            restored = re.search(r"restores epoch (\d+): ([\d.]+) %", text)
            assert int(restored[1]) == report.restored_epoch + 1
            accuracy = curve["test_accuracy"][report.restored_epoch]
            assert float(restored[2]) == pytest.approx(accuracy, abs=0.0501)
            page.keyboard.press("ArrowRight")


def test_the_explorer_says_what_difference_does(page):
    world = play.budget_data()["digits"]
    assert page.locator("#play-budget [data-name=budget] input").count() == len(world)
    for budget, known in world.items():
        page.click(f"#play-budget [name=budget][value={budget}]")
        for optimizer, sizes in known["optimizers"].items():
            page.click(f"#play-budget [name=optimizer][value={optimizer}]")
            for size, rates in sizes.items():
                page.click(f'#play-budget [name=batch_size][value="{size}"]')
                best = next(rate for rate in rates["rates"] if rate["best"])
                text = said(page, "budget")
                assert f"Batch size {size:,} at rate {best['rate']:g} is" in text
                assert f"It made {best['updates']:,} update" in text
                percent = re.search(r"([\d.]+) % of new ones right", text)[1]
                assert float(percent) == pytest.approx(np.mean(best["values"]), abs=0.06)
                if best["behind"] and best["behind"] > 0.06:
                    points = re.search(r"is ([\d.]+) points behind batch size", text)[1]
                    assert float(points) == pytest.approx(best["behind"], abs=0.06)
                    first = next(r for r in sizes[best["best_size"]]["rates"] if r["best"])
                    assert text.endswith(f" made {first['updates']:,}.")


def test_the_explorer_has_what_is_recorded():
    table, _ = play.runs("budget_digits_epochs")
    sgd = table[table["optimizer"] == "sgd"]
    sizes = play.budget_data()["digits"]["epochs"]["optimizers"]["sgd"]
    best = {size: next(r for r in rates["rates"] if r["best"]) for size, rates in sizes.items()}
    rows = {size: play.pick(sgd, size, rate["rate"]) for size, rate in best.items()}
    first = max(best, key=lambda size: best[size]["mean"])
    for size, rate in best.items():
        if size != first:
            columns = ["seed", "test_accuracy"]
            found = difference(rows[first][columns], rows[size][columns], "test_accuracy")
            assert rate["behind"] == pytest.approx(found.mean, abs=1e-6)


def test_the_explorer_answers_to_the_keyboard(page):
    page.click("#play-budget [name=budget][value=epochs]")
    page.click('#play-budget [name=batch_size][value="4"]')
    before = said(page, "budget")
    page.keyboard.press("ArrowRight")
    assert said(page, "budget") != before and "Batch size 16 " in said(page, "budget")
    assert page.get_attribute("#play-budget svg", "aria-label").endswith(said(page, "budget"))


def test_training_is_stopped_and_the_rules_are_shown(page):
    (next_epoch, run, stop, again) = page.locator("#play-stop button").all()
    curve = play.curves()[0]
    for _ in range(3):
        next_epoch.press("Enter")
    kept = int(np.argmin(curve["val_loss"][:4])) + 1
    assert f"the lowest so far in epoch {kept}." in said(page, "stop")
    run.click()
    page.wait_for_timeout(900)
    run.click()
    stop.press("Space")
    assert said(page, "stop").startswith("You stopped after epoch ")
    cells = page.locator("#play-stop tr").all_inner_texts()
    for rule, row in zip(play.RULES, cells[2:], strict=False):
        report = replay(curve["val_loss"], play.RULES[rule])
        accuracy = curve["test_accuracy"][report.restored_epoch]
        name, ran, restored, percent = row.split("\t")
        assert (name, int(ran), int(restored)) == (
            rule,
            report.epochs_run,
            report.restored_epoch + 1,
        )
        assert float(percent.removesuffix(" %")) == pytest.approx(accuracy, abs=0.0501)
    assert stop.is_disabled()
    again.press("Enter")
    assert said(page, "stop").startswith("Epoch 1:")


@pytest.mark.parametrize("batch_size", [1, 15, 150])
def test_descent_makes_the_steps_that_numpy_makes(page, batch_size):
    page.check(f'#play-descent [name=batch][value="{batch_size}"]')
    page.check('#play-descent [name=runs][value="5"]')
    step, go, _ = page.locator("#play-descent button").all()
    for _ in range(4):
        step.press("Enter")
    go.click()
    page.wait_for_timeout(1_000)
    go.click()
    data = play.descent_data()
    rows = np.array(data["rows"])
    runs, rate = page.evaluate("[play.descent.runs(), play.descent.rate()]")
    last = {tuple(np.round(run["path"][-1], 6)) for run in runs}
    assert len(last) == (1 if batch_size == 150 else 5)  # all samples: no luck in the path
    for run in runs:
        weights = np.array(data["begin"])
        assert len(run["path"]) > 4 and len(run["seen"]) == (len(run["path"]) - 1) * batch_size
        for place, batch in zip(
            run["path"][1:], np.reshape(run["seen"], (-1, batch_size)), strict=True
        ):
            x, y = rows[batch, :2], rows[batch, 2]
            weights = weights - rate * 2 * x.T @ (x @ weights - y) / batch_size
            np.testing.assert_allclose(place, weights, rtol=1e-6, atol=1e-9)
    for epoch in np.array_split(runs[0]["seen"], range(150, len(runs[0]["seen"]), 150)):
        assert len(set(epoch)) == len(epoch)  # each once per epoch


def test_descent_flies_away_at_a_rate_that_is_too_large(page):
    page.check('#play-descent [name=batch][value="150"]')
    page.check('#play-descent [name=runs][value="5"]')
    page.focus("#play-descent [name=rate]")
    page.keyboard.press("End")
    step = page.locator("#play-descent button").first
    for _ in range(20):
        if step.is_enabled():
            step.press("Enter")
    assert "too large for a batch of 150" in said(page, "descent")
    assert "5 flew away" in said(page, "descent")


@pytest.mark.parametrize(("batch_size", "rate"), [(1, -0.5), (1, 0.3), (150, -0.25)])
def test_descent_says_that_the_path_flew_away_only_where_it_did(page, batch_size, rate):
    page.check(f'#play-descent [name=batch][value="{batch_size}"]')
    page.check('#play-descent [name=runs][value="1"]')
    page.fill("#play-descent [name=rate]", str(rate))
    step = page.locator("#play-descent button").first
    start = page.evaluate("play.descent.lost(play.descent.runs()[0].path[0])")
    above = 0
    for _ in range(120):
        if step.is_enabled():
            step.press("Enter")
        text = said(page, "descent")
        gone, loss = page.evaluate(
            "(([run]) => [run.gone, play.descent.lost(run.path.at(-1))])(play.descent.runs())"
        )
        assert ("flew away" in text) == ("too large" in text) == gone
        if not gone:
            assert (f", above the {start:.3f} of the start;" in text) == (loss > start)
            above += loss > start
    assert above > 0
