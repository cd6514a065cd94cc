(section, data) => {
  const form = section.querySelector("form"), svg = section.querySelector("svg");
  const said = section.querySelector(".said"), counters = section.querySelector(".counters");
  const [step, go, reset] = section.querySelectorAll("button"), shown = section.querySelector("output");
  const { rows, start, end, begin, contours } = data, n = rows.length, most = 20 * n;
  const place = ([a, b]) => [((a - start[0]) / (end[0] - start[0])) * 640, 420 - ((b - start[1]) / (end[1] - start[1])) * 420];
  let runs = [], clock = 0, timer = null; // the clock counts samples

  function random(seed) { // mulberry32: small, and the same everywhere
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }
  function shuffled(next) {
    const order = [...Array(n).keys()];
    for (let i = n - 1; i > 0; i -= 1) {
      const j = Math.floor(next() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }
  const batchSize = () => Number(play.chosen(form, "batch"));
  const rate = () => Number((10 ** Number(form.elements.rate.value)).toPrecision(2));
  const lost = ([a, b]) => rows.reduce((sum, [x1, x2, y]) => sum + (a * x1 + b * x2 - y) ** 2, 0) / n;
  function restart() {
    pause();
    clock = 0;
    runs = [...Array(Number(play.chosen(form, "runs"))).keys()].map((seed) => ({
      next: random(seed + 1), order: [], at: 0, seen: [], path: [[...begin]], gone: false,
    }));
    draw();
    say();
  }
  function update(run) { // one step by the mean gradient of a batch
    if (run.at >= run.order.length) {
      run.order = shuffled(run.next);
      run.at = 0;
    }
    const batch = run.order.slice(run.at, run.at + batchSize()), [a, b] = run.path.at(-1);
    run.at += batch.length;
    let first = 0, second = 0;
    for (const i of batch) {
      const [x1, x2, y] = rows[i], error = a * x1 + b * x2 - y;
      first += error * x1;
      second += error * x2;
    }
    run.seen.push(...batch);
    const move = (2 * rate()) / batch.length;
    run.path.push([a - move * first, b - move * second]);
    run.gone = run.gone || !run.path.at(-1).every((w) => Math.abs(w) < 1e6);
  }
  const over = () => runs.every((run) => run.gone || run.seen.length >= most);
  function advance(samples) {
    clock = Math.min(clock + samples, most);
    for (const run of runs) while (!run.gone && run.seen.length + batchSize() <= clock) update(run);
    if (over()) pause();
    draw();
    say();
  }
  function pause() {
    clearInterval(timer);
    timer = null;
    said.removeAttribute("aria-live");
    go.textContent = "Run";
  }
  function draw() {
    shown.textContent = rate();
    svg.replaceChildren();
    for (const { center, radii, angle } of contours) {
      const [cx, cy] = place(center), scale = 640 / (end[0] - start[0]);
      play.svg("ellipse", { cx, cy, rx: radii[0] * scale, ry: radii[1] * scale, fill: "none", stroke: "var(--soft)",
        transform: `rotate(${-angle} ${cx} ${cy})` }, svg);
    }
    const inside = ([x, y]) => [Math.max(-50, Math.min(690, x)), Math.max(-50, Math.min(470, y))];
    runs.forEach((run, k) => {
      const color = k % 2 ? "var(--b)" : "var(--a)";
      const points = run.path.filter((w) => w.every(Number.isFinite)).map((w) => inside(place(w)));
      play.svg("path", { d: play.path(points), fill: "none", stroke: color, "stroke-width": 1.6, opacity: 0.85 }, svg);
      const [cx, cy] = points.at(-1);
      play.svg("circle", { cx, cy, r: 6, fill: color }, svg);
    });
    const [cx, cy] = place(contours[0].center);
    play.svg("path", { d: `M${cx - 7} ${cy}H${cx + 7}M${cx} ${cy - 7}V${cy + 7}`, stroke: "currentColor", "stroke-width": 2 }, svg);
    const [run] = runs;
    counters.textContent = `${play.count(run.path.length - 1)} ${run.path.length === 2 ? "update" : "updates"} · ${play.count(run.seen.length)} samples seen · ${(run.seen.length / n).toFixed(1)} epochs`;
    step.disabled = go.disabled = over();
  }
  function say() {
    const [run] = runs, updates = run.path.length - 1, now = lost(run.path.at(-1));
    const who = runs.length > 1 ? `Of ${runs.length} runs, ${runs.filter((r) => r.gone).length} flew away.` : "";
    const above = now > lost(begin) ? `, above the ${lost(begin).toFixed(3)} of the start` : "";
    let text;
    if (!updates) text = "The cross is the lowest point. Where will the path go? Choose a batch size and a rate, then run.";
    else if (run.gone) text = `The steps overshot until the path flew away, after ${play.count(updates)} updates. Rate ${rate()} is too large for a batch of ${batchSize()}.`;
    else text = `Batch of ${batchSize()}, rate ${rate()}: after ${play.count(updates)} ${updates === 1 ? "update" : "updates"} and ${play.count(run.seen.length)} samples the loss is ${now < 1000 ? now.toFixed(3) : play.count(Math.round(now))}${above}; the lowest possible is ${data.lowest.toFixed(3)}.`;
    said.textContent = `${text} ${who}`.trim();
    svg.setAttribute("aria-label", `A map of the loss over two weights, with the path of the steps. ${said.textContent}`);
  }
  step.addEventListener("click", () => { pause(); advance(batchSize()); });
  go.addEventListener("click", () => {
    if (timer) { pause(); say(); return; }
    go.textContent = "Pause";
    said.setAttribute("aria-live", "off"); // not to be read out at each step
    timer = setInterval(() => advance(n / 10), 60);
  });
  reset.addEventListener("click", restart);
  form.addEventListener("input", restart);
  form.addEventListener("submit", (event) => event.preventDefault());
  restart();
  play.descent = { runs: () => runs, rate, batchSize, lost };
}
