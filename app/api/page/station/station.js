// The page put together.

import * as curl from "./curl.js";
import { listen } from "./drop.js";
import { $, command } from "./dom.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import { forget, looksFirst, options, summary } from "./options.js";
import * as registries from "./registries.js";
import { ProblemError, setToken, token } from "./service.js";
import { jobSeen, onJob, send, underWay } from "./uploads.js";
import { told, visible } from "./words.js";

let asked = false;
let sendingLine = "";

const addressed = () => (/^#[0-9a-f]{32}$/.test(location.hash) ? location.hash.slice(1) : null);

// What somebody opens is a step that the back button takes back; what comes by itself is none.
function openJob(id, focus = false) {
  const address = id ? `#${id}` : location.pathname;
  if (focus && id && id !== addressed()) history.pushState(null, "", address); else history.replaceState(null, "", address);
  showJob(id, focus);
}

function showJob(id, focus) {
  jobs.choose(id);
  if (id) job.open(id); else job.close();
  jobs.refresh();
  if (focus) { $("detail").focus({ preventScroll: true }); $("detail").scrollIntoView({ block: "nearest" }); }
}

function tellOptions() {
  $("options-summary").textContent = summary();
  const line = curl.sending(options(), looksFirst());
  if (line === sendingLine) return; // whoever is about to copy it keeps the place
  sendingLine = line;
  $("send-curl").replaceChildren(command(line));
}

function lost(error) {
  const problem = error instanceof ProblemError ? error.problem : null;
  const isRefused = problem && problem.code === "unauthorized";
  const words = problem ? told(problem) : "The service cannot be reached. This page goes on when it is back.";
  tellConnection(isRefused ? refusal() : words);
  if (isRefused && !asked) { asked = true; askForToken(); }
}

const refusal = () => (token() ? "The service does not know this token. Enter another with the button Token." : "This service needs a token. Enter one with the button Token.");

function tellConnection(words) {
  $("connection").hidden = !words;
  if ($("connection").textContent !== words) $("connection").textContent = words;
}

function take(files, leftOut) {
  const given = options();
  if (given.tag && files.length > 1) {
    tellNotes(["A name for a single image is given under Options, and these are several archives. Clear it, or send one archive."]);
    return;
  }
  const notes = [];
  const twice = files.length ? send(files, given, looksFirst()) : 0;
  if (files.length && given.tag) { forget("tag"); tellOptions(); }
  if (!files.length && !leftOut.length) notes.push("There is no file to send.");
  if (leftOut.length) notes.push(`Left out: ${leftOut.slice(0, 10).map(visible).join(", ")}${leftOut.length > 10 ? ` and ${leftOut.length - 10} more` : ""}.`);
  if (twice) notes.push(files.length === 1 ? "This file is on the way already." : `${twice} of ${files.length} files are on the way already.`);
  tellNotes(notes);
}

function tellNotes(notes) {
  $("send-note").hidden = !notes.length;
  $("send-note").textContent = notes.join(" ");
}

function askForToken() {
  $("token").value = token();
  $("token-dialog").showModal();
}

function startTokens() {
  $("token-button").addEventListener("click", askForToken);
  $("token-cancel").addEventListener("click", () => $("token-dialog").close());
  $("token-form").addEventListener("submit", () => {
    setToken($("token").value.trim());
    $("token").value = "";
    registries.show(tellOptions);
    showJob(addressed(), false);
  });
}

function startTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const tell = () => {
    $("theme-button").textContent = isDark() ? "Light" : "Dark";
    $("theme-button").setAttribute("aria-label", isDark() ? "Light colours" : "Dark colours");
  };
  $("theme-button").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("tarmac-theme", root.dataset.theme); } catch { /* storage is off: until the page is closed */ }
    tell();
  });
  system.addEventListener("change", tell);
  tell();
}

function start() {
  startTheme();
  startTokens();
  $("options").addEventListener("input", tellOptions);
  $("options").addEventListener("submit", (event) => event.preventDefault());
  $("registry").addEventListener("change", () => registries.show(tellOptions));
  tellOptions();
  onJob((id) => { if (id) openJob(id); else jobs.refresh(); });
  listen(take);
  job.start({ changed: (job) => { jobs.show(job); jobSeen(job); }, open: (id) => openJob(id, true), gone: () => openJob(null) });
  jobs.start({
    open: (id) => openJob(id, true),
    seen: (seen) => { jobSeen(seen); job.seen(seen); },
    reached: () => tellConnection(""),
    lost,
  });
  registries.show(tellOptions);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) registries.show(tellOptions); });
  window.addEventListener("popstate", () => { if (addressed() || !location.hash) showJob(addressed(), false); });
  window.addEventListener("beforeunload", (event) => { if (underWay()) event.preventDefault(); });
  if (addressed()) openJob(addressed());
}

start();
