// The title of the tab, and notifications while it is hidden.

import { $ } from "./dom.js";
import { t } from "./texts.js";
import { ENDED, stateOf, titleOf } from "./words.js";

const active = new Set(); // the jobs that were seen under way
let place = "";
let percent = null;

export const isWanted = () => $("notify").checked && (active.size > 0 || percent !== null);

export function start() {
  if (!("Notification" in window)) return; // it exists on https and loopback only
  $("notify-label").hidden = false;
  $("notify").checked = Notification.permission === "granted";
  $("notify").addEventListener("change", async () => {
    if ($("notify").checked && await Notification.requestPermission() !== "granted") $("notify").checked = false;
  });
}

export function setPlace(name) { place = name; title(); }
export function progress(value) { percent = value; title(); }

export function jobSeen(job) {
  const wasActive = active.has(job.id);
  if (!ENDED.has(job.state)) active.add(job.id);
  else active.delete(job.id);
  title();
  if (wasActive && ENDED.has(job.state) && document.hidden && $("notify").checked) new Notification(titleOf(job), { body: stateOf(job)[0], tag: job.id });
}

function title() {
  const parts = [percent === null ? "" : `${Math.floor(percent)} %`, active.size ? t("title.active", { n: active.size }) : "", place, "Tarmac"];
  document.title = parts.filter(Boolean).join(" · ");
}
