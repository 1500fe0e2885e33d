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
