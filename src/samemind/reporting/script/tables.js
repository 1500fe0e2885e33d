// -- tables that were written by the server side of the report
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const read = (cell) => {
    const text = cell.textContent.trim();
    const plain = text.replace(/,/g, "").replace("−", "-").replace(/[%*<]/g, "");
    return text === "–" ? null : plain !== "" && !isNaN(plain) ? Number(plain) : text;
  };
  heads.forEach((head, column) => {
    const cells = [...table.tBodies[0].rows].map((line) => line.cells[column]);
    if (cells.length && cells.every((cell) => typeof read(cell) !== "string")) [head, ...cells].forEach((cell) => cell.classList.add("number"));
    head.querySelector("button").addEventListener("click", () => {
      const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      const lines = [...table.tBodies[0].rows].sort((a, b) => compare(read(a.cells[column]), read(b.cells[column]), way));
      table.tBodies[0].replaceChildren(...lines);
    });
  });
}
