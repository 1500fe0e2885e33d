// -- the map of the layers of two models: every cell says its score, floor, error and p
function describeCell(map, i, j) {
  const at = i * map.columns.length + j, lines = [`${map.rows[i]} – ${map.columns[j]}`];
  const error = map.standard_error?.[at], floor = map.floor?.[at], p = map.p_value?.[at], within = map.p_map?.[at];
  lines.push(`${label(map.measure)}: ${number(map.score[at])}` + (error === null || error === undefined ? "" : ` ± ${number(error)}`));
  if (floor !== null && floor !== undefined) lines.push(`95 % of shuffled inputs: up to ${number(floor)}`);
  if (p !== null && p !== undefined) lines.push(`p = ${number(p)}` + (within === null || within === undefined ? "" : `, in the whole map ${number(within)}`));
  if (map.is_chance?.[at]) lines.push("not beyond chance");
  if (map.is_best?.[at]) lines.push("known to be the best of its row");
  else if (map.is_tied?.[at]) lines.push("not told apart from the best of its row");
  return lines.join("\n");
}
function drawLayers() {
  const map = DATA.layer_maps[Number($("layers-pair").value)], box = $("layers-map");
  const width = Math.max(280, Math.round(box.clientWidth || 600)), rows = map.rows.length, columns = map.columns.length;
  const longest = Math.min(24, Math.max(...map.rows.map((name) => name.length))), side = 14 + 6.2 * longest;
  const below = 14 + 6.2 * Math.min(24, Math.max(...map.columns.map((name) => name.length)));
  const size = Math.min(rows * columns > 200 ? 34 : 64, (width - side - 6) / columns, Math.max(4, 560 / rows)), height = rows * size + below + 38;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0,
    "aria-label": `${label(map.measure)} of ${rows} layers of ${map.model_a} with ${columns} of ${map.model_b}.` });
  const finite = map.score.filter((v) => v !== null), low = Math.min(0, ...finite), high = Math.max(1, ...finite);
  const cut = (name) => name.length > 24 ? `…${name.slice(-23)}` : name;
  const every = (count) => Math.ceil(11 / size) || 1;
  map.rows.forEach((name, i) => { if (i % every(rows) === 0) drawing.append(svg("text", { class: "name", x: side - 5, y: (i + 0.5) * size + 4, "text-anchor": "end" }, cut(name))); });
  map.columns.forEach((name, j) => { if (j % every(columns) === 0) drawing.append(svg("text", { class: "name", "text-anchor": "end", transform: `translate(${side + (j + 0.5) * size + 4} ${rows * size + 6}) rotate(-90)` }, cut(name))); });
  const marks = [];
  map.rows.forEach((_, i) => map.columns.forEach((__, j) => {
    const at = i * columns + j, [r, g, b] = colour((map.score[at] - low) / (high - low)), has = map.score[at] !== null;
    const mark = svg("rect", { class: "cell" + (map.is_chance?.[at] || !has ? " chance" : ""), x: side + j * size, y: i * size, width: size - (size > 8), height: size - (size > 8), fill: `rgb(${r},${g},${b})`, "data-cell": at });
    drawing.append(mark);
    if (map.is_best?.[at]) drawing.append(svg("circle", { class: "best", r: Math.max(1.5, Math.min(4, size / 5)), cx: side + (j + 0.5) * size - 0.5, cy: (i + 0.5) * size - 0.5 }));
    marks.push(mark);
  }));
  drawing.append(svg("text", { x: side, y: height - 22 }, `→ layers of ${map.model_b}`), svg("text", { x: side, y: height - 5 }, `↑ layers of ${map.model_a}`));
  walkCells(drawing, marks, columns, (at) => describeCell(map, Math.floor(at / columns), at % columns));
  const told = map.is_chance ? "Grey: not beyond chance. A dot: known to be the best of its row. " : "";
  box.replaceChildren(drawing, node("p", { class: "hint" }, `${told}Dark is ${number(low, 1)}, bright is ${number(high, 1)}. Point at a cell, or focus the map and use the arrow keys.`));
  const names = ["standard_error", "floor", "p_value", "p_map"].filter((name) => map[name]);
  TAKEN.set("layers-map", () => ({ head: ["layer_a", "layer_b", "measure", "score", ...names], lines: map.score.map((score, at) =>
    [map.rows[Math.floor(at / columns)], map.columns[at % columns], map.measure, score, ...names.map((name) => map[name][at])]) }));
}
function walkCells(drawing, marks, columns, text) {
  // Arrow keys go over the grid as over a sheet; one stop for the Tab key.
  let at = -1;
  const go = (next) => {
    if (next < 0 || next >= marks.length) return;
    marks[at]?.classList.remove("on");
    at = next;
    marks[at].classList.add("on");
    const box = marks[at].getBoundingClientRect();
    tip(text(at), box.right, box.top);
  };
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "Escape") untip();
    if (!(event.key in steps)) return;
    event.preventDefault();
    go(at < 0 ? 0 : at + steps[event.key]);
  });
  drawing.addEventListener("blur", () => { marks[at]?.classList.remove("on"); untip(); });
  marks.forEach((mark, i) => {
    mark.addEventListener("pointerenter", (event) => tip(text(i), event.clientX, event.clientY));
    mark.addEventListener("pointerleave", untip);
  });
}
function startLayers() {
  if (!DATA.layer_maps.length) return;
  const several = new Set(DATA.layer_maps.map((map) => `${map.model_a}${map.model_b}`)).size < DATA.layer_maps.length;
  options($("layers-pair"), DATA.layer_maps.map((_, i) => String(i)), (i) => {
    const map = DATA.layer_maps[Number(i)];
    return `${map.model_a} – ${map.model_b}` + (several && map.of ? ` (${map.of})` : "");
  });
  $("layers-pair").addEventListener("change", () => { drawLayers(); wasRead = true; writeAddress(); });
}
