// Files on their way to the service. Each goes on where it stopped: after a lost connection by itself, after the page
// was closed when the same file is chosen once more.

import { $, announce, bar, h } from "./dom.js";
import { hold } from "./held.js";
import { authorization, origin } from "./service.js";
import { ENDED, bytes, duration, told, visible } from "./words.js";

const AT_ONCE = 2; // more would share one line, and end no sooner
// For as long as the service keeps what has come, a day: whoever restarts it in the morning finds the upload going on.
const DELAYS = [0, 500, 1000, 2000, ...Array(24 * 720).fill(5000)];
const STALLED_SECONDS = 10;
const TOLD_EVERY = 250;

const waiting = [];
const sending = new Set();
// The same file chosen in another window is the same upload: it goes on there, for two that take turns at it bring it no
// further. A browser that sends does not hear it from the service.
const windows = new BroadcastChannel("tarmac-uploads");
let running = 0;
let opened = () => {};

// Called with the job that somebody who has just sent something waits for; with null where only the list has changed.
export function onJob(callback) { opened = callback; }

// A browser sends a request to its end before it looks at the answer. Where the job has ended, nothing more is sent.
export function jobSeen(job) {
  if (!ENDED.has(job.state)) return;
  for (const each of sending) if (each.job === job.id) each.leave();
}

export const isSent = (job) => [...sending].some((each) => each.job === job);

// Closing the page would stop them.
export const underWay = () => sending.size + waiting.length > 0;

// How many of them are on their way already.
export function send(files, options, look) {
  const idle = running < AT_ONCE;
  const before = new Set([...sending, ...waiting].map((each) => each.print));
  const made = files.map((file) => new Sending(file, options, look)).filter((each) => !before.has(each.print));
  // Two of one folder that look the same are two files.
  made.forEach((each, index) => { if (made.findIndex((other) => other.print === each.print) < index) each.print += `|${index}`; });
  if (made.length && idle) made[0].isOpened = true;
  for (const each of made) { $("uploads").append(each.element); waiting.push(each); }
  tidy();
  next();
  if (made.length) announce(made.length === 1 ? `${made[0].name} is being sent` : `${made.length} files are being sent`);
  return files.length - made.length;
}

windows.addEventListener("message", ({ data }) => { for (const each of sending) if (each.print === data) each.yields(); });

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting.shift().start();
  }
}

function tidy() {
  $("uploads").hidden = !$("uploads").children.length;
}

class Sending {
  constructor(file, options, look) {
    this.file = file;
    this.name = visible(file.name);
    this.options = options;
    this.metadata = { filename: file.name, ...options, ...(look ? { hold: "true", dry_run: "true" } : {}) };
    // The same file with other options is another upload.
    this.print = ["tarmac", file.name, file.size, file.lastModified, JSON.stringify(this.metadata)].join("|");
    this.look = look;
    this.marks = [];
    this.bar = bar(`Upload of ${this.name}`);
    this.numbers = h("span", { class: "numbers" });
    this.pause = h("button", { type: "button", class: "small", hidden: true, onclick: () => this.toggle() }, "Pause");
    this.cancel = h("button", { type: "button", class: "small", onclick: () => this.stop(), "aria-label": `Cancel the upload of ${this.name}` }, "Cancel");
    this.buttons = h("span", { class: "row" });
    this.element = h("div", { class: "upload" },
      h("div", { class: "line" }, h("span", { class: "name", title: this.name }, this.name), this.buttons),
      this.bar.element, this.numbers);
    this.wait();
  }

  wait() {
    this.bar.set(0);
    this.numbers.textContent = "waits for its turn";
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
    this.clock = setInterval(() => this.look_at_the_clock(), 1000);
  }

  go() {
    windows.postMessage(this.print);
    this.upload.start();
  }

  // tus-js-client begins anew where its upload is gone. Whoever cancelled the job did not ask for that.
  asks(request) {
    if (request.getMethod() !== "POST" || !this.job) return;
    this.gone = true;
    throw new Error("the upload was ended at the service");
  }

