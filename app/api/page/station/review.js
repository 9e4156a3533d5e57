// What an archive holds, before it is pushed: pick images, give them other names, see where they would go. The archive
// lies at the service already; pushing it does not send it again.

import * as curl from "./curl.js";
import { command, h } from "./dom.js";
import { ProblemError, call } from "./service.js";
import { options } from "./options.js";
import { hold } from "./uploads.js";
import { STATES, bytes, told as words } from "./words.js";

export function review(job, upload, pushed) {
  const picks = job.images.map((image, index) => new Pick(image, detailsOf(job, index)));
  const name = h("input", { spellcheck: false, placeholder: "team/app:1.2" });
  const error = h("p", { class: "problem", role: "alert" });
  const line = h("div", {});
  const push = h("button", { type: "submit", class: "primary" });
  const body = (dryRun) => request(job, picks, name.value.trim(), dryRun);
  const tell = () => {
    const count = picks.filter((pick) => pick.box.checked).length;
    push.textContent = picks.length ? `Push ${count} ${count === 1 ? "image" : "images"}` : "Push under this name";
    push.disabled = picks.length ? count === 0 : !name.value.trim();
    line.replaceChildren(command(curl.pushingHeld(upload, body(false))));
  };
  const go = async (dryRun) => {
    error.textContent = "";
    push.disabled = true;
    try {
      const next = await call("POST", `uploads/${upload}/push`, body(dryRun));
      hold(next.id, upload);
      pushed(next.id);
    } catch (problem) {
      error.textContent = problem instanceof ProblemError ? words(problem.problem) : "The service cannot be reached.";
      push.disabled = false;
    }
  };
  const form = h("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); go(false); }, oninput: tell },
    h("h3", {}, picks.length ? "Look, pick, push" : "The archive is still here"),
    h("p", { class: "hint" }, picks.length
      ? "Nothing has been pushed yet. The archive is kept here for a day and need not be sent again."
      : "It need not be sent again. Give it a name, then push it."),
    picks.length > 1 && allOrNone(picks, tell),
    picks.length > 0 && h("div", { class: "images" }, ...picks.map((pick) => pick.element)),
    picks.length === 0 && h("label", {}, "Name of the image", name),
    error,
    h("div", { class: "row" }, push, h("button", { type: "button", onclick: () => go(true) }, "Look again with these names")),
    h("details", { class: "curl" }, h("summary", {}, "This push with curl"), line));
  tell();
  return form;
}

function allOrNone(picks, tell) {
  const set = (checked) => { for (const pick of picks) pick.box.checked = checked; tell(); };
  return h("div", { class: "row" },
    h("button", { type: "button", class: "small", onclick: () => set(true) }, "All"),
    h("button", { type: "button", class: "small", onclick: () => set(false) }, "None"));
}

class Pick {
  constructor(image, details) {
    this.image = image;
    const [word, kind] = STATES[image.state] || [image.state, ""];
    const called = image.names[0] || image.digest || "without a name";
    this.box = h("input", { type: "checkbox", checked: true, "aria-label": `Push ${called}` });
    this.name = h("input", { spellcheck: false, placeholder: image.destinations.length ? "the same name" : "team/app:1.2", "aria-label": `Another name for ${called}` });
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

function request(job, picks, name, dryRun) {
  const body = { ...options(), registry: job.registry };
  const picked = picks.filter((pick) => pick.box.checked);
  if (picked.length < picks.length) body.images = picked.map((pick) => pick.image.names[0] || pick.image.digest);
  const renames = picked.filter((pick) => pick.name.value.trim());
  if (renames.length) body.rename = Object.fromEntries(renames.map((pick) => [pick.image.names[0] || pick.image.digest, pick.name.value.trim()]));
  if (name) body.tag = name;
  if (dryRun) body.dry_run = true;
  return body;
}
