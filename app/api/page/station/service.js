// The API. The token is kept in this tab alone.

const KEY = "tarmac-token";
export const origin = () => new URL(".", document.baseURI).href;

export function token() {
  try { return sessionStorage.getItem(KEY) || ""; } catch { return ""; }
}

export function setToken(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

export const authorization = () => (token() ? { Authorization: `Bearer ${token()}` } : {});

export class ProblemError extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

async function problemOf(response) {
  try { return await response.json(); } catch {
    return { code: "internal", title: "No proper answer", status: response.status, detail: `The service answered ${response.status}.`, retryable: true };
  }
}

export async function call(method, path, body) {
  const headers = authorization();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  if (!response.ok) throw new ProblemError(await problemOf(response));
  return response.status === 204 ? null : response.json();
}

// Server-sent events over fetch: EventSource cannot send a token. Comes back until the job has ended or `signal` says so.
export async function watch(id, show, signal) {
  let last = null;
  let job = null;
  while (!signal.aborted) {
    try {
      const headers = last === null ? authorization() : { ...authorization(), "Last-Event-ID": last };
      const response = await fetch(`jobs/${id}/events`, { headers, signal, cache: "no-store" });
      if (!response.ok) throw new ProblemError(await problemOf(response));
      for await (const event of eventsOf(response.body)) {
        if (event.id) last = event.id;
        const data = event.data && JSON.parse(event.data);
        if (event.name === "job") job = data;
        if (event.name === "image" && job.images[data.index]) Object.assign(job.images[data.index], data);
        if (event.name === "progress") job = { ...job, ...data };
        if (event.name === "job" || event.name === "progress") show(job);
        if (event.name === "end") return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ProblemError && !passes(error.problem)) throw error;
    }
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
  }
}

// A service that starts anew, or a proxy before one that is away.
const passes = (problem) => problem.status >= 500 || problem.status === 429;

async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) yield parse(block);
  }
}

function parse(block) {
  const event = { name: "", id: "", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event.name = line.slice(7);
    else if (line.startsWith("id: ")) event.id = line.slice(4);
    else if (line.startsWith("data: ")) event.data += line.slice(6);
  }
  return event;
}
