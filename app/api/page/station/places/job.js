// One job: its progress, its images, its problem and what to do about it.

import * as curl from "../curl.js";
import { $, bar, button, command, confirmed, copyButton, h } from "../dom.js";
import { heldFor, letGo } from "../sending/held.js";
import { pulls } from "../registries.js";
import * as route from "../route.js";
import { ProblemError, call, problemIn, watch } from "../service.js";
import { has, t } from "../texts.js";
import { isSent } from "../sending/uploads.js";
import { ENDED, advice, bytes, duration, exactly, isLook, labelOf, outcomes, short, sizeOf, stateOf, titleOf, told, when } from "../words.js";
import { naming, needsDecision } from "./naming.js";
import { review } from "./review.js";

const SHOWN_IMAGES = 500;
const STALLED_SECONDS = 10;

let watching = null;
let shown = null;
let hooks = { changed: () => {}, open: () => {}, gone: () => {} };

export function start(given) { hooks = given; }

export async function open(id) {
  close();
  const stop = new AbortController();
  watching = stop;
  const view = new View(id);
  shown = view;
  const clock = setInterval(() => view.tick(), 1000);
  stop.signal.addEventListener("abort", () => clearInterval(clock));
  try {
    await watch(id, (job) => { if (!stop.signal.aborted) { view.show(job); hooks.changed(job); } }, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) view.fail(error);
  }
  clearInterval(clock);
  view.isOver = true;
}

// Another user has retried it.
export function seen(job) {
  if (shown && shown.id === job.id && shown.isOver && shown.job && !ENDED.has(job.state)) open(job.id);
}

export function close() {
  if (watching) watching.abort();
  watching = shown = null;
  $("detail-title").textContent = t("job.title");
  $("detail-body").replaceChildren(h("p", { class: "empty" }, t("job.choose")));
}

class View {
  constructor(id) {
    this.id = id;
    this.moved = performance.now();
    this.parts = { upload: new Part("upload"), push: new Part("push") };
    this.chip = h("span", { class: "chip", "data-testid": "state" });
    this.since = h("span", { class: "numbers" });
    this.facts = h("dl", { class: "facts" });
    this.stall = h("p", { class: "hint", role: "status", hidden: true });
    this.notes = h("div", { class: "stack" });
    this.review = h("div", {});
    this.actions = h("div", { class: "row" });
    this.imagesTitle = h("h3", { hidden: true });
    this.images = h("div", { class: "images", hidden: true });
    this.blobs = h("div", { class: "blobs", hidden: true });
    this.sent = new Map();
    this.lines = h("details", { class: "curl" }, h("summary", {}, t("job.curl")), h("div", {}));
    this.kept = new Map();
    $("detail-body").replaceChildren(h("div", { class: "stack" },
      h("div", { class: "line wrap" }, h("span", { class: "row" }, this.chip, this.since), this.actions),
      h("div", { class: "parts" }, this.parts.upload.element, this.parts.push.element),
      this.facts, this.stall, this.notes, this.review, this.blobs, this.imagesTitle, this.images, this.lines));
  }

  show(job) {
    const [word, kind, state] = stateOf(job);
    const position = `${job.state}${job.progress.bytes_received}/${job.progress.bytes_done}/${job.progress.images_done}`;
    if (position !== this.position) { this.moved = performance.now(); this.position = position; }
    this.job = job;
    const title = titleOf(job);
    if ($("detail-title").textContent !== title) $("detail-title").textContent = title;
    this.chip.textContent = word;
    this.chip.className = `chip ${kind}`;
    this.chip.dataset.state = state;
    this.since.textContent = `${when(job.created_at)}${job.attempt > 1 ? `, ${t("job.attempt", { count: job.attempt })}` : ""}`;
    this.showParts(job);
    this.showFacts(job);
    this.showNotes(job);
    this.showActions(job);
    this.showReview(job);
    this.showBlobs(job);
    this.showImages(job);
    this.tick();
  }

