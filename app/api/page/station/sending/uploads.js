// Files that are being uploaded. An upload resumes by itself after a lost connection; after the page was closed, if the same
// file is chosen again.

import { $, announce, bar, button, h } from "../dom.js";
import { hold } from "./held.js";
import { authorization, origin } from "../service.js";
import { t } from "../texts.js";
import { ENDED, bytes, duration, told, visible } from "../words.js";

const AT_ONCE = 2; // more would share one line, and end no sooner
// For a day, as long as the service keeps an upload.
const DELAYS = [0, 500, 1000, 2000, ...Array(24 * 720).fill(5000)];
const STALLED_SECONDS = 10;
const TOLD_EVERY = 250;

const waiting = [];
const sending = new Set();
// The same file chosen in another window is the same upload, and continues there. A browser that is sending does not read
// the refusal of the service.
const windows = new BroadcastChannel("tarmac-uploads");
let running = 0;
let batch = []; // all since the last time that nothing was under way
let opened = () => {};
let moved = () => {};
const total = bar(t("uploads.total"));
const totalNumbers = h("p", { class: "numbers" });

// `onOpened` is called with the job of a single upload, to show it; `onMoved` with the progress of all, or null.
export function start(onOpened, onMoved) {
  opened = onOpened;
  moved = onMoved;
  $("uploads-total").replaceChildren(total.element, totalNumbers);
  $("uploads-actions").replaceChildren(button(t("uploads.cancel_all"), () => cancel(() => true), { "data-testid": "cancel-uploads" }));
}

// Cancel the uploads of a delivery, or all.
export function cancel(isWanted) {
  for (const upload of [...waiting, ...sending]) if (isWanted(upload)) upload.stop();
}

// A browser sends a request to its end before it reads the answer. If the job has ended, the rest is not sent.
export function jobSeen(job) {
  if (!ENDED.has(job.state)) return;
  for (const upload of sending) if (upload.job === job.id) upload.leave();
}

export const isSent = (job) => [...sending].some((upload) => upload.job === job);

// Closing the page would stop them.
export const underWay = () => sending.size + waiting.length > 0;

// `items` have `file`, `path` and `checksum`. Returns how many of them are being sent already.
export function send(items, options, isReviewed, delivery = null) {
  const before = new Set([...sending, ...waiting].map((upload) => upload.print));
  if (!underWay()) batch = [];
  const made = items.map((item) => new Sending(item, options, isReviewed, delivery)).filter((upload) => !before.has(upload.print));
  // Two files of one folder that look the same are two files.
  made.forEach((upload, index) => { if (made.findIndex((other) => other.print === upload.print) < index) upload.print += `|${index}`; });
  if (made.length === 1 && !delivery && !underWay()) made[0].isOpened = true;
  for (const upload of made) { $("uploads").append(upload.element); waiting.push(upload); batch.push(upload); }
  tidy();
  next();
  if (made.length) announce(made.length === 1 ? t("uploads.begun_one", { name: made[0].name }) : t("uploads.begun", { n: made.length }));
  return items.length - made.length;
}

windows.addEventListener("message", ({ data }) => { for (const upload of sending) if (upload.print === data) upload.yields(); });

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting.shift().start();
  }
}

function tidy() {
  $("sending").hidden = !$("uploads").children.length;
  showTotal();
}

function showTotal() {
  const all = batch.reduce((sum, upload) => sum + upload.file.size, 0);
  const sent = batch.reduce((sum, upload) => sum + upload.sent, 0);
  const percent = all ? (100 * sent) / all : 0;
  total.set(percent);
  totalNumbers.textContent = `${t("uploads.count", { done: batch.filter((upload) => upload.isDone).length, n: batch.length })}, ${t("of", { done: bytes(sent), total: bytes(all) })}`;
  moved(underWay() ? percent : null);
}

class Sending {
  constructor({ file, path, checksum }, options, isReviewed, delivery) {
    this.file = file;
    this.sent = 0;
    this.name = visible(file.name);
    this.options = options;
    this.delivery = delivery;
    // The same file with other options is another upload; in another delivery it is the same.
    const given = { filename: file.name, ...options, ...(checksum ? { checksum } : {}), ...(isReviewed ? { hold: "true", dry_run: "true" } : {}) };
    this.metadata = { ...given, ...(delivery ? { delivery, relativePath: path } : {}) };
    this.print = ["tarmac", file.name, file.size, file.lastModified, JSON.stringify(given)].join("|");
    this.isReviewed = isReviewed;
    this.marks = [];
    this.bar = bar(t("uploads.of", { name: this.name }));
    this.numbers = h("span", { class: "numbers" });
    this.pause = button(t("uploads.pause"), () => this.toggle(), { class: "small", hidden: true });
    this.cancel = button(t("uploads.cancel"), () => this.stop(), { class: "small", "aria-label": t("uploads.cancel_name", { name: this.name }) });
    this.buttons = h("span", { class: "row" });
    this.element = h("div", { class: "upload" },
      h("div", { class: "line" }, h("span", { class: "name", title: visible(path || file.name) }, this.name), this.buttons),
      this.bar.element, this.numbers);
    this.wait();
  }

  wait() {
    this.bar.set(0);
    this.numbers.textContent = t("uploads.waits");
    this.pause.hidden = true;
    this.buttons.replaceChildren(this.pause, this.cancel);
  }

