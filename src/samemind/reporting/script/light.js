// -- a model or a pair under the pointer lights up in every chart
function unlight() {
  for (const mark of document.querySelectorAll(".lit")) mark.classList.remove("lit");
  $("charts").classList.remove("lighting");
}
function light(wanted) {
  // One model: all that it takes part in. Two: their pair, and both of them.
  unlight();
  const isOf = (row) => wanted.length > 1
    ? wanted.includes(row.model_a) && wanted.includes(row.model_b)
    : wanted.includes(row.model_a) || wanted.includes(row.model_b);
  for (const mark of document.querySelectorAll("#charts [data-row], #charts [data-model], #pairs [data-row]")) {
    const found = mark.dataset.model !== undefined ? wanted.includes(mark.dataset.model) : isOf(ROWS[mark.dataset.row]);
    if (found) mark.classList.add("lit");
  }
  $("charts").classList.add("lighting");
}
const modelsOf = (mark) => mark.dataset.model !== undefined ? [mark.dataset.model]
  : mark.dataset.row !== undefined ? [ROWS[mark.dataset.row].model_a, ROWS[mark.dataset.row].model_b] : [];
function addLight() {
  for (const place of [$("charts"), $("pairs")]) {
    place.addEventListener("pointerover", (event) => {
      const mark = event.target.closest("[data-row], [data-model]");
      if (mark) light(modelsOf(mark)); else unlight();
    });
    place.addEventListener("pointerleave", unlight);
  }
}
