// What an archive holds, before it is pushed: pick images, give them other names, see where they would go. The archive
// lies at the service already; pushing it does not send it again.

import * as curl from "./curl.js";
import { command, h } from "./dom.js";
import { ProblemError, call } from "./service.js";
import { options } from "./options.js";
import { hold, letGo } from "./held.js";
import { STATES, bytes, isLook, short, told as words } from "./words.js";

// `held` has the upload, and the options of the job: those that what is shown here is true for.
export function review(job, held, pushed) {
  const { rename = {}, images, ...given } = held.options;
  const isBad = (image) => image.state === "skipped" || Boolean(given.keep_going && image.problem);
  const picks = job.images.map((image, index) => new Pick(image, detailsOf(job, index), rename, !isBad(image)));
  const names = picks.length ? [] : nameless(job).map((digest, _, all) => new Name(digest, all.length > 1, rename));
  const error = h("p", { class: "problem", role: "alert" });
  const line = h("div", {});
  const push = h("button", { type: "submit", class: "primary" });
  const body = (others) => ({ ...others, registry: others.registry || job.registry, ...(names.length ? named(names, rename) : asked(picks, Boolean(images))) });
  const tell = () => {
    const count = picks.filter((pick) => pick.box.checked).length;
    push.textContent = picks.length ? `Push ${count} ${count === 1 ? "image" : "images"}` : `Push under ${names.length > 1 ? "these names" : "this name"}`;
    push.disabled = picks.length ? count === 0 : names.some((name) => !name.value);
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
      error.textContent = problem instanceof ProblemError ? refused(problem.problem, job) : "The service cannot be reached.";
      push.disabled = false;
    }
  };
  const again = () => go(body({ registry: "default", ...(given.tag && { tag: given.tag }), ...options() }), { dry_run: true });
  const form = h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); go(body(given)); }, oninput: tell },
    picks.length > 1 && allOrNone(picks, tell),
    picks.length > 0 && h("div", { class: "images" }, ...picks.map((pick) => pick.element)),
    ...names.map((name) => name.element),
    error,
    h("div", { class: "row" }, push, h("button", { type: "button", onclick: again }, "Look again"),
      h("span", { class: "hint" }, "with these names, and what stands under Options now")),
    h("details", { class: "curl" }, h("summary", {}, "This push with curl"), line));
  tell();
  return framed(job, form);
}

// What has landed is the news; that it could be pushed once more is not.
function framed(job, form) {
  const kept = h("p", { class: "hint" }, "The archive is kept here for a day and need not be sent again.");
  if (job.state === "succeeded" && !isLook(job)) return h("details", {}, h("summary", {}, "Push it again, under other names"), h("div", { class: "stack" }, kept, form));
  if (job.images.length) kept.prepend("Nothing has been pushed yet. ");
  return h("div", { class: "stack" }, h("h3", {}, job.images.length ? "Look, pick, push" : "Give it a name, then push it"), kept, form);
}

function refused(problem, job) {
  if (problem.code !== "not_found") return words(problem);
  letGo(job.id);
  return "The archive is no longer kept here. Send it again.";
}

function allOrNone(picks, tell) {
  const set = (checked) => { for (const pick of picks) pick.box.checked = checked; tell(); };
  return h("div", { class: "row" },
    h("button", { type: "button", class: "small", onclick: () => set(true) }, "All"),
    h("button", { type: "button", class: "small", onclick: () => set(false) }, "None"));
}

// For want of names nothing could be looked at; the problem tells which images have none.
function nameless(job) {
  const told = job.problem?.code === "missing_tag" ? job.problem.detail : "";
  const found = new Set([...told.matchAll(/image (sha256:[0-9a-f]{64})/g)].map((match) => match[1]));
  return found.size ? [...found] : [null];
}

class Name {
  constructor(digest, isOneOfMany, rename) {
    this.digest = digest;
    this.input = h("input", { spellcheck: false, value: rename[digest] || "", placeholder: "team/app:1.2" });
    this.element = h("label", {}, isOneOfMany ? `Name of ${short(digest)}` : "Name of the image", this.input);
  }

  get value() { return this.input.value.trim(); }
}

function named(names, before) {
  const given = names.filter((name) => name.value);
  if (!given.length) return { rename: before };
  return given[0].digest ? { rename: { ...before, ...Object.fromEntries(given.map((name) => [name.digest, name.value])) } } : { tag: given[0].value };
}

class Pick {
  constructor(image, details, rename, isPicked) {
    this.names = image.names.length ? image.names : [image.digest];
    const [word, kind] = STATES[image.state] || [image.state, ""];
    const called = image.names[0] || image.digest || "without a name";
    this.box = h("input", { type: "checkbox", checked: isPicked, "aria-label": `Push ${called}` });
    this.name = h("input", { spellcheck: false, value: rename[this.names[0]] || "", placeholder: image.destinations.length ? "the same name" : "team/app:1.2", "aria-label": `Another name for ${called}` });
    this.element = h("div", { class: "image pick" }, this.box, h("div", { class: "body" },
      h("div", { class: "line" }, h("span", { class: "from" }, called), h("span", { class: `chip ${kind}` }, word)),
      h("p", { class: "numbers to" }, `goes to ${image.destinations.join(", ") || "no destination yet"}`),
      details && h("p", { class: "numbers" }, details),
      image.problem && h("p", { class: "problem" }, words(image.problem)),
      h("label", { class: "as" }, "Push as", this.name)));
  }
}

function detailsOf(job, index) {
  const told = (job.inspection || []).flatMap((archive) => archive.images)[index];
  if (!told) return "";
  const layers = `${told.layers.length} ${told.layers.length === 1 ? "layer" : "layers"}`;
  const more = [told.platforms.slice(0, 6).join(", "), layers, bytes(told.size)];
  more.push(...evidence(told.evidence || []));
  return more.filter(Boolean).join("  ·  ");
}

const KINDS = { signature: ["signature", "signatures"], sbom: ["SBOM", "SBOMs"], attestation: ["attestation", "attestations"], other: ["other artifact", "other artifacts"] };

function evidence(found) {
  return Object.entries(KINDS).flatMap(([kind, [one, many]]) => {
    const of = found.filter((each) => each.kind === kind);
    if (!of.length) return [];
    const platforms = [...new Set(of.map((each) => each.platform).filter(Boolean))];
    return [`${of.length} ${of.length === 1 ? one : many}${platforms.length ? ` (${platforms.join(", ")})` : ""}`];
  });
}

// An image with several names that is given another has that one alone. `isPart`: there are others, which were left out of
// the look before and so are not shown.
function asked(picks, isPart) {
  const body = {};
  const picked = picks.filter((pick) => pick.box.checked);
  if (isPart || picked.length < picks.length) body.images = picked.flatMap((pick) => pick.names);
  const renames = picked.filter((pick) => pick.name.value.trim());
  if (renames.length) body.rename = Object.fromEntries(renames.flatMap((pick) => pick.names.map((each) => [each, pick.name.value.trim()])));
  return body;
}
