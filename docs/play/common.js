// What the five share. Each is a function of its section and its data.
window.play = window.play || {
  svg(tag, attributes, parent) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (parent) parent.append(node);
    return node;
  },
  // A chart of 640 x 300 with its axes; x and y turn values into places.
  chart(svg, { x: [x0, x1], y: [y0, y1], xLabel, yLabel, xTicks, yTicks }) {
    const left = 74, right = 620, top = 14, bottom = 246;
    const x = (v) => left + ((v - x0) / (x1 - x0)) * (right - left);
    const y = (v) => bottom - ((v - y0) / (y1 - y0)) * (bottom - top);
    svg.replaceChildren();
    const line = (x1, y1, x2, y2) =>
      play.svg("line", { x1, y1, x2, y2, stroke: "var(--soft)", "stroke-width": 1 }, svg);
    line(left, bottom, right, bottom);
    line(left, top, left, bottom);
    const write = (text, at) => { play.svg("text", at, svg).textContent = text; };
    for (const [v, text] of xTicks) write(text, { x: x(v), y: bottom + 20, "text-anchor": "middle" });
    for (const [v, text] of yTicks) write(text, { x: left - 8, y: y(v) + 5, "text-anchor": "end" });
    write(xLabel, { x: (left + right) / 2, y: 288, "text-anchor": "middle" });
    write(yLabel, { x: 18, y: (top + bottom) / 2, "text-anchor": "middle",
      transform: `rotate(-90 18 ${(top + bottom) / 2})` });
    return { x, y, top, bottom, left, right };
  },
  path(points) {
    return points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  },
  count: (n) => n.toLocaleString("en-US"),
  chosen: (form, name) => form.elements[name].value,
  // Radio buttons for [value, text] pairs, the first one chosen unless another is. Who is on one
  // of them with the keyboard stays there.
  radios(fieldset, name, pairs, chosen) {
    const focused = fieldset.contains(document.activeElement);
    for (const label of fieldset.querySelectorAll("label")) label.remove();
    for (const [value, text] of pairs) {
      const label = document.createElement("label"), input = document.createElement("input");
      Object.assign(input, { type: "radio", name, value, checked: String(value) === String(chosen) });
      label.append(input, text);
      fieldset.append(label);
    }
    const first = fieldset.querySelector("input:checked") || fieldset.querySelector("input");
    first.checked = true;
    if (focused) first.focus();
  },
};
