(section) => {
  // TrainingPlan of the package, in JavaScript: a test compares the two.
  function plan(n, batch, epochs, split = 0, drop = false, accumulate = 1) {
    for (const [name, v] of [["samples", n], ["batch size", batch], ["epochs", epochs], ["accumulation", accumulate]])
      if (!Number.isSafeInteger(v) || v < 1) return { error: `The ${name} must be a whole number of at least 1.` };
    if (!(split >= 0 && split < 1)) return { error: "The validation split must be from 0 to below 1." };
    const train = split === 0 ? n : Math.floor(n * (1 - split));
    if (split > 0 && !(train > 0 && train < n)) return { error: "The split must leave samples on both sides." };
    if (drop && batch > train) return { error: "No batch is left: the batch size is larger than the training data." };
    const steps = drop ? Math.floor(train / batch) : Math.ceil(train / batch);
    const dropped = drop ? train % batch : 0;
    return {
      "training samples": train,
      "validation samples": n - train,
      "steps per epoch": steps,
      "last batch size": train - dropped - (steps - 1) * batch,
      "dropped per epoch": dropped,
      "validation steps": Math.ceil((n - train) / batch),
      "steps in all": steps * epochs,
      "updates in all": Math.floor((steps * epochs) / accumulate),
      "training samples seen": (train - dropped) * epochs,
    };
  }
  const form = section.querySelector("form"), said = section.querySelector(".said");
  const table = section.querySelector(".table");
  function draw() {
    const number = (name) => form.elements[name].value === "" ? NaN : Number(form.elements[name].value);
    const found = plan(number("n"), number("batch"), number("epochs"), number("split"), form.elements.drop.checked, number("accumulate"));
    if (found.error) {
      said.textContent = found.error;
      table.replaceChildren();
      return;
    }
    said.textContent = `Your run makes ${play.count(found["updates in all"])} updates: ${play.count(found["steps per epoch"])} steps in each epoch, the last with ${play.count(found["last batch size"])} samples.`;
    const made = document.createElement("table");
    for (const [name, v] of Object.entries(found)) {
      if (!v && name !== "updates in all") continue;
      const row = made.insertRow(), head = document.createElement("th");
      head.textContent = name;
      head.scope = "row";
      row.append(head);
      row.insertCell().textContent = play.count(v);
    }
    table.replaceChildren(made);
  }
  form.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  draw();
  play.plan = plan;
}
