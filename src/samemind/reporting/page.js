"use strict";
// Text from outside only ever becomes a text node or an attribute value, never markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function node(tag, attributes = {}, children = []) {
  const made = document.createElement(tag);
  return dress(made, attributes, children);
}
function svg(tag, attributes = {}, children = []) {
  const made = document.createElementNS(SVG, tag);
  return dress(made, attributes, children);
}
function dress(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  for (const child of [].concat(children)) made.append(child);
  return made;
}

// -- the table of scores: columns of numbers, and lists that some of them point into
const ROWS = DATA.scores.score.map((score, i) => {
  const row = { row: i, score };
  for (const [name, values] of Object.entries(DATA.scores)) {
    if (name !== "score") row[name] = DATA.lists[name] ? DATA.lists[name][values[i]] : values[i];
  }
  return row;
});
const placeOf = (row) => row.dataset === row.inputs_dataset ? row.dataset : `${row.dataset} on ${row.inputs_dataset}`;
const distinct = (values) => [...new Set(values)];
const label = (measure) => DATA.labels[measure] || measure;
const number = (value, digits = 3) =>
  value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
const cellKey = (row) => [row.dataset, row.inputs_dataset, row.inputs, row.measure, row.epsilon].join("|");
const isAcross = (row) => row.architecture_a !== row.architecture_b;

// One pair on one kind of input: its scores are a table, and nothing can be filtered or drawn.
const single = distinct(ROWS.map((row) => [placeOf(row), row.epsilon, row.inputs, row.model_a, row.model_b].join("|"))).length === 1;
const state = { place: "", measure: "", inputs: "", scale: "score", epsilons: new Set(), architectures: new Set(), shown: 100, sort: ["score", 1] };

function options(select, values, text = (value) => value) {
  select.replaceChildren(...values.map((value) => node("option", { value }, text(value))));
}
function chips(box, values, chosen, text = (value) => value) {
  values.forEach((value) => chosen.add(value));
  box.replaceChildren(...values.map((value) => node("label", {}, [
    node("input", { type: "checkbox", checked: "", value, onchange: (event) => {
      if (event.target.checked) chosen.add(value); else chosen.delete(value);
      render();
    } }), text(String(value))])));
}

function filtered() {
  return single ? ROWS : ROWS.filter((row) => placeOf(row) === state.place && row.measure === state.measure
    && (!state.inputs || row.inputs === state.inputs) && state.epsilons.has(row.epsilon)
    && state.architectures.has(row.architecture_a) && state.architectures.has(row.architecture_b));
}
const value = (row) => row[state.scale];

