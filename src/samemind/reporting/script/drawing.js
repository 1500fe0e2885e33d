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
    light(modelsOf(marks[at].mark));
  };
  drawing.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowDown") { go(at + 1); event.preventDefault(); }
    if (event.key === "ArrowLeft" || event.key === "ArrowUp") { go(at - 1); event.preventDefault(); }
    // Without this the same key press would close the dialog that it opens.
    if (event.key === "Enter" && at >= 0 && marks[at].row) { event.preventDefault(); openPair(marks[at].row); }
    if (event.key === "Escape") untip();
  });
  drawing.addEventListener("blur", () => { marks[at]?.mark.classList.remove("on"); untip(); unlight(); });
  for (const { mark, row, text } of marks) {
    mark.addEventListener("pointerenter", () => { if (at >= 0) marks[at].mark.classList.remove("on"); });
    mark.addEventListener("pointerenter", (event) => tip(text ?? describe(row), event.clientX, event.clientY));
    mark.addEventListener("pointerleave", untip);
    if (row) mark.addEventListener("click", () => openPair(row));
  }
}
function describe(row) {
  return `${row.model_a} and ${row.model_b}\n${label(row.measure)}: ${number(row.score)}`
    + (row.standard_error !== null ? ` ± ${number(row.standard_error)}` : "")
    + `, ${row.inputs} inputs` + (row.floor !== null ? `\nfloor ${number(row.floor)}` : "")
    + (isChance(row) ? "\nnot beyond 95 % of shuffled inputs" : "");
}
// Whether more than 5 % of shuffled inputs score as much; false where that is not known.
function isChance(row) {
  if (row.score === null || row.floor_p95 === null) return false;
  return DATA.measures[row.measure]?.larger_is_more_similar === false ? row.score >= row.floor_p95 : row.score <= row.floor_p95;
}
// Bars of one standard error, where there are few enough to be read.
const MOST_BARS = 120;
function errorBar(group, x, y, row, scale, along = "y") {
  if (state.scale !== "score" || row.standard_error === null || row.score === null) return;
  const [low, high] = [row.score - row.standard_error, row.score + row.standard_error].map(scale);
  group.append(svg("line", along === "y" ? { class: "error", x1: x, x2: x, y1: low, y2: high } : { class: "error", x1: low, x2: high, y1: y, y2: y }));
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
