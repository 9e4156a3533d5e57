// The audit trail, if the role of the caller allows it.

import { $, h } from "../dom.js";
import * as route from "../route.js";
import { call, problemIn } from "../service.js";
import { t } from "../texts.js";
import { labelOf, told, when } from "../words.js";

const PAGE = 100;
const RECENT = 7 * 86_400_000; // milliseconds
const COLUMNS = ["time", "outcome", "archive", "images", "token", "sender", "registry"];

let since = "";
let cursor = null;

export function start() {
  $("activity-filter").addEventListener("submit", (event) => event.preventDefault());
  $("activity-filter").addEventListener("change", () => {
    const given = $("activity-filter").elements.since.value;
    route.go(route.format("activity", null, given ? new URLSearchParams({ since: given }) : null), { replace: true });
  });
  $("activity-next").addEventListener("click", refresh);
}

export function open(query) {
  since = query.get("since") || new Date(Date.now() - RECENT).toISOString().slice(0, 10);
  $("activity-filter").elements.since.value = since;
  cursor = null;
  return refresh();
}

async function refresh() {
  const asked = new URLSearchParams({ limit: PAGE });
  if (since) asked.set("since", new Date(`${since}T00:00`).toISOString());
  if (cursor) asked.set("cursor", cursor);
  try {
    const page = await call("GET", `audit?${asked}`);
    cursor = page.next_cursor;
    $("activity-next").hidden = page.entries.length < PAGE;
    $("activity-list").replaceChildren(page.entries.length ? table(page.entries) : h("p", { class: "empty" }, t("activity.none")));
  } catch (error) {
    $("activity-next").hidden = true;
    $("activity-list").replaceChildren(h("p", { class: "problem", role: "alert" }, told(problemIn(error))));
  }
}

const table = (entries) => h("table", {},
  h("thead", {}, h("tr", {}, ...COLUMNS.map((name) => h("th", { scope: "col" }, t(`column.${name}`))))),
  h("tbody", {}, ...entries.toReversed().map(row)));

function row(entry) {
  const [word, kind] = labelOf(entry.outcome);
  return h("tr", { "data-testid": "entry" },
    h("td", {}, h("time", { title: entry.at }, when(entry.at))),
    h("td", {}, h("span", { class: `chip ${kind}` }, word), entry.code && h("p", { class: "numbers" }, entry.code)),
    h("td", { class: "from" }, h("a", { href: route.format("jobs", entry.job) }, entry.archives.slice(0, 3).map((archive) => archive.path || archive.name).join(", ") || entry.job)),
    h("td", {}, ...entry.images.slice(0, 3).map((image) => h("p", { class: "numbers" }, image.destinations[0] || t("image.unnamed"))), entry.images.length > 3 && t("more", { n: (entry.images_total || entry.images.length) - 3 })),
    h("td", {}, entry.token || ""), h("td", {}, entry.address || ""), h("td", {}, entry.registry));
}