// -- scales and axes
function ticks(low, high, count = 5) {
  const step = 10 ** Math.floor(Math.log10((high - low) / count || 1));
  const wide = [1, 2, 5, 10].map((m) => m * step).find((s) => (high - low) / s <= count) || step;
  const found = [];
  for (let t = Math.ceil(low / wide) * wide; t <= high + 1e-9; t += wide) found.push(Math.round(t * 1e9) / 1e9);
  return found;
}
function extent(values) {
  const finite = values.filter((v) => v !== null && v !== undefined);
  if (!finite.length) return [0, 1];
  const low = Math.min(...finite), high = Math.max(...finite), pad = (high - low || 0.1) * 0.06;
  return [low - pad, high + pad];
}
function quantile(sorted, share) {
  const at = (sorted.length - 1) * share, low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
}
function frame(box, height, text) {
  const width = Math.max(280, Math.round(box.clientWidth || 600));
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": text, tabindex: 0 });
  return { drawing, width, height };
}
function yAxis(drawing, y, low, high, left, right) {
  for (const t of ticks(low, high)) {
    drawing.append(svg("line", { class: "grid", x1: left, x2: right, y1: y(t), y2: y(t) }),
      svg("text", { class: "soft", x: left - 6, y: y(t) + 4, "text-anchor": "end" }, String(t).replace("-", "−")));
  }
}
function points(drawing, marks) {
  // One stop for the Tab key; the arrow keys go from point to point, Enter opens the pair.
  let at = -1;
  const go = (next) => {
    if (!marks.length) return;
    marks[at]?.mark.classList.remove("on");
    at = (next + marks.length) % marks.length;
    marks[at].mark.classList.add("on");
    const box = marks[at].mark.getBoundingClientRect();
    tip(marks[at].text ?? describe(marks[at].row), box.right, box.top);
  };
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowDown") { go(at + 1); event.preventDefault(); }
    if (event.key === "ArrowLeft" || event.key === "ArrowUp") { go(at - 1); event.preventDefault(); }
    // Without this the same key press would close the dialog that it opens.
    if (event.key === "Enter" && at >= 0 && marks[at].row) { event.preventDefault(); openPair(marks[at].row); }
    if (event.key === "Escape") untip();
  });
  drawing.addEventListener("blur", () => { marks[at]?.mark.classList.remove("on"); untip(); });
  for (const { mark, row, text } of marks) {
    mark.addEventListener("pointerenter", (event) => tip(text ?? describe(row), event.clientX, event.clientY));
    mark.addEventListener("pointerleave", untip);
    if (row) mark.addEventListener("click", () => openPair(row));
  }
}
function describe(row) {
  return `${row.model_a} and ${row.model_b}\n${label(row.measure)}: ${number(row.score)}`
    + (row.standard_error !== null ? ` ± ${number(row.standard_error)}` : "")
    + `, ${row.inputs} inputs` + (row.floor !== null ? `\nfloor ${number(row.floor)}` : "");
}
function tip(text, x, y) {
  const box = $("tip");
  box.textContent = text;
  box.hidden = false;
  const size = box.getBoundingClientRect();
  box.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - size.width - 6))}px`;
  box.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - size.height - 6))}px`;
}
function untip() { $("tip").hidden = true; }

const KINDS = ["natural", "inverted", "adversarial"];