  showParts(job) {
    const p = job.progress;
    const isReceiving = job.state === "receiving";
    this.parts.upload.element.hidden = job.archives.length > 0 && job.archives.every((archive) => archive.source !== "upload");
    const received = p.bytes_expected ? (100 * p.bytes_received) / p.bytes_expected : isReceiving ? 0 : 100;
    this.parts.upload.set(received, job.state === "failed" && received < 100 ? "bad" : "calm", p.bytes_received);
    const isPushed = job.state === "succeeded";
    const done = isPushed ? 100 : p.bytes_total ? (100 * p.bytes_done) / p.bytes_total : 0;
    this.parts.push.set(Math.min(done, isPushed ? 100 : 99), { succeeded: "good", failed: "bad", cancelled: "calm" }[job.state] || (job.waiting_for ? "warn" : ""), p.bytes_done);
  }

  showFacts(job) {
    const p = job.progress;
    const facts = [];
    const add = (name, value) => { if (value) facts.push([t(`fact.${name}`), value]); };
    if (job.state === "receiving") add("received", p.bytes_expected ? t("of", { done: bytes(p.bytes_received), total: bytes(p.bytes_expected) }) : bytes(p.bytes_received));
    else {
      add("images", outcomes(p));
      add("archive", `${bytes(sizeOf(job))}, ${job.archives[0]?.format || t(ENDED.has(job.state) ? "fact.unknown" : "fact.reading")}`);
      add("registry", job.registry);
      if (p.blobs_total && !isLook(job)) add("sent", t("fact.sent_text", { sent: bytes(p.bytes_sent), done: p.blobs_done, total: p.blobs_total, reused: p.blobs_reused }));
      if (job.state === "running" && p.bytes_per_second) add("rate", `${bytes(p.bytes_per_second)}/s`);
      if (job.state === "running" && p.eta_seconds !== null) add("left", duration(p.eta_seconds));
      if (job.started_at && job.finished_at) add("took", took(job));
    }
    if (job.submitted_by) add("by", job.submitted_by);
    const elements = facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    if (job.delivery) elements.push(h("div", {}, h("dt", {}, t("fact.delivery")), h("dd", {}, h("a", { href: route.format("deliveries", job.delivery) }, t("fact.open")))));
    this.facts.replaceChildren(...elements);
  }

  showNotes(job) {
    const damaged = job.archives.length > 1 ? job.archives.filter((archive) => archive.problem) : [];
    const key = JSON.stringify([job.problem, damaged, job.notices, job.next_attempt_at, job.waiting_for, job.state, job.attempt]);
    if (key === this.notesKey) return;
    this.notesKey = key;
    const notes = [];
    if (job.problem) notes.push(problemNote(job.problem, Boolean(heldFor(this.id)) || needsDecision(job)));
    notes.push(...damaged.map(({ name, problem }) => problemNote({ ...problem, title: `${name}: ${problem.title}` })));
    if (needsDecision(job) && !heldFor(this.id)) notes.push(naming(job, () => hooks.open(this.id)));
    if (job.waiting_for && !job.problem) notes.push(waitingNote(job.waiting_for));
    if (job.next_attempt_at && !job.waiting_for?.next_at) notes.push(h("div", { class: "note warn" }, h("p", {}, t("job.next_attempt", { time: exactly(job.next_attempt_at) }))));
    if (job.notices.length) notes.push(h("div", { class: "note calm" }, ...job.notices.map((text) => h("p", {}, text))));
    this.notes.replaceChildren(...notes);
  }

