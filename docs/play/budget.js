(section, data) => {
  const form = section.querySelector("form"), svg = section.querySelector("svg");
  const said = section.querySelector(".said");
  const sets = Object.fromEntries(
    [...section.querySelectorAll("fieldset")].map((set) => [set.dataset.name, set]));
  const value = (name) => play.chosen(form, name);
  const bestOf = ({ rates }) => rates.find((rate) => rate.best);
  const fill = (name, pairs, first) => {
    play.radios(sets[name], name, pairs, form.elements[name] ? value(name) : first);
  };
  function draw() {
    fill("world", Object.keys(data).map((world) => [world, world]));
    const world = data[value("world")];
    fill("budget", Object.entries(world).map(([name, { text }]) => [name, text]));
    const budget = world[value("budget")];
    fill("optimizer", Object.keys(budget.optimizers).map((name) => [name, budget.names[name]]));
    const sizes = budget.optimizers[value("optimizer")];
    const names = Object.keys(sizes).sort((a, b) => a - b);
    fill("batch_size", names.map((size) => [size, play.count(Number(size))]), names.at(-2));
    const size = value("batch_size"), rates = sizes[size].rates;
    // The best rate first when the batch changes; a rate of another batch size means nothing here.
    const best = bestOf(sizes[size]);
    const known = rates.some((rate) => String(rate.rate) === (form.elements.rate ? value("rate") : ""));
    play.radios(sets.rate, "rate", rates.map((rate) => [rate.rate, rate.rate + (rate.best ? " (best)" : "")]),
      known && draw.size === size ? value("rate") : best.rate);
    draw.size = size;
    const rate = rates.find((rate) => String(rate.rate) === value("rate"));

    // One scale for all budgets, so that they can be compared.
    const everywhere = Object.values(world).flatMap(({ optimizers }) => Object.values(optimizers[value("optimizer")] || {}));
    const all = everywhere.flatMap((size) => bestOf(size).values).concat(rate.values);
    const low = Math.floor(Math.min(...all) / 5) * 5, high = Math.ceil(Math.max(...all) / 5) * 5;
    const yTicks = [];
    const gap = high - low > 40 ? 20 : high - low > 15 ? 10 : 5;
    for (let v = low; v <= high; v += gap) yTicks.push([v, `${v} %`]);
    const chart = play.chart(svg, {
      x: [-0.5, names.length - 0.5], y: [low, high], xLabel: "batch size", yLabel: "new ones right",
      xTicks: names.map((name, i) => [i, play.count(Number(name))]), yTicks,
    });
    names.forEach((name, i) => {
      const here = name === size, shown = here ? rate : bestOf(sizes[name]);
      shown.values.forEach((v, k) => play.svg("circle", {
        cx: chart.x(i) + (k - (shown.values.length - 1) / 2) * 4, cy: chart.y(v), r: here ? 5 : 4,
        fill: here ? "var(--b)" : "none", stroke: here ? "var(--b)" : "var(--soft)",
      }, svg));
      play.svg("line", { x1: chart.x(i) - 26, x2: chart.x(i) + 26, y1: chart.y(shown.mean), y2: chart.y(shown.mean),
        stroke: here ? "var(--b)" : "var(--soft)", "stroke-width": 3 }, svg);
    });
    const made = `${play.count(rate.updates)} ${rate.updates === 1 ? "update" : "updates"}`;
    const points = Math.abs(rate.behind).toFixed(1);
    const apart = points === "0.0" ? "as good as" : `${points} points ${rate.behind > 0 ? "behind" : "ahead of"}`;
    const equal = Math.abs(rate.behind) < budget.margin ? ` (below ${budget.margin}, which counts as equal)` : "";
    const text = rate.behind === null
      ? `Batch size ${play.count(Number(size))} at rate ${rate.rate} is the best here: ${rate.mean.toFixed(1)} % of new ones right. It made ${made}.`
      : `Batch size ${play.count(Number(size))} at rate ${rate.rate} is ${apart} batch size ${play.count(rate.best_size)} at its best rate${equal}: ${rate.mean.toFixed(1)} % of new ones right. It made ${made}, batch size ${play.count(rate.best_size)} made ${play.count(bestOf(sizes[rate.best_size]).updates)}.`;
    said.textContent = text;
    svg.setAttribute("aria-label", `Accuracy by batch size, a dot per seed. ${text}`);
  }
  form.addEventListener("change", draw);
  draw();
}
