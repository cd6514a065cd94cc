(section, data) => {
  const svg = section.querySelector("svg"), said = section.querySelector(".said");
  const table = section.querySelector(".table");
  const [next, run, stop, again] = section.querySelectorAll("button");
  let which = 0, epoch = 1, stopped = false, timer = null;
  const curve = () => data[which];
  const percent = (e) => `${curve().test_accuracy[e - 1].toFixed(1)} %`;
  const best = (upTo) => {
    const seen = curve().val_loss.slice(0, upTo);
    return seen.indexOf(Math.min(...seen)) + 1;
  };
  function pause() {
    clearInterval(timer);
    timer = null;
    said.removeAttribute("aria-live");
    run.textContent = "Run";
  }
  function draw() {
    const { val_loss: loss } = curve(), n = loss.length, top = Math.max(...loss);
    const chart = play.chart(svg, {
      x: [1, n], y: [0, top], xLabel: "epochs", yLabel: "validation loss",
      xTicks: [[1, 1], [Math.round(n / 2), Math.round(n / 2)], [n, n]], yTicks: [[0, "0"], [top, top.toFixed(1)]],
    });
    const points = loss.map((v, i) => [chart.x(i + 1), chart.y(v)]);
    if (stopped)
      play.svg("path", { d: play.path(points), fill: "none", stroke: "var(--soft)", "stroke-dasharray": "3 4", "stroke-width": 2 }, svg);
    play.svg("path", { d: play.path(points.slice(0, epoch)), fill: "none", stroke: "var(--a)", "stroke-width": 3 }, svg);
    const [cx, cy] = points[epoch - 1];
    play.svg("circle", { cx, cy, r: 7, fill: "var(--b)" }, svg);
    svg.setAttribute("aria-label", `The validation loss up to epoch ${epoch}: ${loss[epoch - 1].toFixed(2)}.`);
    next.disabled = run.disabled = stop.disabled = stopped;
  }
  function say() {
    if (!stopped) {
      said.textContent = `Epoch ${epoch}: validation loss ${curve().val_loss[epoch - 1].toFixed(2)}, the lowest so far in epoch ${best(epoch)}. Stop here, or go on?`;
      table.replaceChildren();
      return;
    }
    const kept = best(epoch), n = curve().val_loss.length;
    const ended = epoch < n ? `You stopped after epoch ${epoch}` : `You trained all ${n} epochs`;
    said.textContent = `${ended} and keep epoch ${kept}: ${percent(kept)} of new ones right. This was ${curve().name}. See what the rules would have done.`;
    const rows = [["you", epoch, kept], ...curve().rules.map((r) => [r.name, r.ran, r.restored]), ["no rule: the last epoch", n, n]];
    const cell = (row, kind, text) => { const c = document.createElement(kind); c.textContent = text; row.append(c); return c; };
    const made = document.createElement("table");
    const head = document.createElement("tr");
    for (const text of ["", "stops after", "keeps epoch", "new ones right"]) cell(head, "th", text).scope = "col";
    made.append(head);
    for (const [name, ran, restored] of rows) {
      const row = document.createElement("tr");
      cell(row, "th", name).scope = "row";
      for (const text of [ran, restored, percent(restored)]) cell(row, "td", text);
      made.append(row);
    }
    table.replaceChildren(made);
  }
  function advance() {
    if (epoch < curve().val_loss.length) epoch += 1;
    if (epoch === curve().val_loss.length) { halt(); return; }
    draw();
    say();
  }
  function halt() {
    pause();
    stopped = true;
    draw();
    say();
    again.focus();
  }
  next.addEventListener("click", () => { pause(); advance(); });
  run.addEventListener("click", () => {
    if (timer) { pause(); say(); return; }
    said.setAttribute("aria-live", "off"); // not to be read out at each epoch
    timer = setInterval(advance, 350);
    run.textContent = "Pause";
  });
  stop.addEventListener("click", halt);
  again.addEventListener("click", () => {
    pause();
    which = (which + 1) % data.length;
    epoch = 1;
    stopped = false;
    draw();
    say();
    next.focus();
  });
  draw();
  say();
}