// -- box plots by ε
function drawBoxes(rows) {
  const box = $("boxes");
  const shown = rows.filter((row) => value(row) !== null && (isAcross(row) || !rows.some(isAcross)));
  const kinds = KINDS.filter((kind) => shown.some((row) => row.inputs === kind));
  const levels = distinct(shown.map((row) => row.epsilon)).sort((a, b) => a - b);
  const { drawing, width, height } = frame(box, 340,
    `Box plots of ${label(state.measure)}${levels.length > 1 ? ` by ${DATA.axis.text}` : ""}: ${shown.length} pairs. The table below has the same numbers.`);
  const cells = distinct(shown.map(cellKey)).map((key) => DATA.cells[key]).filter(Boolean);
  const isScore = state.scale === "score";
  const lines = isScore ? cells.flatMap((cell) => [cell.floor, cell.is_ceiling_measured ? cell.ceiling : null]) : [0, 1];
  const [low, high] = extent(shown.map(value).concat(lines));
  const left = 46, right = width - 8, top = 10, bottom = height - 44;
  const y = (v) => bottom - (v - low) / (high - low) * (bottom - top);
  yAxis(drawing, y, low, high, left, right);
  const marks = [], band = (right - left) / Math.max(1, levels.length), slot = band * 0.84 / Math.max(1, kinds.length);
  levels.forEach((level, i) => {
    if (!DATA.is_comparison) drawing.append(svg("text", { x: left + band * (i + 0.5), y: bottom + 18, "text-anchor": "middle" }, `${DATA.axis.symbol} = ${level}`));
    kinds.forEach((kind, k) => {
      const part = shown.filter((row) => row.epsilon === level && row.inputs === kind);
      if (!part.length) return;
      const centre = left + band * (i + 0.08) + slot * (k + 0.5), half = Math.min(slot * 0.42, 60);
      const group = svg("g", { class: kind });
      const sorted = part.map(value).sort((a, b) => a - b);
      const [q1, q2, q3] = [0.25, 0.5, 0.75].map((share) => quantile(sorted, share));
      const reach = 1.5 * (q3 - q1);
      const lowest = sorted.find((v) => v >= q1 - reach), highest = sorted.findLast((v) => v <= q3 + reach);
      const line = (x1, y1, x2, y2, name) => group.append(svg("line", { class: name, x1, y1, x2, y2 }));
      line(centre, y(lowest), centre, y(q1), "whisker");
      line(centre, y(q3), centre, y(highest), "whisker");
      group.append(svg("rect", { class: "box", x: centre - half, width: 2 * half, y: y(q3), height: Math.max(1, y(q1) - y(q3)) }));
      line(centre - half, y(q2), centre + half, y(q2), "median");
      const cell = DATA.cells[cellKey(part[0])];
      if (cell) {
        const floor = isScore ? cell.floor : 0, ceiling = isScore ? cell.ceiling : 1;
        if (floor !== null) line(centre - half * 1.1, y(floor), centre + half * 1.1, y(floor), "floor");
        if (cell.is_ceiling_measured || !isScore) line(centre - half * 1.1, y(ceiling), centre + half * 1.1, y(ceiling), "ceiling");
      }
      part.forEach((row, j) => {
        const mark = svg("circle", { class: "point", r: part.length > 300 ? 2 : 3.6, cx: centre + (((j * 0.618034) % 1) - 0.5) * half * 1.5, cy: y(value(row)), "data-row": row.row });
        group.append(mark);
        marks.push({ mark, row });
      });
      drawing.append(group);
    });
  });
  drawing.append(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  points(drawing, marks);
  const key = node("p", { class: "key" }, kinds.map((kind) => node("span", { class: kind }, [node("i"), `${kind} inputs`])));
  if (cells.some((cell) => cell.floor !== null)) key.append(node("span", {}, [node("i", { class: "line" }), "floor (permuted rows)"]));
  if (cells.some((cell) => cell.is_ceiling_measured)) key.append(node("span", {}, [node("i", { class: "line top" }), "ceiling (other random seed)"]));
  else if (!isScore) key.append(node("span", {}, [node("i", { class: "line top" }), "identical models"]));
  box.replaceChildren(drawing, key);
  $("boxes-title").textContent = label(state.measure) + (levels.length > 1 ? ` by ${DATA.axis.text}` : " of every pair");
}

// -- heat map of one ε
const STOPS = [[0, 34, 78], [66, 78, 108], [124, 123, 120], [188, 174, 108], [253, 231, 55]];
function colour(share) {
  const at = Math.max(0, Math.min(1, share)) * (STOPS.length - 1), low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((v, i) => Math.round(v + (STOPS[low + 1][i] - v) * (at - low)));
}
function halved(name, longest) {
  // A long name in two lines, at the underscore or hyphen next to its middle.
  if (name.length <= longest) return [name];
  const places = [...name.matchAll(/[_-]/g)].map((match) => match.index + 1);
  if (!places.length) return [name];
  const at = places.reduce((a, b) => Math.abs(b - name.length / 2) < Math.abs(a - name.length / 2) ? b : a);
  return [name.slice(0, at), name.slice(at)];
}
const atLevel = (level) => DATA.is_comparison ? "" : ` at ${DATA.axis.symbol} = ${level}`;
const kindOf = (rows) => state.inputs || KINDS.find((kind) => rows.some((row) => row.inputs === kind)) || KINDS[0];
function drawHeat(rows) {
  const box = $("heat"), level = Number($("heat-epsilon").value);
  const kind = kindOf(rows);
  const part = rows.filter((row) => row.epsilon === level && row.inputs === kind && value(row) !== null);
  const name = (row, side) => DATA.has_seeds ? `${row["architecture_" + side]} #${row["random_seed_" + side]}` : row["architecture_" + side];
  const present = new Set(part.flatMap((row) => [name(row, "a"), name(row, "b")]));
  const order = (DATA.orders[`${state.place}|${state.measure}`] || []).filter((n) => present.has(n));
  for (const n of present) if (!order.includes(n)) order.push(n);
  const width = Math.max(280, Math.round(box.clientWidth || 420));
  const lines = order.map((n) => halved(n, 20));
  const side = 18 + 6.3 * Math.max(0, ...lines.flat().map((line) => line.length));
  const size = (width - side - 6) / Math.max(1, order.length), height = side + size * order.length + 8;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0,
    "aria-label": `Heat map of ${label(state.measure)} for every pair${atLevel(level)}, ${kind} inputs.` });
  const [low, high] = [Math.min(0, ...part.map(value)), Math.max(1, ...part.map(value))];
  order.forEach((n, i) => {
    const middle = (i + 0.5) * size;
    lines[i].forEach((line, j) => {
      const shift = 4 + 12.5 * (j - (lines[i].length - 1) / 2);
      drawing.append(svg("text", { class: "name", x: side - 5, y: side + middle + shift, "text-anchor": "end" }, line),
        svg("text", { class: "name", transform: `translate(${side + middle + shift} ${side - 5}) rotate(-90)` }, line));
    });
  });
  const marks = [];
  const place = (row, column, line) => {
    const [r, g, b] = colour((value(row) - low) / (high - low));
    const mark = svg("rect", { class: "cell", x: side + order.indexOf(column) * size, y: side + order.indexOf(line) * size, width: size - 1, height: size - 1, fill: `rgb(${r},${g},${b})`, "data-row": row.row });
    drawing.append(mark);
    marks.push({ mark, row });
    if (size >= 30) {
      const ink = 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff";
      drawing.append(svg("text", { x: side + (order.indexOf(column) + 0.5) * size, y: side + (order.indexOf(line) + 0.5) * size + 4, "text-anchor": "middle", style: `fill:${ink};pointer-events:none;font-size:11px` }, number(value(row), 2)));
    }
  };
  for (const row of part) {
    place(row, name(row, "a"), name(row, "b"));
    if (kind === "natural") place(row, name(row, "b"), name(row, "a"));
  }
  points(drawing, marks);
  const note = kind === "natural" ? "Natural inputs." : `${kind === "inverted" ? "Inverted" : "Adversarial"} inputs; the column is the model whose ${kind} images both saw.`;
  box.replaceChildren(drawing, node("p", { class: "hint" }, `${note} Dark is ${number(low, 1)}, bright is ${number(high, 1)}.`));
}

