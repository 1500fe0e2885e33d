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
  openRow = row.row;
  writeAddress();
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
