(section, data) => {
  const form = section.querySelector("form"), svg = section.querySelector("svg");
  const said = section.querySelector(".said"), shown = section.querySelector("output");
  play.radios(section.querySelector("fieldset"), "curve", data.map(({ name }, i) => [i, name]), 0);
  function draw() {
    const curve = data[play.chosen(form, "curve")], n = curve.val_loss.length;
    const slider = form.elements.patience;
    slider.max = curve.patience.length;
    const patience = Number(slider.value), report = curve.patience[patience - 1];
    shown.textContent = `${patience} ${patience === 1 ? "epoch" : "epochs"}`;
    const top = Math.max(...curve.val_loss);
    const ticks = [1, ...[0.25, 0.5, 0.75, 1].map((part) => Math.round(part * n))];
    const chart = play.chart(svg, {
      x: [1, n], y: [0, top], xLabel: "epochs", yLabel: "validation loss",
      xTicks: ticks.map((t) => [t, t]), yTicks: [[0, "0"], [top, top.toFixed(1)]],
    });
    const points = curve.val_loss.map((v, i) => [chart.x(i + 1), chart.y(v)]);
    const ran = report.ran;
    play.svg("path", { d: play.path(points.slice(ran - 1)), fill: "none", stroke: "var(--soft)", "stroke-dasharray": "3 4", "stroke-width": 2 }, svg);
    play.svg("path", { d: play.path(points.slice(0, ran)), fill: "none", stroke: "var(--a)", "stroke-width": 3 }, svg);
    const mark = (epoch, text, color, dy) => {
      const [cx, cy] = points[epoch - 1];
      play.svg("circle", { cx, cy, r: 7, fill: color }, svg);
      const end = cx > 480 ? "end" : cx < 160 ? "start" : "middle";
      play.svg("text", { x: cx, y: Math.max(cy + dy, chart.top + 10), "text-anchor": end }, svg).textContent = text;
    };
    mark(report.restored, `restores ${report.restored}`, "var(--a)", 26);
    mark(ran, report.stopped ? `stops after ${ran}` : "never stops", "var(--b)", -14);
    const percent = (epoch) => `${curve.test_accuracy[epoch - 1].toFixed(1)} %`;
    const text = (report.stopped
      ? `Patience ${patience} stops after epoch ${ran} and restores epoch ${report.restored}: ${percent(report.restored)} of new ones right.`
      : `Patience ${patience} never stops these ${n} epochs and restores epoch ${report.restored}: ${percent(report.restored)} of new ones right.`)
      + ` The weights of epoch ${n} have ${percent(n)}.`;
    said.textContent = text;
    svg.setAttribute("aria-label", `The validation loss by epoch. ${text}`);
    slider.setAttribute("aria-valuetext", shown.textContent);
  }
  form.addEventListener("input", draw);
  draw();
}
