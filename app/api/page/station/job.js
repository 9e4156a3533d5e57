// One job: how far it is, what is in it, what went wrong and what to do about it.

import { $, bar, command, h } from "./dom.js";
import * as curl from "./curl.js";
import { review } from "./review.js";
import { ProblemError, call, watch } from "./service.js";
import { isSent } from "./uploads.js";
import { heldFor, letGo } from "./held.js";
import { pulls } from "./registries.js";
import { ENDED, STATES, advice, bytes, duration, exactly, isLook, outcomes, short, stateOf, titleOf, told as words, when } from "./words.js";

const SHOWN_IMAGES = 500;
const STALLED_SECONDS = 10;

let watching = null;
let shown = null;
let changed = () => {};
let open_ = () => {};
let gone = () => {};

export function start(hooks) {
  changed = hooks.changed;
  open_ = hooks.open;
  gone = hooks.gone;
}

export async function open(id) {
  close();
  const stop = new AbortController();
  watching = stop;
  const view = new View(id);
  shown = view;
  const clock = setInterval(() => view.tick(), 1000);
  stop.signal.addEventListener("abort", () => clearInterval(clock));
  try {
    await watch(id, (job) => { if (!stop.signal.aborted) { view.show(job); changed(job); } }, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) view.fail(error);
  }
  clearInterval(clock);
  view.isOver = true;
}

// Somebody else has tried it again, and it goes on.
export function seen(job) {
  if (shown && shown.id === job.id && shown.isOver && shown.job && !ENDED.has(job.state)) open(job.id);
}

export function close() {
  if (watching) watching.abort();
  watching = shown = null;
  $("detail-title").textContent = "Job";
  $("detail-body").replaceChildren(h("p", { class: "empty" }, "Choose a job to see its images."));
}

class View {
  constructor(id) {
    this.id = id;
    this.moved = performance.now();
    this.bar = bar("Progress of the job");
    this.chip = h("span", { class: "chip" });
    this.since = h("span", { class: "numbers" });
    this.facts = h("dl", { class: "facts" });
    this.stall = h("p", { class: "hint", role: "status", hidden: true });
    this.notes = h("div", { class: "stack" });
    this.review = h("div", {});
    this.actions = h("div", { class: "row" });
    this.imagesTitle = h("h3", { hidden: true }, "Images");
    this.images = h("div", { class: "images", hidden: true });
    this.blobs = h("div", { class: "blobs", hidden: true });
    this.sent = new Map();
    this.lines = h("details", { class: "curl" }, h("summary", {}, "This job with curl"), h("div", {}));
    this.kept = new Map();
    $("detail-body").replaceChildren(h("div", { class: "stack" },
      h("div", { class: "line" }, h("span", { class: "row" }, this.chip, this.since), this.actions),
      this.bar.element, this.facts, this.stall, this.notes, this.review, this.blobs, this.imagesTitle, this.images, this.lines));
  }

  show(job) {
    const [word, kind] = stateOf(job);
    const position = `${job.state}${job.progress.bytes_received}/${job.progress.bytes_done}/${job.progress.images_done}`;
    if (position !== this.position) { this.moved = performance.now(); this.position = position; }
    this.job = job;
    $("detail-title").textContent = titleOf(job);
    this.chip.textContent = word;
    this.chip.className = `chip ${kind}`;
    this.since.textContent = `${when(job.created_at)}${job.attempt > 1 ? `, attempt ${job.attempt}` : ""}`;
    this.bar.set(job.progress.percent, { succeeded: "good", failed: "bad", cancelled: "calm" }[job.state] || "");
    this.showFacts(job);
    this.showNotes(job);
    this.showActions(job);
    this.showReview(job);
    this.showBlobs(job);
    this.showImages(job);
    this.tick();
  }

