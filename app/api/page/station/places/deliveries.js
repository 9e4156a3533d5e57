// Deliveries: the list, and one of them with its jobs.

import { $, bar, button, confirmed, h } from "../dom.js";
import * as route from "../route.js";
import { call, download, problemIn, token } from "../service.js";
import { t } from "../texts.js";
import { cancel } from "../sending/uploads.js";
import { ENDED, bytes, counted, isActive, told, when } from "../words.js";
import { Row } from "./jobs.js";
import { naming, needsDecision } from "./naming.js";

const MOST_JOBS = 500;
const FORMATS = ["html", "csv", "json"];
const SOON = 400;

let shown = false;
let id = null;
let view = null;
let timer = 0;
let cursors = [null];

export const listener = {
  reset: () => soon(),
  job: (job) => { if (job.delivery) soon(); },
  progress: (change) => view?.moved(change),
  deleted: () => soon(),
};

export function open(query, chosen) {
  shown = true;
  if (id !== chosen) view = null;
  id = chosen;
  return refresh();
}

export function close() { shown = false; }

function soon() {
  if (!timer && shown) timer = setTimeout(refresh, SOON);
}

export async function refresh() {
  clearTimeout(timer);
  timer = 0;
  const asked = id;
  try {
    if (asked) await showOne(asked);
    else await showAll();
  } catch (error) {
    if (asked === id) { view = null; $("deliveries").replaceChildren(backLink(), h("p", { class: "problem", role: "alert" }, told(problemIn(error)))); }
  }
}

async function showAll() {
  const query = new URLSearchParams({ limit: 30 });
  if (cursors.at(-1)) query.set("cursor", cursors.at(-1));
  const page = await call("GET", `deliveries?${query}`);
  if (id) return;
  $("deliveries-title").textContent = t("place.deliveries");
  const turn = (change) => { change(); refresh(); };
  $("deliveries").replaceChildren(
    page.deliveries.length ? h("ul", { class: "jobs" }, ...page.deliveries.map(card)) : onboarding(),
    h("div", { class: "row pages" },
      cursors.length > 1 && button(t("pages.newer"), () => turn(() => cursors.pop())),
      page.next_cursor && button(t("pages.older"), () => turn(() => cursors.push(page.next_cursor)))));
}

const onboarding = () => h("div", { class: "empty stack" }, h("p", {}, t("deliveries.none")), h("p", {}, t("deliveries.how")));

const nameOf = (delivery) => delivery.name || delivery.labels.folder || t("deliveries.unnamed", { time: when(delivery.created_at) });

function card(delivery) {
  const done = bar(t("delivery.progress"));
  const { total, pending, expected, ...outcomes } = delivery.files;
  done.set(total ? (100 * (total - pending - expected)) / total : 100, outcomes.failed ? "bad" : outcomes.needs_decision ? "warn" : pending ? "" : "good");
  return h("li", {}, h("a", { class: "job", href: route.format("deliveries", delivery.id), "data-testid": "delivery" },
    h("span", { class: "line" }, h("span", { class: "name" }, nameOf(delivery)), h("time", { class: "numbers", title: delivery.created_at }, when(delivery.created_at))),
    done.element, h("span", { class: "numbers" }, summary(delivery))));
}

const summary = (delivery) => {
  const { total, ...outcomes } = delivery.files;
  return `${t("files.count", { n: total })}, ${bytes(delivery.bytes)}: ${counted(outcomes) || t("state.pending")}`;
};

const backLink = () => h("a", { class: "back always", href: route.format("deliveries") }, t("back.deliveries"));

async function showOne(asked) {
  const [delivery, page] = await Promise.all([call("GET", `deliveries/${asked}`), call("GET", `jobs?${new URLSearchParams({ delivery: asked, limit: MOST_JOBS, brief: "true" })}`)]);
  if (asked !== id) return;
  if (!view) {
    view = new View(asked);
    $("deliveries").replaceChildren(view.element);
  }
  view.show(delivery, page.jobs);
}

class View {
  constructor(delivery) {
    this.id = delivery;
    this.rows = new Map();
    this.bar = bar(t("delivery.progress"));
    this.numbers = h("p", { class: "numbers", "data-testid": "counts" });
    this.actions = h("div", { class: "row" });
    this.error = h("p", { class: "problem", role: "alert" });
    this.list = h("ul", { class: "jobs" });
    this.element = h("div", { class: "stack" }, backLink(), this.bar.element, this.numbers, this.actions, this.error, this.list);
  }