  async start() {
    sending.add(this);
    this.pause.hidden = false;
    this.upload = new window.tus.Upload(this.file, {
      endpoint: new URL("uploads", origin()).href,
      headers: authorization(),
      metadata: this.metadata,
      retryDelays: DELAYS,
      removeFingerprintOnSuccess: true,
      fingerprint: async () => this.print,
      onBeforeRequest: (request) => this.asks(request),
      onAfterResponse: (request, response) => this.heard(response),
      onProgress: (sent, total) => this.progress(sent, total),
      onShouldRetry: (error) => this.retries(error),
      onError: (error) => this.failed(error),
      onSuccess: () => this.succeeded(),
    });
    const earlier = await this.upload.findPreviousUploads();
    if (earlier.length) this.upload.resumeFromPreviousUpload(earlier[0]);
    if (!this.paused && !this.gone && !this.stopped) this.go();
    this.clock = setInterval(() => this.tick(), 1000);
  }

  go() {
    windows.postMessage(this.print);
    this.upload.start();
  }

  // tus-js-client begins again if its upload is gone. A user who cancelled the job did not ask for that.
  asks(request) {
    if (request.getMethod() !== "POST" || !this.job) return;
    this.gone = true;
    throw new Error("the upload was ended at the service");
  }

  heard(response) {
    const job = response.getHeader("Tarmac-Job");
    if (!job || this.job) return;
    this.job = job.split("/").pop();
    if (this.isReviewed) hold(this.job, (this.upload.url || response.getHeader("Location")).split("/").pop(), this.options);
    opened(this.isOpened ? this.job : null);
  }

  progress(sent, total) {
    const now = performance.now();
    if (this.marks.length && now - this.marks.at(-1)[0] < TOLD_EVERY && sent < total) return;
    this.lost = false;
    this.sent = sent;
    showTotal();
    this.marks.push([now, sent]);
    while (this.marks.length > 2 && now - this.marks[0][0] > 5000) this.marks.shift();
    const [since, before] = this.marks[0];
    const rate = now > since ? ((sent - before) * 1000) / (now - since) : 0;
    this.bar.set(total ? (100 * sent) / total : 0);
    const left = rate > 0 ? `, ${bytes(rate)}/s, ${t("uploads.left", { time: duration((total - sent) / rate) })}` : "";
    this.numbers.textContent = t("of", { done: bytes(sent), total: bytes(total) }) + left;
  }

  tick() {
    const last = this.marks.at(-1);
    if (!last || this.paused || this.lost || performance.now() - last[0] < STALLED_SECONDS * 1000) return;
    this.bar.set((100 * last[1]) / this.file.size, "warn");
    this.numbers.textContent = t("uploads.stalled", { time: duration((performance.now() - last[0]) / 1000) });
  }

  retries(error) {
    if (this.gone) return false;
    const status = error.originalResponse ? error.originalResponse.getStatus() : 0;
    const again = status === 0 || status === 409 || status === 423 || (status >= 500 && status !== 507);
    this.lost = again;
    if (again) this.numbers.textContent = t("uploads.lost");
    return again;
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.textContent = t(this.paused ? "uploads.resume" : "uploads.pause");
    this.marks = [];
    if (this.paused) {
      this.upload.abort();
      this.numbers.textContent = t("uploads.paused");
    } else {
      this.numbers.textContent = t("uploads.resumes");
      this.go();
    }
  }

  yields() {
    if (this.paused) return;
    this.upload.abort();
    this.paused = true;
    this.pause.textContent = t("uploads.resume");
    this.marks = [];
    this.numbers.textContent = t("uploads.elsewhere");
  }

  leave() {
    this.gone = true;
    this.sent = this.file.size;
    this.isDone = true;
    this.upload.abort();
    this.over();
    this.remove();
  }

  // The row is removed at once, also if the service cannot be reached.
  async stop() {
    this.stopped = true;
    batch = batch.filter((upload) => upload !== this);
    const begun = sending.has(this);
    if (!begun) waiting.splice(waiting.indexOf(this), 1);
    this.over();
    this.remove();
    if (!begun) return;
    try { await this.upload.abort(true); } catch { /* it is deleted already, or expires */ }
    opened(null);
  }

  // The focus moves to the next upload, or to where files are chosen.
  remove() {
    const next = this.element.nextElementSibling || this.element.previousElementSibling;
    const held = this.element.contains(document.activeElement);
    this.element.remove();
    tidy();
    if (held) (next ? next.querySelector("button:last-of-type") : $("pick-files")).focus();
  }

  failed(error) {
    this.over();
    let problem = { code: "upload_incomplete", detail: t("service.unreachable") };
    try { problem = JSON.parse(error.originalResponse.getBody()); } catch { /* no answer, or one of a proxy */ }
    opened(null);
    const hasFailed = this.job && error.originalResponse?.getStatus() === 422;
    if (this.gone || problem.job || hasFailed) { this.remove(); return; } // the job shows it
    this.bar.set(100, "bad");
    this.numbers.textContent = told(problem);
    this.buttons.replaceChildren(
      h("button", { type: "button", class: "small", onclick: () => this.again() }, t("uploads.again")),
      h("button", { type: "button", class: "small", onclick: () => this.remove() }, t("uploads.dismiss")));
    announce(`${this.name}: ${problem.detail}`);
  }

  again() {
    this.job = null;
    this.marks = [];
    this.wait();
    this.cancel.focus();
    waiting.push(this);
    next();
  }

  succeeded() {
    this.isDone = true;
    this.sent = this.file.size;
    this.over();
    this.remove();
    announce(t("uploads.done", { name: this.name }));
    opened(null);
  }

  over() {
    if (!sending.delete(this)) return;
    clearInterval(this.clock);
    running -= 1;
    next();
  }
}