  heard(response) {
    const job = response.getHeader("Tarmac-Job");
    if (!job || this.job) return;
    this.job = job.split("/").pop();
    if (this.look) hold(this.job, (this.upload.url || response.getHeader("Location")).split("/").pop(), this.options);
    opened(this.isOpened ? this.job : null);
  }

  progress(sent, total) {
    const now = performance.now();
    if (this.marks.length && now - this.marks.at(-1)[0] < TOLD_EVERY && sent < total) return;
    this.lost = false;
    this.marks.push([now, sent]);
    while (this.marks.length > 2 && now - this.marks[0][0] > 5000) this.marks.shift();
    const [since, before] = this.marks[0];
    const rate = now > since ? ((sent - before) * 1000) / (now - since) : 0;
    this.bar.set(total ? (100 * sent) / total : 0);
    const left = rate > 0 ? `, ${bytes(rate)}/s, ${duration((total - sent) / rate)} left` : "";
    this.numbers.textContent = `${bytes(sent)} of ${bytes(total)}${left}`;
  }

  look_at_the_clock() {
    const last = this.marks.at(-1);
    if (!last || this.paused || this.lost || performance.now() - last[0] < STALLED_SECONDS * 1000) return;
    this.bar.set((100 * last[1]) / this.file.size, "warn");
    this.numbers.textContent = `no progress for ${duration((performance.now() - last[0]) / 1000)}; ${bytes(last[1])} of ${bytes(this.file.size)} sent`;
  }

  retries(error) {
    if (this.gone) return false;
    const status = error.originalResponse ? error.originalResponse.getStatus() : 0;
    const again = status === 0 || status === 409 || status === 423 || (status >= 500 && status !== 507);
    this.lost = again;
    if (again) this.numbers.textContent = "The connection is lost. It goes on by itself.";
    return again;
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.textContent = this.paused ? "Go on" : "Pause";
    this.marks = [];
    if (this.paused) {
      this.upload.abort();
      this.numbers.textContent = "paused";
    } else {
      this.numbers.textContent = "goes on";
      this.go();
    }
  }

  yields() {
    if (this.paused) return;
    this.upload.abort();
    this.paused = true;
    this.pause.textContent = "Go on";
    this.marks = [];
    this.numbers.textContent = "It goes on in another window. To send it from here instead, press Go on.";
  }

  leave() {
    this.gone = true;
    this.upload.abort();
    this.over();
    this.remove();
  }

  // It leaves the page at once: a service that is away hears of it when it is back.
  async stop() {
    this.stopped = true;
    const begun = sending.has(this);
    if (!begun) waiting.splice(waiting.indexOf(this), 1);
    this.over();
    this.remove();
    if (!begun) return;
    try { await this.upload.abort(true); } catch { /* it is gone, or goes by its age */ }
    opened(null);
  }

  // Whoever was on one of its buttons goes on from the next upload, or from where files are chosen.
  remove() {
    const next = this.element.nextElementSibling || this.element.previousElementSibling;
    const held = this.element.contains(document.activeElement);
    this.element.remove();
    tidy();
    if (held) (next ? next.querySelector("button:last-of-type") : $("pick-files")).focus();
  }

  failed(error) {
    this.over();
    let problem = { code: "upload_incomplete", detail: "The service cannot be reached." };
    try { problem = JSON.parse(error.originalResponse.getBody()); } catch { /* no answer, or none of ours */ }
    opened(null);
    const hasFailed = this.job && error.originalResponse?.getStatus() === 422;
    if (this.gone || problem.job || hasFailed) { this.remove(); return; } // the job tells what has become of it
    this.bar.set(100, "bad");
    this.numbers.textContent = told(problem);
    this.buttons.replaceChildren(
      h("button", { type: "button", class: "small", onclick: () => this.again() }, "Try again"),
      h("button", { type: "button", class: "small", onclick: () => this.remove() }, "Dismiss"));
    announce(`${this.name} was not taken: ${problem.detail}`);
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
    this.over();
    this.remove();
    announce(`${this.name} is here`);
    opened(null);
  }

  over() {
    if (!sending.delete(this)) return;
    clearInterval(this.clock);
    running -= 1;
    next();
  }
}
