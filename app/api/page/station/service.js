// The API. The token is kept in this tab alone.

import { t } from "./texts.js";

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
    return { code: "internal", title: t("service.no_answer"), status: response.status, detail: t("service.status", { status: response.status }), retryable: true };
  }
}

// What to show of an error, whether the service answered or not.
export const problemIn = (error) => (error instanceof ProblemError ? error.problem
  : { code: "unreachable", title: t("service.unreachable"), detail: "", retryable: true });

export async function call(method, path, body) {
  const headers = authorization();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  if (!response.ok) throw new ProblemError(await problemOf(response));
  return response.status === 204 ? null : response.json();
}

// Save what the service returns. A link would not send the token.
export async function download(path, name) {
  const response = await fetch(path, { headers: authorization(), cache: "no-store" });
  if (!response.ok) throw new ProblemError(await problemOf(response));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export async function* streamOf(path, headers, signal) {
  const response = await fetch(path, { headers: { ...authorization(), ...headers }, signal, cache: "no-store" });
  if (!response.ok) throw new ProblemError(await problemOf(response));
  yield* eventsOf(response.body);
}

// Server-sent events over fetch, because EventSource cannot send a token. Reconnects until the job has ended or `signal` aborts.
export async function watch(id, show, signal) {
  let last = null;
  let job = null;
  while (!signal.aborted) {
    try {
      for await (const event of streamOf(`jobs/${id}/events`, last === null ? {} : { "Last-Event-ID": last }, signal)) {
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

// A service that restarts, or a proxy without its service.
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
