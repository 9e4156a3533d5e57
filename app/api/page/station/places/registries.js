// The registries: state, authentication, and the jobs that wait for each.

import { $, button, h } from "../dom.js";
import * as known from "../registries.js";
import * as route from "../route.js";
import { call, problemIn } from "../service.js";
import { t } from "../texts.js";
import { bytes, told } from "../words.js";

export const listener = { job: (job) => { if (job.waiting_for && shown) refresh(); } };

let shown = false;

export function open() { shown = true; return refresh(); }
export function close() { shown = false; }

async function refresh() {
  try {
    const [{ registries }, waiting, status] = await Promise.all([call("GET", "registries"), call("GET", "jobs?state=queued,running&limit=500"), call("GET", "status")]);
    $("registries-usage").textContent = status.usage ? t("registries.usage", { free: bytes(status.usage.free_bytes), kept: bytes(status.usage.kept_bytes) }) : "";
    $("registries-list").replaceChildren(...registries.map((registry) => card(registry, waiting.jobs.filter((job) => job.registry === registry.name))));
  } catch (error) {
    $("registries-list").replaceChildren(h("p", { class: "problem", role: "alert" }, told(problemIn(error))));
  }
}

function card(registry, jobs) {
  const [word, kind] = registry.reachable ? [t("registry.reachable"), "good"] : [t("registry.away"), "bad"];
  const waiting = jobs.filter((job) => job.waiting_for);
  const details = registry.details || {};
  const facts = [
    ["address", registry.url], ["authentication", details.authentication && t(details.authenticated ? "registry.logged_in" : "registry.anonymous", { kind: details.authentication })],
    ["software", details.software], ["waiting", String(waiting.length)], ["jobs", String(jobs.length)],
  ];
  const test = async (event) => {
    event.target.disabled = true;
    await refresh();
    known.show(() => {});
  };
  return h("section", { class: "card", "data-testid": "registry" },
    h("div", { class: "line" }, h("h3", {}, registry.name), h("span", { class: `chip ${kind}` }, word)),
    h("dl", { class: "facts" }, ...facts.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, t(`fact.${name}`)), h("dd", {}, value)))),
    registry.problem && h("p", { class: "problem" }, told(registry.problem)),
    waiting.length > 0 && h("ul", { class: "plain" }, ...waiting.slice(0, 10).map((job) => h("li", {}, h("a", { href: route.format("jobs", job.id) }, job.archives[0]?.name || job.id)))),
    h("div", { class: "row" }, button(t("registry.test"), test, { class: "small", "aria-label": t("registry.test_name", { name: registry.name }) })));
}
