// -- what a measure sees, behind a question mark
const NAMES = new Map(Object.entries(DATA.labels).map(([name, text]) => [text, name]));
function meaning(name) {
  const { sees, cannot_see } = DATA.measures[name] ?? {};
  if (!sees) return null;
  return `${label(name)} (${name}) sees: ${sees}.` + (cannot_see ? ` It does not see: ${cannot_see}.` : "");
}
function questionMark(name) {
  const text = meaning(name);
  if (!text) return [];
  const show = (event) => { const box = event.currentTarget.getBoundingClientRect(); tip(text, box.left, box.bottom); };
  return [node("button", { type: "button", class: "what", "aria-label": text, onpointerenter: show, onfocus: show, onpointerleave: untip, onblur: untip,
    onclick: (event) => { event.stopPropagation(); show(event); } }, "?")];
}
function explainTables() {
  for (const table of document.querySelectorAll("table.sortable[data-name]")) {
    const at = [...table.tHead.rows[0].cells].findIndex((head) => head.textContent.trim().toLowerCase() === "measure");
    if (at < 0) continue;
    const told = new Set();  // the first row of each measure is enough
    for (const line of table.tBodies[0].rows) {
      const cell = line.cells[at], text = cell.textContent.trim();
      if (!NAMES.has(text) || told.has(text)) continue;
      told.add(text);
      cell.replaceChildren(node("span", { "data-plain": "" }, text), ...questionMark(NAMES.get(text)));
    }
  }
}
function explainMeasure() {
  const text = meaning(state.measure);
  $("sees").hidden = !text;
  $("sees").textContent = text ?? "";
}