  showActions(job) {
    const key = `${job.state} ${job.links?.cancel} ${job.links?.retry} ${job.links?.self}`;
    if (key === this.actionsKey) return;
    this.actionsKey = key;
    const isFocused = this.actions.contains(document.activeElement) || this.lines.lastChild.contains(document.activeElement);
    const lines = [curl.acting("GET", `jobs/${this.id}`), curl.watching(this.id)];
    const buttons = [];
    const add = (name, method, path, kind = "") => {
      buttons.push(button(t(`job.${name}`), (event) => this.act(event.target, method, path), { class: kind, "data-testid": name }));
      lines.push(curl.acting(method, path));
    };
    if (job.links?.cancel) add("cancel", "POST", `jobs/${this.id}/cancel`);
    if (job.links?.retry) add(ENDED.has(job.state) ? "retry" : "try_now", "POST", `jobs/${this.id}/retry`, job.problem?.retryable === false ? "" : "primary");
    if (ENDED.has(job.state)) add("delete", "DELETE", `jobs/${this.id}`, "danger");
    this.actions.replaceChildren(...buttons);
    this.lines.lastChild.replaceChildren(...lines.map(command));
    if (isFocused) $("detail").focus({ preventScroll: true });
  }

  async act(pressed, method, path) {
    if (method === "DELETE" && !await confirmed(t("job.delete_question", { name: titleOf(this.job) }), t("job.delete"))) return;
    pressed.disabled = true;
    try {
      const job = await call(method, path);
      if (job === null) { letGo(this.id); hooks.gone(); return; }
      hooks.open(this.id);
    } catch (error) {
      pressed.disabled = false;
      this.fail(error, false);
    }
  }

  showReview(job) {
    const held = heldFor(this.id);
    if (!held || !ENDED.has(job.state) || this.reviewed === job.state) return;
    this.reviewed = job.state;
    this.review.replaceChildren(review(job, held, (pushed) => hooks.open(pushed)));
  }

  showImages(job) {
    const isReviewed = this.review.childElementCount > 0 && isLook(job);
    this.imagesTitle.hidden = this.images.hidden = !job.images.length || isReviewed;
    if (isReviewed) return;
    const total = Math.max(job.progress.images_total, job.images.length);
    this.imagesTitle.textContent = t("images.count", { n: total });
    // Failed images first, so that they are found among many.
    const order = job.images.map((image, index) => [image, index]).sort((a, b) => (b[0].problem ? 1 : 0) - (a[0].problem ? 1 : 0));
    for (const [image, index] of order.slice(0, SHOWN_IMAGES)) this.showImage(image, index);
    if (total > SHOWN_IMAGES && !this.more) {
      this.more = h("p", { class: "hint" }, t("job.more_images", { n: total - SHOWN_IMAGES, request: `GET jobs/${this.id}/images` }));
      this.images.append(this.more);
    }
  }

  // The blobs that are being sent, with a bar each.
  showBlobs(job) {
    const present = new Map(job.blobs_under_way.map((blob) => [`${blob.repository}@${blob.digest}`, blob]));
    for (const [key, line] of this.sent) if (!present.has(key)) { line.element.remove(); this.sent.delete(key); }
    for (const [key, blob] of present) {
      if (!this.sent.has(key)) {
        const line = { bar: bar(t("job.blob", { digest: short(blob.digest) })), numbers: h("p", { class: "numbers to" }) };
        line.element = h("div", { class: "blob" }, line.numbers, line.bar.element);
        this.sent.set(key, line);
        this.blobs.append(line.element);
      }
      const { bar: its, numbers } = this.sent.get(key);
      its.set(blob.bytes_total ? (100 * blob.bytes_done) / blob.bytes_total : 0);
      numbers.textContent = `${blob.repository}  ·  ${short(blob.digest)}  ·  ${t("of", { done: bytes(blob.bytes_done), total: bytes(blob.bytes_total) })}`;
    }
    this.blobs.hidden = !present.size;
  }

  showImage(image, index) {
    const key = JSON.stringify(image);
    const before = this.kept.get(index);
    if (before && before.key === key) return;
    const element = imageElement(image, this.job);
    if (image.problem) { before?.element.remove(); this.images.prepend(element); }
    else if (before) before.element.replaceWith(element);
    else this.images.append(element);
    this.kept.set(index, { key, element });
  }

