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
  const modelOf = (n) => { const row = part.find((r) => name(r, "a") === n); return row ? row.model_a : part.find((r) => name(r, "b") === n)?.model_b; };
  const side = 18 + 6.3 * Math.max(0, ...lines.flat().map((line) => line.length));
  const size = (width - side - 6) / Math.max(1, order.length), height = side + size * order.length + 8;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0,
    "aria-label": `Heat map of ${label(state.measure)} for every pair${atLevel(level)}, ${kind} inputs.` });
  const [low, high] = [Math.min(0, ...part.map(value)), Math.max(1, ...part.map(value))];
  order.forEach((n, i) => {
    const middle = (i + 0.5) * size;
    lines[i].forEach((line, j) => {
      const shift = 4 + 12.5 * (j - (lines[i].length - 1) / 2);
      drawing.append(svg("text", { class: "name", "data-model": modelOf(n), x: side - 5, y: side + middle + shift, "text-anchor": "end" }, line),
        svg("text", { class: "name", "data-model": modelOf(n), transform: `translate(${side + middle + shift} ${side - 5}) rotate(-90)` }, line));
    });
  });
  const marks = [];
  const place = (row, column, line) => {
    const [r, g, b] = colour((value(row) - low) / (high - low));
    const mark = svg("rect", { class: isChance(row) ? "cell chance" : "cell", x: side + order.indexOf(column) * size, y: side + order.indexOf(line) * size, width: size - 1, height: size - 1, fill: `rgb(${r},${g},${b})`, "data-row": row.row });
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
  TAKEN.set("heat", () => scoresOf(part));
  const note = kind === "natural" ? "Natural inputs." : `${kind === "inverted" ? "Inverted" : "Adversarial"} inputs; the column is the model whose ${kind} images both saw.`;
  box.replaceChildren(drawing, node("p", { class: "hint" }, `${note} Dark is ${number(low, 1)}, bright is ${number(high, 1)}.${part.some(isChance) ? " Grey: not beyond 95 % of shuffled inputs." : ""}`));
}
