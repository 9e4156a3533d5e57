// Keys of the page: `/` to search, `j` and `k` to move between rows, Esc to go back.

import * as route from "./route.js";

const FIELDS = "input, select, textarea, [contenteditable]";
const isVisible = (element) => element.checkVisibility();

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const isTyping = event.target.matches(FIELDS);
    if (event.key === "Escape") leave(event.target, isTyping);
    else if (event.key === "Enter" && event.target.type === "search") { event.target.form.requestSubmit(); event.target.blur(); }
    else if (isTyping) return;
    else if (event.key === "/") search(event);
    else if (event.key === "j" || event.key === "k") move(event.key === "j" ? 1 : -1);
  });
}

function search(event) {
  const here = [...document.querySelectorAll("input[type=search]")].find(isVisible);
  event.preventDefault();
  if (here) { here.focus(); return; }
  window.addEventListener("hashchange", () => document.querySelector("#jobs-filter input").focus(), { once: true });
  route.go(route.format("jobs"));
}

function move(step) {
  const rows = [...document.querySelectorAll(".job")].filter(isVisible);
  const at = rows.indexOf(document.activeElement);
  const row = rows[at < 0 ? 0 : Math.min(Math.max(at + step, 0), rows.length - 1)];
  row?.focus();
}

function leave(target, isTyping) {
  if (isTyping) { target.blur(); return; }
  const { place, id, query } = route.parse();
  if (id) route.go(route.format(place, null, query));
}
