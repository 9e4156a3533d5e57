// The page put together.

import * as curl from "./curl.js";
import { listen } from "./drop.js";
import { $, announce, command, h } from "./dom.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import { looksFirst, options, summary } from "./options.js";
import { ProblemError, call, setToken, token } from "./service.js";
import { jobSeen, onJob, send } from "./uploads.js";

let asked = false;

function openJob(id, focus = false) {
  history.replaceState(null, "", id ? `#${id}` : location.pathname);
  jobs.choose(id);
  if (id) job.open(id); else job.close();
  jobs.refresh();
  if (focus) { $("detail").focus({ preventScroll: true }); $("detail").scrollIntoView({ block: "nearest" }); }
}

function tellOptions() {
  $("options-summary").textContent = summary();
  $("send-curl").replaceChildren(command(curl.sending(options(), looksFirst())));
}

async function showRegistries() {
  try {
    const found = (await call("GET", "registries")).registries;
    const before = $("registry").value;
    $("registry").replaceChildren(...found.map((each) => h("option", { value: each.name }, each.name)));
    if (before) $("registry").value = before;
    const first = found.find((each) => each.name === ($("registry").value || "default"));
    if (first) $("registry-state").textContent = first.reachable ? `to ${first.url}` : `${first.url}: ${first.problem.title.toLowerCase()}`;
    tellOptions();
  } catch { /* the list of jobs tells that the service is not reached */ }
}

function lost(error) {
  const problem = error instanceof ProblemError ? error.problem : null;
  $("connection").hidden = false;
  $("connection").textContent = problem ? problem.detail : "The service cannot be reached. This page goes on when it is back.";
  if (problem && problem.code === "unauthorized" && !asked) { asked = true; askForToken(); }
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
    jobs.refresh();
    showRegistries();
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
  $("registry").addEventListener("change", showRegistries);
  tellOptions();
  let last = null;
  onJob((id) => { if (id && id !== last) { last = id; openJob(id); } else jobs.refresh(); });
  listen((files) => {
    if (files.length) send(files, options(), looksFirst());
    else announce("There is no file to send");
  });
  job.start({ changed: (job) => { jobs.show(job); jobSeen(job); }, open: (id) => openJob(id, true) });
  jobs.start({
    open: (id) => openJob(id, true),
    seen: jobSeen,
    reached: () => { $("connection").hidden = true; },
    lost,
  });
  showRegistries();
  const wanted = location.hash.slice(1);
  if (/^[0-9a-f]{32}$/.test(wanted)) openJob(wanted);
}

start();