// -- a map of the models of one ε: near means alike
function drawMap(rows) {
  const box = $("map"), level = Number($("heat-epsilon").value), kind = kindOf(rows);
  const cell = rows.find((row) => row.epsilon === level && row.inputs === kind);
  const map = cell && DATA.maps[cellKey(cell)];
  if (!map) return box.replaceChildren(node("p", { class: "hint" }, `Fewer than three models${atLevel(level)} on ${kind} inputs.`));
  const { drawing, width, height } = frame(box, 380, `Map of ${map.models.length} models${atLevel(level)} by ${label(state.measure)}, ${kind} inputs.`);
  // One scale for every ε, so that maps can be compared.
  const reach = 1.12 * Math.max(1e-3, ...Object.entries(DATA.maps).filter(([key]) => key.startsWith(cellKey({ ...cell, epsilon: "" }))).flatMap(([, m]) => [...m.x, ...m.y].map(Math.abs)));
  const unit = Math.min(width, height) / 2 / reach, x = (v) => width / 2 + v * unit, y = (v) => height / 2 - v * unit;
  drawing.append(svg("line", { class: "grid", x1: 0, x2: width, y1: y(0), y2: y(0) }), svg("line", { class: "grid", x1: x(0), x2: x(0), y1: 0, y2: height }));
  const names = distinct(DATA.models.map((m) => m.architecture)), marks = [], shown = new Set();
  map.models.forEach((name, i) => {
    const model = DATA.models.find((m) => m.model === name && m.dataset === cell.dataset);
    if (!model || !state.architectures.has(model.architecture)) return;
    const mark = svg("g", { class: `spot ${kind}`, "data-model": name, transform: `translate(${x(map.x[i])} ${y(map.y[i])})` },
      [svg("circle", { class: "box", r: 10 }), svg("text", { "text-anchor": "middle", y: 4 }, String(names.indexOf(model.architecture) + 1))]);
    drawing.append(mark);
    shown.add(model.architecture);
    marks.push({ mark, text: `${name}\nclean accuracy ${fact("clean_accuracy", model.clean_accuracy)}\nadversarial accuracy ${fact("adversarial_accuracy", model.adversarial_accuracy)}` });
  });
  points(drawing, marks);
  box.replaceChildren(drawing,
    node("p", { class: "key" }, names.filter((name) => shown.has(name)).map((name) => node("span", {}, `${names.indexOf(name) + 1} ${name}`))),
    node("p", { class: "hint" }, `${DATA.is_comparison ? "" : `${DATA.axis.symbol} = ${level}, ${kind} inputs. `}Distances come near 1 − similarity; the plane keeps ${Math.round(100 * map.kept)} % of them.`));
}