  showFacts(job) {
    const p = job.progress;
    const size = job.archives.reduce((sum, archive) => sum + archive.size, 0);
    const isReceived = job.state === "receiving";
    const facts = [[isReceived ? "Whole job" : "Progress", `${p.percent} %`]];
    if (isReceived) facts.push(["Received", bytes(p.bytes_received)], ["Of", p.bytes_expected ? bytes(p.bytes_expected) : "unknown"]);
    else {
      facts.push(["Archive", bytes(size)], ["Format", job.archives[0]?.format || (ENDED.has(job.state) ? "unknown" : "being read")], ["Registry", job.registry]);
      if (outcomes(p)) facts.push(["Images", outcomes(p)]);
      if (p.blobs_total && !isLook(job)) facts.push(["Blobs", `${p.blobs_done} of ${p.blobs_total}`], ["Not sent again", `${p.blobs_reused}`], ["Sent", bytes(p.bytes_sent)]);
      if (job.state === "running" && p.bytes_per_second) facts.push(["Rate", `${bytes(p.bytes_per_second)}/s`]);
      if (job.state === "running" && p.eta_seconds !== null) facts.push(["Left", duration(p.eta_seconds)]);
      if (job.started_at && job.finished_at) facts.push(["Took", took(job)]);
    }
    this.facts.replaceChildren(...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  showNotes(job) {
    const notes = [];
    if (job.problem) notes.push(problemNote(job.problem, Boolean(heldFor(this.id))));
    if (job.archives.length > 1) notes.push(...job.archives.filter((archive) => archive.problem).map(({ name, problem }) => problemNote({ ...problem, title: `${name}: ${problem.title}` })));
    if (job.waiting_for && !job.problem) notes.push(waitingNote(job.waiting_for));
    if (job.next_attempt_at) notes.push(h("div", { class: "note warn" }, h("p", {}, `It is tried again at ${exactly(job.next_attempt_at)}.`)));
    if (job.notices.length) notes.push(h("div", { class: "note calm" }, ...job.notices.map((text) => h("p", {}, text))));
    const key = JSON.stringify([job.problem, job.archives.map((archive) => archive.problem), job.notices, job.next_attempt_at, job.waiting_for]);
    if (key !== this.notesKey) { this.notesKey = key; this.notes.replaceChildren(...notes); }
  }

  showActions(job) {
    const key = `${job.state} ${Boolean(job.next_attempt_at)}`;
    if (key === this.actionsKey) return;
    this.actionsKey = key;
    // Who was on a button that goes must not begin at the top of the page again.
    const held = this.actions.contains(document.activeElement) || this.lines.lastChild.contains(document.activeElement);
    const ended = ENDED.has(job.state);
    const lines = [curl.acting("GET", `jobs/${this.id}`), curl.watching(this.id)];
    const buttons = [];
    const add = (label, method, path, primary) => {
      buttons.push(h("button", { type: "button", class: primary ? "primary" : "", onclick: (event) => this.act(event.target, method, path) }, label));
      lines.push(curl.acting(method, path));
    };
    if (!ended) add("Cancel", "POST", `jobs/${this.id}/cancel`);
    if (!ended && job.next_attempt_at) add("Try now", "POST", `jobs/${this.id}/retry`);
    if (canBeTriedAgain(job)) add("Retry", "POST", `jobs/${this.id}/retry`, !job.problem || job.problem.retryable);
    if (ended) add("Delete job", "DELETE", `jobs/${this.id}`);
    this.actions.replaceChildren(...buttons);
    this.lines.lastChild.replaceChildren(...lines.map(command));
    if (held) $("detail").focus({ preventScroll: true });
  }

  async act(button, method, path) {
    button.disabled = true;
    try {
      const job = await call(method, path);
      if (job === null) { letGo(this.id); open_(null); return; }
      open_(this.id);
    } catch (error) {
      button.disabled = false;
      this.fail(error, false);
    }
  }

  showReview(job) {
    const held = heldFor(this.id);
    if (!held || !ENDED.has(job.state) || this.reviewed === job.state) return;
    this.reviewed = job.state;
    this.review.replaceChildren(review(job, held, (pushed) => open_(pushed)));
  }

  showImages(job) {
    const reviewing = this.review.childElementCount > 0 && isLook(job);
    this.imagesTitle.hidden = this.images.hidden = !job.images.length || reviewing;
    if (reviewing) return;
    const total = Math.max(job.progress.images_total, job.images.length);
    this.imagesTitle.textContent = total === 1 ? "Image" : `${total} images`;
    // What failed first: among three hundred that landed it would not be found.
    const order = job.images.map((image, index) => [image, index]).sort((a, b) => (b[0].problem ? 1 : 0) - (a[0].problem ? 1 : 0));
    for (const [image, index] of order.slice(0, SHOWN_IMAGES)) this.showImage(image, index);
    if (total > SHOWN_IMAGES && !this.more) {
      this.more = h("p", { class: "hint" }, `${total - SHOWN_IMAGES} more: GET jobs/${this.id}/images lists all.`);
      this.images.append(this.more);
    }
  }

  // What is on its way this moment: a bar each, kept while it grows.
  showBlobs(job) {
    const present = new Map(job.blobs_under_way.map((blob) => [`${blob.repository}@${blob.digest}`, blob]));
    for (const [key, line] of this.sent) if (!present.has(key)) { line.element.remove(); this.sent.delete(key); }
    for (const [key, blob] of present) {
      if (!this.sent.has(key)) {
        const line = { bar: bar(`Progress of ${short(blob.digest)}`), numbers: h("p", { class: "numbers to" }) };
        line.element = h("div", { class: "blob" }, line.numbers, line.bar.element);
        this.sent.set(key, line);
        this.blobs.append(line.element);
      }
      const { bar: its, numbers } = this.sent.get(key);
      its.set(blob.bytes_total ? (100 * blob.bytes_done) / blob.bytes_total : 0);
      numbers.textContent = `${blob.repository}  ·  ${short(blob.digest)}  ·  ${bytes(blob.bytes_done)} of ${bytes(blob.bytes_total)}`;
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
    const active = this.job && (this.job.state === "receiving" || this.job.state === "running");
    // That the service is away is told above, and says nothing of the sender.
    this.stall.hidden = !(active && idle >= STALLED_SECONDS && $("connection").hidden);
    if (!this.stall.hidden) {
      const isReceived = this.job.state === "receiving";
      const whom = isReceived ? "No byte has come from the sender" : "The registry has taken nothing";
      const advised = isReceived && !isSent(this.id) ? " Where a page was closed, choose the same file with the same options: it goes on where it stopped." : "";
      this.stall.textContent = `${whom} for ${duration(Math.floor(idle / 5) * 5)}.${advised}`;
    }
  }

  fail(error, over = true) {
    const problem = error instanceof ProblemError ? error.problem : { code: "internal", title: "The service cannot be reached", detail: "" };
    if (over && problem.code === "not_found") { gone(); return; }
    this.notes.replaceChildren(problemNote(problem));
    this.notesKey = "";
  }
}

function imageElement(image, job) {
  const [word, kind] = STATES[image.state] || [image.state, ""];
  const facts = [image.platforms.slice(0, 6).join(", "), image.platforms.length > 6 ? `and ${image.platforms.length - 6} more` : "", short(image.digest)];
  const landed = image.state === "pushed" || image.state === "already_present";
  const places = image.destinations.length ? image.destinations : image.names;
  return h("div", { class: "image" },
    h("div", { class: "line" }, h("span", { class: "name to" }, places[0] || "without a name"), h("span", { class: `chip ${kind}` }, word)),
    ...places.slice(1, 20).map((place) => h("p", { class: "numbers to" }, place)),
    h("p", { class: "numbers" }, facts.filter(Boolean).join("  ·  ")),
    image.problem && image.problem.detail !== job.problem?.detail && h("p", { class: "problem" }, words(image.problem)),
    landed && image.destinations.length && pullIt(image.destinations[0], job.registry));
}

// Only when it is opened: by then it is known how the registry is spoken to.
function pullIt(place, registry) {
  const lines = h("div", {});
  return h("details", { ontoggle: () => lines.replaceChildren(...pulls(place, registry).map(command)) }, h("summary", {}, "Pull it"), lines);
}

// Where the archive is held, the place for a name stands below.
function problemNote(problem, isHeld = false) {
  const what = isHeld && problem.code === "missing_tag" ? "" : advice(problem);
  const detail = problem.code !== "unauthorized" && problem.detail; // that one is for those who send a header
  return h("div", { class: "note bad", role: "alert" }, h("h3", {}, problem.title), detail && h("p", {}, detail), what && h("p", {}, what));
}

const waitingNote = (waiting) => h("div", { class: "note warn", role: "status" },
  h("h3", {}, `The registry ${waiting.registry} does not answer`),
  h("p", {}, `Since ${exactly(waiting.since)}, ${waiting.attempts} ${waiting.attempts === 1 ? "request has" : "requests have"} failed. The latest: ${waiting.last_error}`));

const took = (job) => {
  const seconds = (new Date(job.finished_at) - new Date(job.started_at)) / 1000;
  return seconds < 1 ? "less than 1 s" : duration(seconds);
};

// Where content of an archive is damaged the archive is not kept, of a job that never ran there is none, and a name that is
// missing does not come by waiting.
function canBeTriedAgain(job) {
  if (job.state === "cancelled") return Boolean(job.archives[0]?.format);
  const codes = [job, ...job.images].flatMap((each) => each.problem?.code ?? []);
  return job.state === "failed" && Boolean(job.started_at) && codes.some((code) => !["digest_mismatch", "missing_tag"].includes(code));
}
