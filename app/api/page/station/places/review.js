// The review of an archive before it is pushed: select images, change their names, see what would be sent. The archive is at the
// service already; pushing it does not send it again.

import * as curl from "../curl.js";
import { button, command, h } from "../dom.js";
import { hold, letGo } from "../sending/held.js";
import { options } from "../sending/options.js";
import { call, problemIn } from "../service.js";
import { t } from "../texts.js";
import { bytes, isLook, labelOf, short, told } from "../words.js";
import { keyOf } from "./naming.js";

// `held` has the upload and the options of the job, those of which the review is true.
export function review(job, held, pushed) {
  const { rename = {}, images, ...given } = held.options;
  const isBad = (image) => image.state === "skipped" || Boolean(given.keep_going && image.problem);
  const picks = job.images.map((image, index) => new Pick(image, inspected(job, index), rename, !isBad(image)));
  const single = picks.length ? null : h("input", { spellcheck: false, placeholder: "team/app:1.2" });
  const error = h("p", { class: "problem", role: "alert" });
  const line = h("div", {});
  const push = h("button", { type: "submit", class: "primary", "data-testid": "push" });
  const chosen = () => (single ? { rename, ...(single.value.trim() && { tag: single.value.trim() }) } : selected(picks, Boolean(images)));
  const body = (others) => ({ ...others, registry: others.registry || job.registry, ...chosen() });
  const tell = () => {
    const count = picks.filter((pick) => pick.box.checked).length;
    push.textContent = single ? t("review.push_name") : t("review.push", { n: count });
    push.disabled = single ? !single.value.trim() : count === 0;
    line.replaceChildren(command(curl.pushingHeld(held.upload, body(given))));
  };
  const go = async (request, more) => {
    error.textContent = "";
    push.disabled = true;
    try {
      const next = await call("POST", `uploads/${held.upload}/push`, { ...request, ...more });
      hold(next.id, held.upload, request);
      pushed(next.id);
    } catch (problem) {
      error.textContent = refused(problemIn(problem), job);
      push.disabled = false;
    }
  };
  const again = () => go(body({ registry: "default", ...(given.tag && { tag: given.tag }), ...options() }), { dry_run: true });
  const form = h("form", { class: "stack", "data-testid": "review", onsubmit: (event) => { event.preventDefault(); go(body(given)); }, oninput: tell },
    picks.length > 1 && allOrNone(picks, tell),
    picks.length > 0 && table(picks),
    single && h("label", {}, t("naming.name"), single),
    error,
    h("div", { class: "row" }, push, button(t("review.again"), again, { "data-testid": "review-again" }), h("span", { class: "hint" }, t("review.again_hint"))),
    h("details", { class: "curl" }, h("summary", {}, t("review.curl")), line));
  tell();
  return framed(job, form);
}

// After a push its result is what matters; another push is offered in a fold.
function framed(job, form) {
  const kept = h("p", { class: "hint" }, t("review.kept"));
  if (job.state === "succeeded" && !isLook(job)) return h("details", {}, h("summary", {}, t("review.push_again")), h("div", { class: "stack" }, kept, form));
  if (job.images.length) kept.prepend(`${t("review.nothing_pushed")} `);
  return h("div", { class: "stack" }, h("h3", {}, t("review.title")), kept, form);
}

function refused(problem, job) {
  if (problem.code !== "not_found") return told(problem);
  letGo(job.id);
  return t("review.gone");
}

function allOrNone(picks, tell) {
  const set = (checked) => { for (const pick of picks) pick.box.checked = checked; tell(); };
  return h("div", { class: "row" }, button(t("review.all"), () => set(true), { class: "small" }), button(t("review.none"), () => set(false), { class: "small" }));
}

const COLUMNS = ["push", "image", "to", "platforms", "size", "to_send", "at_registry", "existing"];

const table = (picks) => h("div", { class: "scroll", tabIndex: 0, role: "group", "aria-label": t("review.title") }, h("table", { class: "review" },
  h("thead", {}, h("tr", {}, ...COLUMNS.map((name) => h("th", { scope: "col" }, t(`column.${name}`))))),
  h("tbody", {}, ...picks.map((pick) => pick.element))));

class Pick {
  constructor(image, details, rename, isPicked) {
    this.names = image.names.length ? image.names : [keyOf(image)];
    const [word, kind] = labelOf(image.state);
    const called = image.names[0] || keyOf(image) || t("image.unnamed");
    this.box = h("input", { type: "checkbox", checked: isPicked, "aria-label": t("review.push_image", { name: called }), "data-testid": "pick" });
    this.name = h("input", {
      spellcheck: false, value: rename[this.names[0]] || "", "data-testid": "to",
      placeholder: image.destinations.length ? t("review.same_name") : "team/app:1.2", "aria-label": t("review.other_name", { name: called }),
    });
    const number = (name) => h("td", { class: "number" }, details ? bytes(details[name]) : "");
    this.element = h("tr", {},
      h("td", {}, this.box),
      h("td", { class: "from" }, image.names[0] || short(called), details && h("p", { class: "numbers" }, evidence(details.evidence || []))),
      h("td", { class: "to" }, ...image.destinations.map((place) => h("p", { class: "numbers", "data-testid": "destination" }, place)), this.name,
        image.problem && h("p", { class: "problem" }, told(image.problem))),
      h("td", {}, image.platforms.slice(0, 6).join(", "), image.platforms.length > 6 && ` ${t("more", { n: image.platforms.length - 6 })}`),
      number("size"), number("to_send"), number("at_registry"),
      h("td", {}, h("span", { class: `chip ${kind}` }, word)));
  }
}

const inspected = (job, index) => (job.inspection || []).flatMap((archive) => archive.images)[index];

function evidence(found) {
  return [...grouped(found)].map(([kind, items]) => {
    const platforms = [...new Set(items.map((item) => item.platform).filter(Boolean))];
    return `${t(`evidence.${kind}`, { n: items.length })}${platforms.length ? ` (${platforms.join(", ")})` : ""}`;
  }).join("  ·  ");
}

function grouped(found) {
  const kinds = new Map();
  for (const item of found) kinds.set(item.kind, [...(kinds.get(item.kind) || []), item]);
  return kinds;
}

// An image with several names that gets another one has that one only. `isPart`: the review does not show all images.
function selected(picks, isPart) {
  const body = {};
  const picked = picks.filter((pick) => pick.box.checked);
  if (isPart || picked.length < picks.length) body.images = picked.flatMap((pick) => pick.names);
  const renames = picked.filter((pick) => pick.name.value.trim());
  if (renames.length) body.rename = Object.fromEntries(renames.flatMap((pick) => pick.names.map((name) => [name, pick.name.value.trim()])));
  return body;
}
