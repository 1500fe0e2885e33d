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
        if (part.length <= MOST_BARS) errorBar(group, mark.getAttribute("cx"), 0, row, y);
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
  if (isScore && shown.length && shown.length <= MOST_BARS && shown.some((row) => row.standard_error !== null)) key.append(node("span", {}, "line through a point: ± standard error"));
  TAKEN.set("boxes", () => scoresOf(shown));
  box.replaceChildren(drawing, key);
  $("boxes-title").textContent = label(state.measure) + (levels.length > 1 ? ` by ${DATA.axis.text}` : " of every pair");
}
