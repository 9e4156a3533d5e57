// The list of jobs: a page at a time, those in progress above it. Changes arrive by the stream of all jobs.

import { $, announce, bar, h } from "../dom.js";
import * as route from "../route.js";
import { call } from "../service.js";
import { t } from "../texts.js";
import { bytes, ENDED, isActive, outcomes, sizeOf, stateOf, titleOf, when } from "../words.js";

const PAGE = 50;
const MOST_ACTIVE = 100;
const IN_PROGRESS = "receiving,queued,running";
const FILTERS = ["q", "state", "since", "until"];
const SOON = 250;

const rows = new Map();
let filters = new URLSearchParams();
let cursors = [null]; // of the pages up to the one that is shown
let following = null;
let chosen = null;
let shown = false;
let timer = 0;
let turn = 0;
let hooks = { seen: () => {}, reached: () => {}, lost: () => {} };

export function start(given) {
  hooks = given;
  $("older").addEventListener("click", () => { cursors.push(following); refresh(); });
  $("newer").addEventListener("click", () => { cursors.pop(); refresh(); });
  $("jobs-filter").addEventListener("submit", (event) => { event.preventDefault(); filterChanged(); });
  let typing = 0;
  $("jobs-filter").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(filterChanged, SOON); });
}

// The changes of jobs, as the stream has them.
export const listener = {
  reset: () => soon(),
  job: (job) => { update(job); hooks.seen(job); soon(); },
  progress: ({ id, ...members }) => { const row = rows.get(id); if (row) row.show({ ...row.job, ...members }); },
  deleted: () => soon(),
};

export function open(query, id) {
  shown = true;
  chosen = id;
  const asked = new URLSearchParams(FILTERS.flatMap((name) => (query.get(name) ? [[name, query.get(name)]] : [])));
  if (asked.toString() !== filters.toString()) { filters = asked; cursors = [null]; }
  for (const name of FILTERS) {
    const field = $("jobs-filter").elements[name];
    if (field !== document.activeElement) field.value = filters.get(name) || "";
  }
  for (const [key, row] of rows) row.mark(key === chosen);
  $("back").href = route.format("jobs", null, filters);
  return refresh();
}

export function close() { shown = false; }

function filterChanged() {
  const given = new URLSearchParams();
  for (const [name, value] of new FormData($("jobs-filter"))) if (value.trim()) given.set(name, value.trim());
  if (given.toString() !== filters.toString()) route.go(route.format("jobs", chosen, given), { replace: true });
}

function soon() {
  if (!timer && shown) timer = setTimeout(refresh, SOON);
}

export async function refresh() {
  clearTimeout(timer);
  timer = 0;
  turn += 1;
  const mine = turn;
  const isWhole = cursors.length === 1 && !filters.get("state");
  try {
    const [active, page] = await Promise.all([
      isWhole ? ask(IN_PROGRESS, MOST_ACTIVE, null) : { jobs: [] },
      ask(filters.get("state") || [...ENDED].join(","), PAGE, cursors.at(-1)),
    ]);
    if (mine !== turn) return;
    hooks.reached();
    following = page.next_cursor;
    show(active, page.jobs);
  } catch (error) {
    if (mine === turn) hooks.lost(error);
  }
}

// A long search ends a page early, maybe without a job; its cursor leads on.
async function ask(states, limit, cursor) {
  let page = await one(states, limit, cursor);
  while (!page.jobs.length && page.next_cursor) page = await one(states, limit, page.next_cursor);
  return page;
}

function one(states, limit, cursor) {
  const query = new URLSearchParams({ limit, brief: "true", state: states });
  if (filters.get("q")) query.set("q", filters.get("q"));
  if (filters.get("since")) query.set("since", new Date(`${filters.get("since")}T00:00`).toISOString());
  if (filters.get("until")) query.set("until", new Date(`${filters.get("until")}T23:59:59.999`).toISOString());
  if (cursor) query.set("cursor", cursor);
  return call("GET", `jobs?${query}`);
}

function show(active, ended) {
  const isMore = active.next_cursor ? "+" : "";
  $("jobs-active-part").hidden = !active.jobs.length;
  $("jobs-active-title").textContent = t("jobs.active", { count: `${active.jobs.length}${isMore}` });
  const present = new Set([...active.jobs, ...ended].map((job) => job.id));
  for (const id of rows.keys()) if (!present.has(id)) rows.delete(id);
  list($("jobs-active"), active.jobs);
  list($("jobs"), ended);
  $("older").hidden = !following;
  $("newer").hidden = cursors.length === 1;
  $("jobs-empty").hidden = present.size > 0;
  $("jobs-empty").textContent = filters.toString() ? t("jobs.none_match") : t("jobs.none");
}

// Rows stay what they are as long as their order does, so the focus stays too.
function list(element, jobs) {
  const elements = jobs.map((job) => { update(job, true); hooks.seen(job); return rows.get(job.id).element; });
  if (elements.length === element.children.length && elements.every((row, at) => row === element.children[at])) return;
  const focused = document.activeElement;
  element.replaceChildren(...elements);
  if (focused !== document.activeElement && element.contains(focused)) focused.focus({ preventScroll: true });
}

export function update(job, isListed = false) {
  if (!rows.has(job.id)) {
    if (!isListed) return;
    rows.set(job.id, new Row(job));
  }
  const row = rows.get(job.id);
  if (isListed) row.link.href = route.format("jobs", job.id, filters);
  row.show(job);
  row.mark(job.id === chosen);
}

// A link to a job with its state and progress.
export class Row {
  constructor(job) {
    this.name = h("span", { class: "name" });
    this.chip = h("span", { class: "chip" });
    this.numbers = h("span", { class: "numbers" });
    this.time = h("time", { class: "numbers", dateTime: job.created_at, title: job.created_at }, when(job.created_at));
    this.bar = bar(t("job.progress"));
    this.link = h("a", { class: "job", href: route.format("jobs", job.id) },
      h("span", { class: "line" }, this.name, this.chip), this.bar.element,
      h("span", { class: "line" }, this.numbers, this.time));
    this.element = h("li", {}, this.link);
  }

  show(job) {
    const [word, kind, state] = stateOf(job);
    const title = titleOf(job);
    if (this.name.textContent !== title) { this.name.textContent = title; this.name.title = title; }
    if (this.job && this.job.state !== job.state && ENDED.has(job.state)) announce(`${title}: ${word}`);
    this.job = job;
    this.link.dataset.state = state;
    this.chip.textContent = word;
    this.chip.className = `chip ${kind}`;
    this.bar.element.hidden = !isActive(job);
    this.bar.set(job.progress.percent, job.waiting_for ? "warn" : "");
    this.numbers.textContent = summary(job);
  }

  mark(isChosen) {
    if (isChosen) this.link.setAttribute("aria-current", "true"); else this.link.removeAttribute("aria-current");
  }
}

function summary(job) {
  const progress = job.progress;
  if (job.state === "receiving") {
    const received = bytes(progress.bytes_received);
    return progress.bytes_expected ? t("of", { done: received, total: bytes(progress.bytes_expected) }) : t("so_far", { done: received });
  }
  if (job.problem) return job.problem.title;
  const all = t("images.count", { n: progress.images_total });
  const images = ENDED.has(job.state) ? outcomes(progress) || all : t("of", { done: progress.images_done, total: all });
  return progress.images_total ? `${images}, ${bytes(sizeOf(job))}` : bytes(sizeOf(job));
}
