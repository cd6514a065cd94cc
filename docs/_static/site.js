// Copy buttons, names of columns for narrow screens, and the filter of the verdicts.
document.addEventListener("DOMContentLoaded", () => {
  for (const block of document.querySelectorAll("div.highlight")) {
    const button = document.createElement("button");
    button.className = "copy";
    button.textContent = "Copy";
    button.onclick = async () => {
      await copy(block.querySelector("pre").textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 2000);
    };
    block.append(button);
  }

  for (const table of document.querySelectorAll("article table:not(.dataframe)")) {
    const names = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    table.classList.toggle("wide", names.length > 2);
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.children].forEach((cell, i) => {
        if (names[i] && i > 0) cell.dataset.label = names[i];
      });
    }
  }

  const count = document.querySelector(".verdict-count");
  for (const choice of document.querySelectorAll(".verdict-filter input")) {
    choice.onchange = () => {
      const world = choice.value;
      const cards = [...document.querySelectorAll(".verdict-card")];
      for (const card of cards) {
        card.hidden = world && !card.classList.contains(`in-${world}`);
        for (const line of card.querySelectorAll("dl > *")) {
          line.hidden = world && !line.classList.contains(`of-${world}`);
        }
      }
      const shown = cards.filter((card) => !card.hidden).length;
      count.textContent = `${shown} of ${cards.length} sentences`;
    };
  }
});

// From a folder, a page may have no clipboard; there the old way works.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
