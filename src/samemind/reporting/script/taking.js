// -- taking a chart or a table along: SVG, CSV, LaTeX, Markdown
const TAKEN = new Map();  // id of a chart or table: () => { head, lines } of what it shows
const DRAWN_STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-size", "font-family", "font-weight", "text-anchor"];

function save(text, name, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  node("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}
function drawingOf(chart) {
  // A drawing that needs no style sheet: every part says how it looks.
  const drawn = chart.querySelector("svg"), copy = drawn.cloneNode(true);
  const [, , width, height] = drawn.getAttribute("viewBox").split(" ");
  const parts = [...drawn.querySelectorAll("*")], copies = [...copy.querySelectorAll("*")];
  parts.forEach((part, i) => {
    const style = getComputedStyle(part);
    copies[i].setAttribute("style", DRAWN_STYLES.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    copies[i].removeAttribute("class");
  });
  copy.setAttribute("xmlns", SVG);
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  copy.prepend(svg("rect", { width: "100%", height: "100%", fill: getComputedStyle(document.body).backgroundColor }));
  return new XMLSerializer().serializeToString(copy);
}
const plainText = (held) => held === null || held === undefined ? "" : String(held);
// What a spreadsheet would take for a formula gets an apostrophe, as in the tables of the report.
const harmless = (text) => /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
const quoted = (text) => /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
const asCsv = ({ head, lines }) => [head, ...lines].map((line) => line.map((held) => quoted(harmless(plainText(held).replace(/^−/, "-")))).join(",")).join("\n") + "\n";
const printed = (held) => typeof held === "number" && !Number.isInteger(held) ? number(held) : held === null || held === undefined || held === "" ? "–" : String(held);
function isNumeric(lines, column) {
  return lines.length > 0 && lines.every((line) => /^[−–-]?[\d.,]*[*†%]*$/.test(printed(line[column]).trim()));
}
function asMarkdown({ head, lines }) {
  const cell = (held) => printed(held).replace(/\|/g, "\\|").replace(/\s+/g, " ");
  const rule = head.map((_, column) => isNumeric(lines, column) ? "---:" : "---");
  return [head, rule, ...lines].map((line, i) => `| ${line.map(i === 1 ? String : cell).join(" | ")} |`).join("\n") + "\n";
}
const LATEX = { "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_", "{": "\\{", "}": "\\}", "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}", "†": "\\dag{}", "ε": "$\\varepsilon$", "–": "--", "−": "$-$", "×": "$\\times$", "±": "$\\pm$", "→": "$\\to$", "<": "$<$", ">": "$>$" };
const escapeLatex = (text) => [...text].map((c) => LATEX[c] ?? (c < " " ? " " : c)).join("");
function asLatex({ head, lines }, name, caption) {
  const kind = head.map((_, column) => isNumeric(lines, column) ? "r" : "l").join("");
  const line = (cells) => `  ${cells.map((held) => escapeLatex(printed(held))).join(" & ")} \\\\`;
  return `% needs \\usepackage{booktabs}\n\\begin{table}\n  \\centering\n  \\caption{${escapeLatex(caption)}}\n  \\label{tab:${name}}\n`
    + `  \\begin{tabular}{${kind}}\n  \\toprule\n${line(head)}\n  \\midrule\n${lines.map(line).join("\n")}\n  \\bottomrule\n  \\end{tabular}\n\\end{table}\n`;
}
function takingButtons(name, caption, chart = null) {
  const button = (text, what, act) => node("button", { type: "button", "aria-label": `${what} of ${caption()}`, onclick: (event) => act(event.currentTarget) }, text);
  const held = () => TAKEN.get(name)();
  return node("p", { class: "take" }, [
    ...(chart ? [button("SVG", "SVG", () => save(drawingOf(chart), `${name}.svg`, "image/svg+xml"))] : []),
    button("CSV", "CSV", () => save(asCsv(held()), `${name}.csv`, "text/csv")),
    button("LaTeX", "LaTeX", () => save(asLatex(held(), name, caption()), `${name}.tex`, "text/plain")),
    button("Copy as Markdown", "Markdown", (self) => copied(asMarkdown(held()), self)),
  ]);
}
// The scores behind a chart, under the names that scores.parquet has.
const SCORE_COLUMNS = ["dataset", "inputs_dataset", "inputs", "epsilon", "model_a", "model_b", "measure", "score", "standard_error", "floor", "floor_p95", "normalised", "n_inputs", "row"];
const scoresOf = (rows) => ({ head: SCORE_COLUMNS.map((name) => name === "epsilon" ? DATA.axis.name : name), lines: rows.map((row) => SCORE_COLUMNS.map((name) => row[name])) });
function tableTexts(table) {
  const texts = (cells) => [...cells].map((cell) => (cell.querySelector("[data-plain]") ?? cell).textContent.trim());
  return { head: texts(table.tHead.rows[0].cells), lines: [...table.tBodies[0].rows].map((line) => texts(line.cells).map((text) => text === "–" ? "" : text)) };
}
function addTaking() {
  for (const chart of document.querySelectorAll(".charts .chart")) {
    const figure = chart.closest("figure");
    figure.append(takingButtons(chart.id, () => `${chart.querySelector("svg")?.getAttribute("aria-label") ?? chart.id}`, chart));
  }
  for (const table of document.querySelectorAll("table.sortable[data-name]")) {
    const name = table.dataset.name.replace(/[^\w.-]+/g, "-");
    TAKEN.set(name, () => tableTexts(table));
    table.closest(".scroll").after(takingButtons(name, () => table.dataset.title));
  }
  $("more").after(takingButtons("pairs", () => `${label(state.measure)} of the pairs`));
}
