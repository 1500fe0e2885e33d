function render() {
  const rows = filtered();
  const pairs = distinct(rows.map((row) => [row.epsilon, ...[row.model_a, row.model_b].sort()].join("|"))).length;
  const empty = rows.filter((row) => row.score === null).length;
  $("count").textContent = `${pairs} ${pairs === 1 ? "pair" : "pairs"}, ${rows.length} ${rows.length === 1 ? "score" : "scores"} of ${label(state.measure)}` + (empty ? `, ${empty} of them undefined.` : ".");
  explainMeasure();
  if (single) return drawPairs(rows);
  drawBoxes(rows);
  if (!$("heat-figure").hidden) drawHeat(rows);
  if (!$("map-figure").hidden) drawMap(rows);
  if (!$("scatter-figure").hidden) drawScatter(rows);
  drawPairs(rows);
  writeAddress();
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
  $("pair").addEventListener("close", () => { openRow = null; writeAddress(); });
  for (const id of ["copy-link", "copy-pair-link"]) $(id).addEventListener("click", (event) => copied(location.href.split("#")[0] + viewNow(), event.currentTarget));
  explainTables();
  addTaking();
  addLight();
  startLayers();
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
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; clearTimeout(waiting); waiting = setTimeout(() => { render(); if (DATA.layer_maps.length) drawLayers(); }, 120); } });
  addEventListener("scroll", untip, { passive: true });
  const shown = readAddress();
  render();
  if (DATA.layer_maps.length) drawLayers();
  if (shown) openPair(shown);
  wasRead = true;
}
start();
