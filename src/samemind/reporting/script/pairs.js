const PRINTED_ROWS = 40;  // of a table on paper, as the style sheet cuts it
// -- the table of pairs
const COLUMNS = [["measure", "Measure"], ["epsilon", DATA.axis.text], ["inputs", "Inputs"], ["model_a", "Model A"], ["model_b", "Model B"], ["score", "Score"], ["standard_error", "± SE"], ["floor", "Floor"], ["normalised", "Floor → ceiling"], ["row", "Row"]];
// Of one pair every measure is shown; what is the same in all rows is left out.
const columns = () => COLUMNS.filter(([name]) => name === "measure" ? single : !["epsilon", "inputs"].includes(name) || distinct(ROWS.map((row) => row[name])).length > 1);
function drawPairs(rows) {
  const [by, way] = state.sort;
  const sorted = [...rows].sort((a, b) => compare(a[by], b[by], way));
  const shown = columns(), head = node("tr", {}, shown.map(([name, text]) => node("th", { scope: "col", "aria-sort": name === by ? (way > 0 ? "ascending" : "descending") : "none" },
    node("button", { type: "button", onclick: () => { state.sort = [name, name === by ? -way : 1]; drawPairs(filtered()); } }, text))));
  const body = sorted.slice(0, state.shown).map((row) => node("tr", { class: "open", "data-row": row.row, onclick: () => openPair(row) },
    shown.map(([name]) => {
      const held = name === "measure" ? label(row.measure) : row[name];
      if (name === "model_a") return node("td", {}, node("button", { type: "button", title: "Open this pair" }, held));
      if (name === "measure") return node("td", {}, [node("span", { "data-plain": "" }, held), " ", ...questionMark(row.measure)]);
      const isNumber = typeof held === "number" || held === null;
      const text = name === "epsilon" || name === "row" ? String(held) : isNumber ? number(held) : held;
      return node("td", isNumber ? { class: "number" } : {}, text);
    })));
  TAKEN.set("pairs", () => scoresOf(sorted));
  $("pairs-note").textContent = rows.length > PRINTED_ROWS ? `The first ${PRINTED_ROWS} of ${rows.length} rows; scores.parquet and tables/pairs.csv have all.` : "";
  $("pairs").tHead.replaceChildren(head);
  $("pairs").tBodies[0].replaceChildren(...body);
  $("more").hidden = rows.length <= state.shown;
}
function compare(a, b, way) {
  // What is undefined comes last, whichever way the table is sorted.
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  return (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true })) * way;
}