  show(delivery, jobs) {
    this.delivery = delivery;
    this.jobs = new Map(jobs.map((job) => [job.id, job]));
    $("deliveries-title").textContent = nameOf(delivery);
    this.numbers.textContent = summary(delivery);
    this.showBar();
    this.showActions();
    const order = jobs.toSorted((a, b) => urgency(b) - urgency(a));
    const elements = order.map((job) => this.row(job));
    if (elements.length !== this.list.children.length || elements.some((row, at) => row !== this.list.children[at])) this.list.replaceChildren(...elements);
  }

  row(job) {
    if (!this.rows.has(job.id)) this.rows.set(job.id, { row: new Row(job), form: null });
    const kept = this.rows.get(job.id);
    kept.row.show(job);
    const isNeeded = needsDecision(job);
    if (!isNeeded && kept.form) { kept.form.remove(); kept.form = null; }
    if (isNeeded && !kept.form) this.name(job, kept);
    return kept.row.element;
  }

  // A brief document has no images; the names are asked for by the whole one.
  async name(job, kept) {
    kept.form = h("div", {});
    kept.row.element.append(kept.form);
    try { kept.form.replaceChildren(naming(await call("GET", `jobs/${job.id}`), refresh)); } catch { kept.form = null; }
  }

  showBar() {
    const jobs = [...this.jobs.values()];
    const weight = (job) => job.archives.reduce((sum, archive) => sum + archive.size, job.progress.bytes_expected || 1);
    const all = jobs.reduce((sum, job) => sum + weight(job), 0);
    const done = jobs.reduce((sum, job) => sum + weight(job) * (ENDED.has(job.state) ? 100 : job.progress.percent), 0);
    const hasFailed = jobs.some((job) => job.state === "failed");
    this.bar.set(all ? done / all : 0, jobs.some(isActive) ? "" : hasFailed ? "bad" : "good");
  }

  moved({ id: job, ...members }) {
    if (!this.jobs?.has(job)) return;
    this.jobs.set(job, { ...this.jobs.get(job), ...members });
    this.rows.get(job)?.row.show(this.jobs.get(job));
    this.showBar();
  }

  showActions() {
    const jobs = [...this.jobs.values()];
    const key = `${jobs.some(isActive)} ${jobs.some((job) => job.links?.retry && ENDED.has(job.state))}`;
    if (key === this.actionsKey) return;
    this.actionsKey = key;
    const isUnderWay = jobs.some(isActive);
    const canRetry = jobs.some((job) => job.links?.retry && ENDED.has(job.state));
    this.actions.replaceChildren(...[
      isUnderWay && button(t("delivery.cancel"), () => this.act(() => this.cancel()), { "data-testid": "cancel-all" }),
      canRetry && button(t("delivery.retry"), () => this.act(() => call("POST", `deliveries/${this.id}/retry`)), { class: "primary", "data-testid": "retry-all" }),
      ...FORMATS.map((format) => this.report(format)),
      !isUnderWay && button(t("delivery.delete"), () => this.remove(), { class: "danger", "data-testid": "delete-delivery" }),
    ].filter(Boolean));
  }

  // A link does not send a token, so with one the report is downloaded by a request.
  report(format) {
    const path = `deliveries/${this.id}/report?format=${format}`;
    const label = t(`report.${format}`);
    if (!token()) return h("a", { class: "button", href: path, target: format === "html" ? "_blank" : null, rel: "noopener", download: format === "html" ? null : `delivery-${this.id}.${format}` }, label);
    return button(label, () => this.act(() => download(path, `delivery-${this.id}.${format}`)));
  }

  async cancel() {
    cancel((upload) => upload.delivery === this.id);
    await Promise.allSettled([...this.jobs.values()].filter((job) => job.links?.cancel).map((job) => call("POST", `jobs/${job.id}/cancel`)));
  }

  async remove() {
    if (!await confirmed(t("delivery.delete_question", { name: nameOf(this.delivery) }), t("delivery.delete"))) return;
    await this.act(async () => { await call("DELETE", `deliveries/${this.id}`); route.go(route.format("deliveries")); });
  }

  async act(work) {
    this.error.textContent = "";
    try { await work(); } catch (error) { this.error.textContent = told(problemIn(error)); }
    soon();
  }
}

// Jobs that need the user come first, then those under way.
const urgency = (job) => (needsDecision(job) ? 3 : job.state === "failed" ? 2 : isActive(job) ? 1 : 0);
