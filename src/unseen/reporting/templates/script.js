"use strict";
document.documentElement.classList.remove("no-script");

// Numbers are closed at first where the charts stand one below the other.
if (!window.matchMedia("(min-width: 56rem)").matches) {
  for (const numbers of document.querySelectorAll(".chart-card details")) numbers.open = false;
}

// Tables: a click on a head sorts by it, another one the other way round.
const value = (row, at) => {
  const cell = row.cells[at];
  const text = cell.dataset.value ?? cell.textContent.trim();
  const number = Number(text.replaceAll(",", "").replace(/\s*%$/, ""));
  return text === "" ? null : Number.isNaN(number) ? text : number;
};
const compare = (a, b) => {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
};
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    head.querySelector("button").addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const known = (row) => value(row, at) !== null;
      const rows = [...table.tBodies[0].rows];
      const sorted = rows.filter(known).sort((a, b) => compare(value(a, at), value(b, at)) * (up ? 1 : -1));
      table.tBodies[0].append(...sorted, ...rows.filter((row) => !known(row)));
    });
  });
}

// Galleries: by kind, by class, by fate.
const choices = document.querySelectorAll(".filters select");
const filter = () => {
  const chosen = Object.fromEntries([...choices].map((choice) => [choice.name, choice.value]));
  let shown = 0;
  for (const wall of document.querySelectorAll(".wall")) {
    let left = 0;
    for (const card of wall.querySelectorAll(".card")) {
      card.hidden =
        (chosen.label && card.dataset.label !== chosen.label) || (chosen.fate && card.dataset.fate !== chosen.fate);
      left += card.hidden ? 0 : 1;
    }
    wall.hidden = left === 0 || (chosen.kind !== "" && wall.dataset.kind !== chosen.kind);
    shown += wall.hidden ? 0 : left;
  }
  const count = document.querySelector(".filters output");
  if (count) count.textContent = shown === 1 ? "1 sample" : `${shown.toLocaleString("en")} samples`;
};
for (const choice of choices) choice.addEventListener("change", filter);
filter();

// Snippets: copied where the browser allows it, else selected.
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(code);
      const selection = window.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
