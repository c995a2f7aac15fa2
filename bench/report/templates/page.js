"use strict";
// A click on a column header sorts the table: numbers from the large to the small at first, names from A to Z; again, reversed.
for (const button of document.querySelectorAll(".sortable thead button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = head.closest("table");
    const column = [...head.parentNode.children].indexOf(head);
    const key = (row) => (column ? row.children[column].dataset.key : row.children[0].textContent);
    const first = column ? "descending" : "ascending";
    const second = column ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    for (const other of head.parentNode.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (!column) return sign * x.localeCompare(y);
      if (x === "" || y === "") return (x === "") - (y === ""); // what has no number stands last
      return sign * (Number(x) - Number(y));
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  });
}

const algorithm = document.getElementById("algorithm");
const dataset = document.getElementById("dataset");
function filter() {
  const words = algorithm.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
  let shown = 0;
  for (const part of document.querySelectorAll(".part")) {
    part.hidden = dataset.value !== "" && part.dataset.dataset !== dataset.value;
    for (const row of part.querySelectorAll("tr[data-algorithm]")) {
      const name = row.dataset.algorithm.toLowerCase();
      row.hidden = words.length > 0 && !words.some((word) => name.includes(word));
      shown += !row.hidden && !part.hidden;
    }
  }
  const narrowed = words.length > 0 || dataset.value !== "";
  document.getElementById("shown").textContent = narrowed ? `${shown} rows shown` : "";
}
if (algorithm) {
  algorithm.addEventListener("input", filter);
  dataset.addEventListener("change", filter);
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
}

// Tables that are wider than the screen say so.
function hint() {
  for (const part of document.querySelectorAll(".scroll")) {
    const inner = part.querySelector(".scrolled");
    part.querySelector(".hint").hidden = inner.scrollWidth <= inner.clientWidth + 1;
  }
}
hint();
window.addEventListener("resize", hint);
for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", hint);
