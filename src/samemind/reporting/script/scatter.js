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
    if (found.length <= MOST_BARS) {
      errorBar(drawing, x(value(row)), y(value(match)), row, x, "x");
      errorBar(drawing, x(value(row)), y(value(match)), match, y);
    }
    drawing.append(mark);
    return { mark, row, text: `${describe(row)}\n${label(other)}: ${number(match.score)}` + (match.standard_error === null ? "" : ` ± ${number(match.standard_error)}`) + (match.floor === null ? "" : `\nfloor ${number(match.floor)}`) };
  });
  // The floor of each measure, where one line can stand for it.
  const floors = [distinct(found.map(([row]) => row)), distinct(found.map(([, match]) => match))].map((all) => {
    const held = distinct(all.map((row) => DATA.cells[cellKey(row)]?.floor ?? null));
    return state.scale === "normalised" ? 0 : held.length === 1 ? held[0] : null;
  });
  if (floors[0] !== null && floors[0] >= x0 && floors[0] <= x1) drawing.prepend(svg("line", { class: "floor", x1: x(floors[0]), x2: x(floors[0]), y1: top, y2: bottom }));
  if (floors[1] !== null && floors[1] >= y0 && floors[1] <= y1) drawing.prepend(svg("line", { class: "floor", x1: left, x2: right, y1: y(floors[1]), y2: y(floors[1]) }));
  points(drawing, marks);
  TAKEN.set("scatter", () => scoresOf(found.flat()));
  box.replaceChildren(drawing);
}