  tick() {
    const idle = (performance.now() - this.moved) / 1000;
    const isActive = this.job && (this.job.state === "receiving" || this.job.state === "running") && !this.job.waiting_for;
    this.stall.hidden = !(isActive && idle >= STALLED_SECONDS && $("connection").hidden);
    if (this.stall.hidden) return;
    const isReceived = this.job.state === "receiving";
    const time = duration(Math.floor(idle / 5) * 5);
    const advised = isReceived && !isSent(this.id) ? ` ${t("job.resume")}` : "";
    this.stall.textContent = t(isReceived ? "job.stalled_upload" : "job.stalled_push", { time }) + advised;
  }

  fail(error, isOver = true) {
    if (isOver && error instanceof ProblemError && error.problem.code === "not_found") { hooks.gone(); return; }
    this.notes.replaceChildren(problemNote(problemIn(error)));
    this.notesKey = "";
  }
}

// One of the two parts of a job's progress.
class Part {
  constructor(name) {
    this.label = t(`part.${name}`);
    this.bar = bar(this.label);
    this.numbers = h("span", { class: "numbers" });
    this.element = h("div", { class: "part" }, this.bar.element, this.numbers);
  }

  set(percent, kind) {
    this.bar.set(percent, kind);
    this.numbers.textContent = `${this.label} ${Math.floor(percent)} %`;
  }
}

function imageElement(image, job) {
  const [word, kind] = labelOf(image.state);
  const facts = [image.platforms.slice(0, 6).join(", "), image.platforms.length > 6 ? t("more", { n: image.platforms.length - 6 }) : ""];
  const isThere = image.state === "pushed" || image.state === "already_present";
  const places = image.destinations.length ? image.destinations : image.names;
  return h("div", { class: "image" },
    h("div", { class: "line" }, h("span", { class: "name to", "data-testid": "place" }, places[0] || t("image.unnamed")), h("span", { class: `chip ${kind}` }, word)),
    ...places.slice(1, 20).map((place) => h("p", { class: "numbers to", "data-testid": "place" }, place)),
    facts[0] && h("p", { class: "numbers" }, facts.filter(Boolean).join("  ·  ")),
    image.digest && h("p", { class: "mono to" }, image.digest),
    image.problem && image.problem.detail !== job.problem?.detail && h("p", { class: "problem" }, told(image.problem)),
    isThere && image.destinations.length && copies(image.destinations[0], image.digest, job.registry));
}

// What can be copied of an image at a registry: its name, its name by digest, its digest, and lines that pull it.
export function copies(place, digest, registry) {
  const lines = h("div", {});
  const repository = place.replace(/:[^:/]+$/, "");
  return h("div", { class: "row" },
    copyButton(place, t("copy.name")),
    digest && copyButton(`${repository}@${digest}`, t("copy.by_digest")),
    digest && copyButton(digest, t("copy.digest")),
    h("details", { class: "pull", "data-testid": "pull", ontoggle: () => lines.replaceChildren(...pulls(place, registry).map(command)) }, h("summary", {}, t("copy.pull")), lines));
}

function problemNote(problem, isMended = false) {
  const what = isMended && has(`decision.${problem.code}`) ? t(`decision.${problem.code}`) : advice(problem);
  const detail = problem.code !== "unauthorized" && problem.detail; // its detail is about HTTP headers
  return h("div", { class: "note bad", role: "alert" }, h("h3", {}, problem.title), detail && h("p", {}, detail), what && h("p", {}, what));
}

const waitingNote = (waiting) => h("div", { class: "note warn", role: "status" },
  h("h3", {}, t("job.waiting_registry", { name: waiting.registry })),
  h("p", {}, t("job.waiting_text", { time: when(waiting.since), n: waiting.attempts, error: waiting.last_error })),
  waiting.next_at && h("p", {}, t("job.next_attempt", { time: exactly(waiting.next_at) })));

const took = (job) => {
  const seconds = (new Date(job.finished_at) - new Date(job.started_at)) / 1000;
  return seconds < 1 ? "< 1 s" : duration(seconds);
};