// -- one measure against another
function drawScatter(rows) {
  const box = $("scatter"), other = $("other").value;
  const key = (row) => [row.epsilon, row.inputs, row.model_a, row.model_b].join("|");
  const partner = new Map(ROWS.filter((row) => row.measure === other && placeOf(row) === state.place).map((row) => [key(row), row]));
  const found = rows.map((row) => [row, partner.get(key(row))]).filter(([row, match]) => match && value(row) !== null && value(match) !== null);
  const { drawing, width, height } = frame(box, 380, `${label(state.measure)} against ${label(other)}: ${found.length} pairs.`);
  const [x0, x1] = extent(found.map(([row]) => value(row))), [y0, y1] = extent(found.map(([, match]) => value(match)));
  const left = 46, right = width - 8, top = 10, bottom = height - 44;
  const x = (v) => left + (v - x0) / (x1 - x0) * (right - left), y = (v) => bottom - (v - y0) / (y1 - y0) * (bottom - top);
  yAxis(drawing, y, y0, y1, left, right);
  for (const t of ticks(x0, x1)) drawing.append(svg("text", { class: "soft", x: x(t), y: bottom + 17, "text-anchor": "middle" }, String(t).replace("-", "−")));
  drawing.append(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
    svg("text", { x: right, y: height - 8, "text-anchor": "end" }, `${label(state.measure)} →`),
    svg("text", { x: left + 6, y: top + 10 }, `↑ ${label(other)}`));
  const marks = found.map(([row, match]) => {
    const mark = svg("circle", { class: `point ${row.inputs}`, r: 3.6, cx: x(value(row)), cy: y(value(match)), "data-row": row.row });
    drawing.append(mark);
    return { mark, row };
  });
  points(drawing, marks);
  box.replaceChildren(drawing);
}

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
      const isNumber = typeof held === "number" || held === null;
      const text = name === "epsilon" || name === "row" ? String(held) : isNumber ? number(held) : held;
      return node("td", isNumber ? { class: "number" } : {}, text);
    })));
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

