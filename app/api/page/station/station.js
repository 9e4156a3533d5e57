// The page put together: places, their addresses, and what all of them share.

import * as curl from "./curl.js";
import { $, announce, command } from "./dom.js";
import { listen } from "./sending/drop.js";
import * as keyboard from "./keyboard.js";
import * as live from "./live.js";
import * as notices from "./notices.js";
import { forget, looksFirst, options, summary } from "./sending/options.js";
import * as activity from "./places/activity.js";
import * as caller from "./places/caller.js";
import * as deliveries from "./places/deliveries.js";
import * as images from "./places/images.js";
import * as job from "./places/job.js";
import * as jobs from "./places/jobs.js";
import * as registryPlace from "./places/registries.js";
import * as registries from "./registries.js";
import * as route from "./route.js";
import { ProblemError, call, problemIn, token } from "./service.js";
import { fill, language, t, use } from "./texts.js";
import * as uploads from "./sending/uploads.js";
import { told, visible } from "./words.js";

const PLACES = { deliveries, jobs, images, registries: registryPlace, activity };
const NOTES = 10;

let wasAsked = false;
let sendingLine = "";
let current = null;
let opened = null; // the job that the detail shows

function show({ place, id, query }) {
  const isNew = current !== place;
  if (isNew && current) PLACES[current].close?.();
  current = place;
  for (const name of route.PLACES) {
    $(`place-${name}`).hidden = name !== place;
    const link = document.querySelector(`#places [data-place="${name}"]`);
    if (name === place) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  notices.setPlace(t(`place.${place}`));
  const detail = place === "jobs" ? id : null;
  $("place-jobs").classList.toggle("has-detail", Boolean(detail));
  PLACES[place].open(query, id);
  if (detail !== opened) showDetail(detail);
}

function showDetail(id) {
  opened = id;
  if (!id) { job.close(); return; }
  job.open(id);
  if (document.activeElement?.matches(".job, body")) $("detail").focus({ preventScroll: true });
  $("detail").scrollTop = 0;
  if (getComputedStyle($("back")).display !== "none") window.scrollTo(0, 0);
}

const openJob = (id) => {
  if (opened === id) { job.open(id); jobs.refresh(); } else route.go(route.format("jobs", id, route.parse().place === "jobs" ? route.parse().query : null));
};

function tellOptions() {
  $("options-summary").textContent = summary();
  const line = curl.sending(options(), looksFirst());
  if (line === sendingLine) return; // a selection in it stays
  sendingLine = line;
  $("send-curl").replaceChildren(command(line));
}

function lost(error) {
  const problem = error instanceof ProblemError ? error.problem : null;
  const isRefused = problem?.code === "unauthorized";
  const words = problem ? told(problem) : t("service.lost");
  tellConnection(isRefused ? t(token() ? "token.unknown" : "token.needed") : words);
  if (isRefused && !wasAsked) { wasAsked = true; caller.ask(); }
}

function tellConnection(words) {
  $("connection").hidden = !words;
  if ($("connection").textContent !== words) $("connection").textContent = words;
}

async function take(items, leftOut) {
  const given = options();
  if (given.tag && items.length > 1) { tellNotes([t("send.one_name")]); return; }
  const notes = [];
  let delivery = null;
  if (items.length + leftOut.length > 1 && items.length) {
    try { delivery = await begun(items, leftOut); } catch (error) { tellNotes([told(problemIn(error))]); return; }
  }
  const twice = items.length ? uploads.send(items, given, looksFirst(), delivery) : 0;
  if (items.length && given.tag) { forget("tag"); tellOptions(); }
  if (!items.length && !leftOut.length) notes.push(t("send.nothing"));
  if (leftOut.length) notes.push(t("send.left_out", { names: leftOut.slice(0, NOTES).map(({ path, reason }) => `${visible(path)} (${reason})`).join(", ") }));
  if (leftOut.length > NOTES) notes.push(t("more", { n: leftOut.length - NOTES }));
  if (twice) notes.push(items.length === 1 ? t("send.twice_one") : t("send.twice", { n: twice, total: items.length }));
  tellNotes(notes);
  if (delivery) route.go(route.format("deliveries", delivery));
}

// A delivery that knows all files, so that its report has a row for each.
async function begun(items, leftOut) {
  const files = [...items.map(({ file, path }) => ({ path, size: file.size })), ...leftOut.map(({ path, size, reason }) => ({ path, size, left_out: reason }))];
  const folder = items[0].path.includes("/") ? items[0].path.split("/")[0] : "";
  const delivery = await call("POST", "deliveries", { files, labels: folder ? { folder: folder.slice(0, 100) } : {} });
  return delivery.id;
}

function tellNotes(notes) {
  $("send-note").hidden = !notes.length;
  $("send-note").textContent = notes.join(" ");
}

function startTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const tell = () => {
    $("theme-button").textContent = t(isDark() ? "theme.light" : "theme.dark");
    $("theme-button").setAttribute("aria-label", t(isDark() ? "theme.to_light" : "theme.to_dark"));
  };
  $("theme-button").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("tarmac-theme", root.dataset.theme); } catch { /* storage is off: until the page is closed */ }
    tell();
  });
  system.addEventListener("change", tell);
  tell();
}

function startLanguage() {
  document.documentElement.lang = language;
  fill(document);
  $("language-button").textContent = t("language.other");
  $("language-button").lang = t("language.other_code");
  $("language-button").addEventListener("click", () => use(t("language.other_code")));
}

function startLive() {
  live.listen({ reached: () => tellConnection(""), lost });
  live.listen(jobs.listener);
  live.listen(deliveries.listener);
  live.listen(registryPlace.listener);
  live.listen({ job: (changed) => { uploads.jobSeen(changed); job.seen(changed); notices.jobSeen(changed); } });
  live.start(() => notices.isWanted());
}

function startSending() {
  $("options").addEventListener("input", tellOptions);
  $("options").addEventListener("submit", (event) => event.preventDefault());
  $("registry").addEventListener("change", () => registries.show(tellOptions));
  tellOptions();
  uploads.start((id) => { if (id) openJob(id); else PLACES[current].refresh?.(); }, (percent) => notices.progress(percent));
  listen(take);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) registries.show(tellOptions); });
  window.addEventListener("beforeunload", (event) => { if (uploads.underWay()) event.preventDefault(); });
}

function start() {
  startLanguage();
  startTheme();
  notices.start();
  keyboard.start();
  caller.start(() => { live.restart(); registries.show(tellOptions); show(route.parse()); if (opened) job.open(opened); });
  job.start({
    changed: (changed) => { jobs.update(changed); uploads.jobSeen(changed); },
    open: openJob,
    gone: () => { announce(t("job.gone")); route.go(route.format("jobs"), { replace: true }); },
  });
  jobs.start({ seen: (seen) => { uploads.jobSeen(seen); job.seen(seen); }, reached: () => tellConnection(""), lost });
  images.start();
  activity.start();
  $("skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
  startSending();
  route.start(show);
  startLive();
  registries.show(tellOptions);
  caller.show();
}

start();
