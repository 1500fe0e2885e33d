"use strict";
// Text from outside only ever becomes a text node or an attribute value, never markup.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function node(tag, attributes = {}, children = []) {
  const made = document.createElement(tag);
  return dress(made, attributes, children);
}
function svg(tag, attributes = {}, children = []) {
  const made = document.createElementNS(SVG, tag);
  return dress(made, attributes, children);
}
function dress(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  for (const child of [].concat(children)) made.append(child);
  return made;
}