// -- a pair
// Images lie as tiles on sheets; an <svg> shows one tile of its sheet.
function picture(tile, text) {
  if (tile === null || tile === undefined) return [];
  const { columns, tiles, sheets } = DATA.images, sheet = sheets[Math.floor(tile / tiles)], at = tile % tiles;
  const x = at % columns * sheet.side, y = Math.floor(at / columns) * sheet.side;
  return [svg("svg", { class: "tile", viewBox: `${x} ${y} ${sheet.filled} ${sheet.filled}`, role: "img", "aria-label": text },
    svg("image", { href: sheet.address, width: columns * sheet.side, height: sheet.lines * sheet.side }))];
}
const DRIVING = new Map();  // row of scores: places of the inputs that contribute least and most
let from = 0;
for (const [row, ...counts] of DATA.driving.rows) {
  DRIVING.set(row, counts.map((count) => Array.from({ length: count }, () => from++)));
}
function driversOf(row) {
  // The measure that was asked for, or else the first of the same pair that has contributions.
  if (DRIVING.has(row.row)) return row;
  return ROWS.find((r) => DRIVING.has(r.row) && r.dataset === row.dataset && r.epsilon === row.epsilon && r.inputs === row.inputs
    && r.inputs_dataset === row.inputs_dataset && r.model_a === row.model_a && r.model_b === row.model_b);
}
function openPair(row) {
  untip();
  const same = ROWS.filter((r) => r.dataset === row.dataset && r.epsilon === row.epsilon
    && ((r.model_a === row.model_a && r.model_b === row.model_b) || (r.model_a === row.model_b && r.model_b === row.model_a)));
  $("pair-title").textContent = `${row.model_a} and ${row.model_b}`;
  const body = $("pair-body");
  body.replaceChildren(modelTable(row), node("h3", {}, "All scores of this pair"), scoreTable(same));
  const driven = driversOf(row);
  if (driven) {
    const ends = DRIVING.get(driven.row);
    body.append(node("h3", {}, `Inputs that contribute least to ${label(driven.measure)}, ${driven.inputs} inputs`), strip(ends[0]),
      node("h3", {}, "… and most"), strip(ends[1]));
    if (!DATA.images.is_exact) body.append(node("p", { class: "hint" }, "Images are compressed and at most 64 pixels wide here; the store has them as the models saw them."));
  }
  const gallery = DATA.gallery.filter((g) => g.model === row.model_a || g.model === row.model_b);
  if (gallery.length) body.append(node("h3", {}, "Seed, target and inverted images"), node("div", { class: "strip" }, gallery.map((g) => node("figure", { class: "triples" },
    [node("div", { class: "triple" }, ["seed", "target", "inverted"].flatMap((kind) => picture(g[kind], `${kind} image`))),
      node("figcaption", {}, `${g.model}: ${g.seed_label} → ${g.target_label}`)]))));
  const recipe = DATA.recipes.find(([what]) => [what, what.slice(what.indexOf(": ") + 2)].includes(`${row.dataset} ${DATA.axis.symbol}=${row.epsilon} ${row.inputs}`));
  body.append(node("p", { class: "hint" }, `Row ${row.row} of scores.parquet.` + (recipe ? ` Recipe in the store: ${recipe[1]}` : "")));
  if (!$("pair").open) $("pair").showModal();
}
function modelTable(row) {
  const facts = [["architecture", "Architecture"], ["random_seed", "Random seed"], ["parameters", "Parameters"], ["representation_size", "Representation"], ["clean_accuracy", "Clean accuracy"], ["adversarial_accuracy", "Adversarial accuracy"], ["is_weak", "Weak"]];
  if (DATA.is_comparison) facts.splice(-2);  // no adversarial accuracy, and no study that calls a model weak
  const models = [row.model_a, row.model_b].map((name) => DATA.models.find((m) => m.model === name && m.dataset === row.dataset) || {});
  return node("div", { class: "scroll" }, node("table", {}, [
    node("thead", {}, node("tr", {}, [node("th", {}, ""), node("th", { scope: "col" }, row.model_a), node("th", { scope: "col" }, row.model_b)])),
    node("tbody", {}, facts.map(([name, text]) => node("tr", {}, [node("th", { scope: "row" }, text), ...models.map((m) => node("td", {}, fact(name, m[name])))])))]));
}
function fact(name, held) {
  if (held === undefined || held === null) return "–";
  if (name === "is_weak") return held ? "yes" : "no";
  return name.endsWith("accuracy") ? `${(100 * held).toFixed(2)} %` : typeof held === "number" ? held.toLocaleString("en") : String(held);
}
function scoreTable(rows) {
  const heads = ["Measure", "Inputs", "Images of", "Score", "± SE", "Floor", "Floor → ceiling", "n", "Row"];
  return node("div", { class: "scroll" }, node("table", {}, [
    node("thead", {}, node("tr", {}, heads.map((text) => node("th", { scope: "col" }, text)))),
    node("tbody", {}, rows.map((r) => node("tr", {}, [label(r.measure), placeOf(r) === r.dataset ? r.inputs : `${r.inputs} (${r.inputs_dataset})`, r.inverted_by || "–",
      r.score === null ? `undefined: ${r.reason || "no reason was recorded"}` : number(r.score), number(r.standard_error), number(r.floor), number(r.normalised), String(r.n_inputs), String(r.row)].map((text) => node("td", {}, text)))))]));
}
function strip(places) {
  const { names } = DATA.driving, held = (name, at) => DATA.driving[name] && (names[name] ? names[name][DATA.driving[name][at]] : DATA.driving[name][at]);
  return node("div", { class: "strip" }, places.map((at) => {
    const input = held("input", at), lines = [`#${input}: ${number(held("contribution", at))}`];
    if (held("label", at)) lines.push(`label ${held("label", at)}`);
    if (held("prediction_a", at)) lines.push(`said ${held("prediction_a", at)} / ${held("prediction_b", at)}`);
    if (held("neighbours_a", at)) lines.push(`near ${held("neighbours_a", at).join(", ")} / ${held("neighbours_b", at).join(", ")}`);
    return node("figure", {}, [...picture(held("tile", at), `input ${input}`), node("figcaption", {}, lines.flatMap((line) => [line, node("br")]))]);
  }));
}

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

