// The list of jobs. The newest page is asked for again and again; older ones when somebody wants them. Rows that are
// not in view are not laid out (content-visibility), so a thousand of them cost little.

import { $, announce, bar, h } from "./dom.js";
import { call } from "./service.js";
import { ENDED, bytes, outcomes, stateOf, titleOf, when } from "./words.js";

const PAGE = 50;
const BUSY = 1500;
const IDLE = 5000;

const rows = new Map();
let cursor = null;
let following = false;
let chosen = null;
let timer = 0;
let hooks = { open: () => {}, seen: () => {}, reached: () => {}, lost: () => {} };

export function start(given) {
  hooks = given;
  $("older").addEventListener("click", older);
  $("state-filter").addEventListener("change", () => { clear(); refresh(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  return refresh();
}

export function choose(id) {
  chosen = id;
  for (const [key, row] of rows) row.mark(key === id);
}

export function clear() {
  rows.clear();
  $("jobs").replaceChildren();
  cursor = null;
  following = false;
}

export async function refresh() {
  clearTimeout(timer);
  let active = false;
  try {
    const page = await ask(null);
    hooks.reached();
    for (const job of page.jobs.toReversed()) active = update(job, true) || active;
    drop(page.jobs);
    if (!following) { cursor = page.next_cursor; }
    $("older").hidden = !cursor;
    $("jobs-empty").hidden = rows.size > 0;
    $("jobs-empty").textContent = $("state-filter").value ? "No job is in this state." : "Nothing has been sent yet.";
  } catch (error) {
    hooks.lost(error);
  }
  if (!document.hidden) timer = setTimeout(refresh, active ? BUSY : IDLE);
}

export function show(job) {
  if (rows.has(job.id)) rows.get(job.id).show(job);
}

function ask(from) {
  const query = new URLSearchParams({ limit: PAGE, brief: "true" });
  if ($("state-filter").value) query.set("state", $("state-filter").value);
  if (from) query.set("cursor", from);
  return call("GET", `jobs?${query}`);
}

async function older() {
  $("older").disabled = true;
  try {
    const page = await ask(cursor);
    following = true;
    cursor = page.next_cursor;
    for (const job of page.jobs) update(job, false);
    $("older").hidden = !cursor;
  } catch (error) {
    hooks.lost(error);
  }
  $("older").disabled = false;
}

// What was deleted, or no longer is in the state that is asked for. Older pages are left as they are.
function drop(jobs) {
  const oldest = jobs.length ? jobs.at(-1).created_at : "";
  const present = new Set(jobs.map((job) => job.id));
  for (const [id, row] of rows) {
    if (!present.has(id) && (jobs.length < PAGE || row.createdAt >= oldest)) { row.element.remove(); rows.delete(id); }
  }
}

function update(job, atTop) {
  let row = rows.get(job.id);
  if (!row) {
    row = new Row(job);
    rows.set(job.id, row);
    if (atTop) $("jobs").prepend(row.element); else $("jobs").append(row.element);
  }
  row.show(job);
  hooks.seen(job);
  row.mark(job.id === chosen);
  return !ENDED.has(job.state);
}

class Row {
  constructor(job) {
    this.createdAt = job.created_at;
    this.name = h("span", { class: "name" });
    this.chip = h("span", { class: "chip" });
    this.numbers = h("span", { class: "numbers" });
    this.time = h("time", { class: "numbers", dateTime: job.created_at }, when(job.created_at));
    this.bar = bar("Progress");
    this.button = h("button", { type: "button", class: "job", onclick: () => hooks.open(job.id) },
      h("span", { class: "line" }, this.name, this.chip), this.bar.element,
      h("span", { class: "line" }, this.numbers, this.time));
    this.element = h("li", {}, this.button);
  }

  show(job) {
    const [word, kind] = stateOf(job);
    const title = titleOf(job);
    if (this.name.textContent !== title) { this.name.textContent = title; this.name.title = title; }
    if (this.state && this.state !== job.state && ENDED.has(job.state)) announce(`${title}: ${word}`);
    this.state = job.state;
    this.chip.textContent = word;
    this.chip.className = `chip ${kind}`;
    this.bar.element.hidden = ENDED.has(job.state);
    this.bar.set(job.progress.percent);
    this.numbers.textContent = words(job);
  }

  mark(isChosen) {
    if (isChosen) this.button.setAttribute("aria-current", "true"); else this.button.removeAttribute("aria-current");
  }
}

function words(job) {
  const progress = job.progress;
  if (job.state === "receiving") return `${bytes(progress.bytes_received)}${progress.bytes_expected ? ` of ${bytes(progress.bytes_expected)}` : " so far"}`;
  if (job.problem) return job.problem.title;
  const size = job.archives.reduce((sum, archive) => sum + archive.size, 0);
  const all = progress.images_total === 1 ? "1 image" : `${progress.images_total} images`;
  const images = ENDED.has(job.state) ? outcomes(progress) || all : `${progress.images_done} of ${all}`;
  return progress.images_total ? `${images}, ${bytes(size)}` : bytes(size);
}
