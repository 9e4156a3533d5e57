// The images of the store; without an embedded destination, those of the last pushes.

import { $, button, confirmed, copyButton, h } from "../dom.js";
import * as registries from "../registries.js";
import * as route from "../route.js";
import { call, problemIn } from "../service.js";
import { t } from "../texts.js";
import { bytes, told, when } from "../words.js";
import { copies } from "./job.js";

const PAGE = 50;
const LAST = 20;
const SOON = 250;

let query = "";
let cursor = null;
let following = null;
let turn = 0;

export function start() {
  let typing = 0;
  const changed = () => {
    const text = $("images-filter").elements.q.value.trim();
    route.go(route.format("images", null, text ? new URLSearchParams({ q: text }) : null), { replace: true });
  };
  $("images-filter").addEventListener("submit", (event) => { event.preventDefault(); changed(); });
  $("images-filter").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(changed, SOON); });
  $("images-next").addEventListener("click", () => { cursor = following; refresh(); });
  $("images-first").addEventListener("click", () => { cursor = null; refresh(); });
}

export function open(asked) {
  const text = asked.get("q") || "";
  if (text !== query) { query = text; cursor = null; }
  if ($("images-filter").elements.q !== document.activeElement) $("images-filter").elements.q.value = query;
  return refresh();
}

export async function refresh() {
  turn += 1;
  const mine = turn;
  const tell = (...elements) => { if (mine === turn) $("images-note").replaceChildren(...elements); };
  try {
    const status = await call("GET", "status");
    const found = status.has_store ? await stored() : await pushed();
    if (mine !== turn) return;
    const usage = status.usage;
    $("images-usage").textContent = status.has_store && usage ? t("images.usage", { used: bytes(usage.store_bytes), free: bytes(usage.free_bytes) }) : "";
    following = found.next;
    $("images-next").hidden = !following;
    $("images-first").hidden = !cursor;
    $("images-list").replaceChildren(...found.elements);
    tell(h("p", { class: "hint" }, found.elements.length ? found.note : t("images.none")));
  } catch (error) {
    tell(h("p", { class: "problem", role: "alert" }, told(problemIn(error))));
  }
}

async function stored() {
  const asked = new URLSearchParams({ limit: PAGE });
  if (query) asked.set("q", query);
  if (cursor) asked.set("cursor", cursor);
  const page = await call("GET", `store?${asked}`);
  return { elements: page.repositories.map(repository), next: page.next_cursor, note: t("images.repositories", { n: page.total }) };
}

const HEADINGS = ["tag", "digest", "platforms", "size", "pushed", "actions"];

function repository(found) {
  const more = found.images_total - found.images.length;
  return h("section", { class: "repository", "data-testid": "repository" },
    h("div", { class: "line wrap" }, h("h3", {}, found.name), h("span", { class: "numbers" }, `${t("images.count", { n: found.images_total })}, ${bytes(found.size)}`)),
    h("div", { class: "scroll", tabIndex: 0, role: "group", "aria-label": found.name }, h("table", {},
      h("thead", {}, h("tr", {}, ...HEADINGS.map((name) => h("th", { scope: "col" }, t(`column.${name}`))))),
      h("tbody", {}, ...found.images.map((image) => imageRow(found.name, image))))),
    more > 0 && h("p", { class: "hint" }, t("more", { n: more })));
}

function imageRow(name, image) {
  const place = `${location.host}/${name}`;
  const what = `${name}${image.tag ? `:${image.tag}` : `@${image.digest}`}`;
  const address = new URLSearchParams(image.tag ? { tag: image.tag } : { digest: image.digest });
  const remove = async () => {
    if (!await confirmed(t("images.delete_question", { name: what }), t("images.delete"))) return;
    await attempt(() => call("DELETE", `store/${name}?${address}`));
  };
  return h("tr", { "data-testid": "image" },
    h("td", { class: "from" }, image.tag || t("image.untagged")),
    h("td", { class: "mono" }, image.digest.slice(0, 19)),
    h("td", {}, image.platforms.slice(0, 6).join(", ")),
    h("td", { class: "number" }, bytes(image.size)),
    h("td", {}, image.job ? h("a", { href: route.format("jobs", image.job), title: image.pushed_at }, when(image.pushed_at)) : image.pushed_at && when(image.pushed_at)),
    h("td", {}, image.tag ? copies(`${place}:${image.tag}`, image.digest, "default") : copyButton(`${place}@${image.digest}`, t("copy.by_digest")),
      h("div", { class: "row" }, button(t("images.delete"), remove, { class: "small danger", "aria-label": t("images.delete_name", { name: what }) }), copyTo(image.tag ? `${name}:${image.tag}` : null))));
}

// The store can be copied from if there is a registry besides it.
function copyTo(name) {
  const targets = registries.all().filter((registry) => !registry.details?.software?.startsWith("tarmac/"));
  if (!name || !targets.length) return null;
  const send = (registry) => attempt(async () => {
    const job = await call("POST", "store/copy", { to: registry, images: [name] });
    route.go(route.format("jobs", job.id));
  });
  return targets.map((registry) => button(t("images.copy_to", { name: registry.name }), () => send(registry.name), { class: "small" }));
}

async function attempt(work) {
  try { await work(); await refresh(); } catch (error) { $("images-note").replaceChildren(h("p", { class: "problem", role: "alert" }, told(problemIn(error)))); }
}

async function pushed() {
  const asked = new URLSearchParams({ state: "succeeded", limit: LAST, ...(query && { q: query }) });
  const page = await call("GET", `jobs?${asked}`);
  const jobs = await Promise.all(page.jobs.filter((job) => !job.dry_run).map((job) => call("GET", `jobs/${job.id}`)));
  const elements = jobs.flatMap((job) => job.images.filter((image) => image.destinations.length).map((image) => h("div", { class: "image", "data-testid": "image" },
    h("div", { class: "line wrap" }, h("span", { class: "name to" }, image.destinations[0]), h("a", { class: "numbers", href: route.format("jobs", job.id) }, when(job.created_at))),
    image.digest && h("p", { class: "mono to" }, image.digest), copies(image.destinations[0], image.digest, job.registry))));
  return { elements, next: null, note: t("images.last_pushes") };
}