function render() {
  const rows = filtered();
  const pairs = distinct(rows.map((row) => [row.epsilon, ...[row.model_a, row.model_b].sort()].join("|"))).length;
  const empty = rows.filter((row) => row.score === null).length;
  $("count").textContent = `${pairs} ${pairs === 1 ? "pair" : "pairs"}, ${rows.length} ${rows.length === 1 ? "score" : "scores"} of ${label(state.measure)}` + (empty ? `, ${empty} of them undefined.` : ".");
  if (single) return drawPairs(rows);
  drawBoxes(rows);
  if (!$("heat-figure").hidden) drawHeat(rows);
  if (!$("map-figure").hidden) drawMap(rows);
  if (!$("scatter-figure").hidden) drawScatter(rows);
  drawPairs(rows);
}
function hideWhatSaysNothing(levels, measures) {
  const models = distinct(ROWS.flatMap((row) => [row.model_a, row.model_b]));
  for (const id of ["filters", "charts", "count"]) $(id).hidden = single;
  $("inputs-label").hidden = distinct(ROWS.map((row) => row.inputs)).length < 2;
  $("epsilons-field").hidden = $("heat-level").hidden = levels.length < 2;
  $("heat-figure").hidden = models.length < 3;
  $("map-figure").hidden = !Object.keys(DATA.maps).length;
  $("scatter-figure").hidden = measures.length < 2;
}
function start() {
  document.querySelectorAll("table.sortable[data-name]").forEach(sortable);
  const root = document.documentElement;
  $("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  });
  $("close").addEventListener("click", () => $("pair").close());
  $("pair").addEventListener("click", (event) => { if (event.target === $("pair")) $("pair").close(); });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  if (!ROWS.length) return;
  const places = distinct(ROWS.map(placeOf)), measures = distinct(ROWS.map((row) => row.measure));
  options($("place"), places);
  $("place-label").hidden = places.length < 2;
  options($("measure"), measures, label);
  options($("other"), measures, label);
  state.place = places[0];
  state.measure = measures.find((name) => name.endsWith("linear_cka")) || measures[0];
  $("measure").value = state.measure;
  $("other").value = measures.find((name) => name === "agreement" && name !== state.measure) || measures.find((name) => name !== state.measure) || measures[0];
  const levels = distinct(ROWS.map((row) => row.epsilon)).sort((a, b) => a - b);
  chips($("epsilons"), levels, state.epsilons);
  options($("heat-epsilon"), levels.map(String));
  $("heat-epsilon").value = String(levels[levels.length - 1]);
  chips($("architectures"), distinct(ROWS.flatMap((row) => [row.architecture_a, row.architecture_b])), state.architectures);
  hideWhatSaysNothing(levels, measures);
  for (const name of ["place", "measure", "inputs", "scale"]) $(name).addEventListener("change", (event) => { state[name] = event.target.value; state.shown = 100; render(); });
  for (const name of ["heat-epsilon", "other"]) $(name).addEventListener("change", render);
  $("more").addEventListener("click", () => { state.shown += 200; drawPairs(filtered()); });
  let waiting = 0, width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(waiting); waiting = setTimeout(render, 120); } });
  addEventListener("scroll", untip, { passive: true });
  render();
}
start();
