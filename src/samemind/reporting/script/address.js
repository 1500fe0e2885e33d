// -- what is shown stands in the address, so that a link shows another reader the same
const VIEW = "view?";
const SELECTS = { place: "place", measure: "measure", inputs: "inputs", scale: "scale", level: "heat-epsilon", other: "other", map: "layers-pair" };
let openRow = null, wasRead = false;

function viewNow() {
  const held = new URLSearchParams();
  for (const [name, id] of Object.entries(SELECTS)) if ($(id)?.value) held.set(name, $(id).value);
  for (const [name, all] of [["epsilons", "epsilons"], ["architectures", "architectures"]]) {
    const boxes = [...$(all).querySelectorAll("input")];
    if (boxes.some((box) => !box.checked)) held.set(name, JSON.stringify(boxes.filter((box) => box.checked).map((box) => box.value)));
  }
  if (openRow !== null) held.set("pair", openRow);
  return `#${VIEW}${held}`;
}
function writeAddress() {
  // Not before a reader has chosen something: a link to a section stays that.
  if (!wasRead) return;
  try { history.replaceState(null, "", viewNow()); } catch { /* a frame that has no address of its own */ }
}
function readAddress() {
  const text = location.hash.slice(1);
  if (!text.startsWith(VIEW)) return;
  const held = new URLSearchParams(text.slice(VIEW.length));
  for (const [name, id] of Object.entries(SELECTS)) {
    const select = $(id), wanted = held.get(name);
    // A link to a page that has changed since keeps what is still there.
    if (!select || wanted === null || ![...select.options].some((option) => option.value === wanted)) continue;
    select.value = wanted;
    if (name in state) state[name] = wanted;
  }
  for (const name of ["epsilons", "architectures"]) {
    let wanted = null;
    try { wanted = JSON.parse(held.get(name)); } catch { /* cut short on its way */ }
    if (!Array.isArray(wanted)) continue;
    for (const box of $(name).querySelectorAll("input")) {
      const chosen = [...state[name]].find((one) => String(one) === box.value);
      box.checked = wanted.includes(box.value);
      if (!box.checked && chosen !== undefined) state[name].delete(chosen);
    }
  }
  const pair = ROWS[Number(held.get("pair") ?? -1)];
  return pair;
}
async function copied(text, button) {
  const said = button.textContent;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = node("textarea", { style: "position:fixed;opacity:0" });
    area.value = text;
    ($("pair").open ? $("pair") : document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = said; }, 1500);
}
