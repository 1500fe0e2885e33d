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
  TAKEN.set("map", () => ({ head: ["model", "x", "y"], lines: map.models.map((name, i) => [name, map.x[i], map.y[i]]) }));
  box.replaceChildren(drawing,
    node("p", { class: "key" }, names.filter((name) => shown.has(name)).map((name) => node("span", {}, `${names.indexOf(name) + 1} ${name}`))),
    node("p", { class: "hint" }, `${DATA.is_comparison ? "" : `${DATA.axis.symbol} = ${level}, ${kind} inputs. `}Distances come near 1 − similarity; the plane keeps ${Math.round(100 * map.kept)} % of them.`));
}
