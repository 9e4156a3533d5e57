// Files on their way to the service. Each goes on where it stopped: after a lost connection by itself, after the page
// was closed when the same file is chosen once more.

import { $, announce, bar, h } from "./dom.js";
import { authorization, origin } from "./service.js";
import { ENDED, bytes, duration, told } from "./words.js";

const AT_ONCE = 2; // more would share one line, and end no sooner
const DELAYS = [0, 500, 1000, 2000, 4000, 8000, 15000, 15000, 30000, 30000, 60000, 60000];
const STALLED_SECONDS = 10;
const HELD = "tarmac-held";

const waiting = [];
const sending = new Set();
let running = 0;
let opened = () => {};

export function onJob(callback) { opened = callback; }

// A browser sends a request to its end before it looks at the answer. Where the job has ended, nothing more is sent.
export function jobSeen(job) {
  if (!ENDED.has(job.state)) return;
  for (const each of sending) if (each.job === job.id) each.leave();
}

// Job -> the upload that is held for it, while this tab is open.
export function heldFor(job) {
  try { return (JSON.parse(sessionStorage.getItem(HELD)) || {})[job] || null; } catch { return null; }
}

export function hold(job, upload) {
  const known = JSON.parse(sessionStorage.getItem(HELD) || "{}");
  sessionStorage.setItem(HELD, JSON.stringify({ ...known, [job]: upload }));
}

export function send(files, options, look) {
  $("uploads").hidden = false;
  for (const file of files) waiting.push(new Sending(file, options, look));
  announce(files.length === 1 ? `${files[0].name} is being sent` : `${files.length} files are being sent`);
  next();
}

function next() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    waiting.shift().start();
  }
}

class Sending {
  constructor(file, options, look) {
    this.file = file;
    this.metadata = { filename: file.name, ...options, ...(look ? { hold: "true", dry_run: "true" } : {}) };
    this.look = look;
    this.marks = [];
    this.bar = bar(`Upload of ${file.name}`);
    this.numbers = h("span", { class: "numbers" }, "waits for its turn");
    this.pause = h("button", { type: "button", class: "small", onclick: () => this.toggle() }, "Pause");
    this.cancel = h("button", { type: "button", class: "small", onclick: () => this.stop(), "aria-label": `Cancel the upload of ${file.name}` }, "Cancel");
    this.buttons = h("span", { class: "row" }, this.pause, this.cancel);
    this.element = h("div", { class: "upload" },
      h("div", { class: "line" }, h("span", { class: "name", title: file.name }, file.name), this.buttons),
      this.bar.element, this.numbers);
    this.bar.set(0);
    $("uploads").append(this.element);
  }

  async start() {
    sending.add(this);
    this.upload = new window.tus.Upload(this.file, {
      endpoint: new URL("uploads", origin()).href,
      headers: authorization(),
      metadata: this.metadata,
      retryDelays: DELAYS,
      removeFingerprintOnSuccess: true,
      // The same file with other options is another upload.
      fingerprint: async (file) => ["tarmac", file.name, file.size, file.lastModified, JSON.stringify(this.metadata)].join("|"),
      onBeforeRequest: (request) => this.asks(request),
      onAfterResponse: (request, response) => this.heard(response),
      onProgress: (sent, total) => this.progress(sent, total),
      onShouldRetry: (error) => this.retries(error),
      onError: (error) => this.failed(error),
      onSuccess: () => this.succeeded(),
    });
    const earlier = await this.upload.findPreviousUploads();
    if (earlier.length) this.upload.resumeFromPreviousUpload(earlier[0]);
    this.upload.start();
    this.clock = setInterval(() => this.look_at_the_clock(), 1000);
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
    if (this.look) hold(this.job, (this.upload.url || response.getHeader("Location")).split("/").pop());
    opened(this.job);
  }

  progress(sent, total) {
    const now = performance.now();
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
    if (!last || this.paused || performance.now() - last[0] < STALLED_SECONDS * 1000) return;
    this.bar.set((100 * last[1]) / this.file.size, "warn");
    this.numbers.textContent = `no progress for ${duration((performance.now() - last[0]) / 1000)}; ${bytes(last[1])} of ${bytes(this.file.size)} sent`;
  }

  retries(error) {
    if (this.gone) return false;
    const status = error.originalResponse ? error.originalResponse.getStatus() : 0;
    const again = status === 0 || status === 409 || status === 423 || status >= 500;
    if (again && status !== 507) this.numbers.textContent = "The connection is lost. It goes on by itself.";
    return again && status !== 507;
  }

  toggle() {
    this.paused = !this.paused;
    this.pause.textContent = this.paused ? "Go on" : "Pause";
    if (this.paused) {
      this.upload.abort();
      this.numbers.textContent = "paused";
    } else {
      this.marks = [];
      this.upload.start();
    }
  }

  leave() {
    this.gone = true;
    this.upload.abort();
    this.over();
    this.element.remove();
    $("uploads").hidden = !$("uploads").children.length;
  }

  async stop() {
    if (this.upload) {
      try { await this.upload.abort(true); } catch { /* it is gone, or goes by its age */ }
      this.over();
    } else {
      waiting.splice(waiting.indexOf(this), 1);
    }
    this.element.remove();
    $("uploads").hidden = !$("uploads").children.length;
  }

  failed(error) {
    this.over();
    let problem = { code: "upload_incomplete", detail: "The service cannot be reached." };
    try { problem = JSON.parse(error.originalResponse.getBody()); } catch { /* no answer, or none of ours */ }
    if (this.gone || problem.job) { // the job tells what has become of it
      this.element.remove();
      $("uploads").hidden = !$("uploads").children.length;
      opened(problem.job ? problem.job.id : this.job);
      return;
    }
    this.bar.set(100, "bad");
    this.numbers.textContent = told(problem);
    this.buttons.replaceChildren(h("button", { type: "button", class: "small", onclick: () => this.element.remove() }, "Dismiss"));
    announce(`${this.file.name} was not taken: ${problem.detail}`);
    opened(this.job);
  }

  succeeded() {
    this.over();
    this.element.remove();
    $("uploads").hidden = !$("uploads").children.length;
    announce(`${this.file.name} is here`);
    opened(this.job);
  }

  over() {
    if (!sending.delete(this)) return;
    clearInterval(this.clock);
    running -= 1;
    next();
  }
}
