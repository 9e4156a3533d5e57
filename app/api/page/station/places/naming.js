// The form for a job that only lacks a decision: its archive is kept, and a retry with names pushes it.

import { h } from "../dom.js";
import { call, problemIn } from "../service.js";
import { t } from "../texts.js";
import { DECISIONS, short, told } from "../words.js";

export const needsDecision = (job) => Boolean(job.problem && DECISIONS.has(job.problem.code) && job.links?.retry);

// `images` are those of the whole document. `done` gets the job that is tried again.
export function naming(job, done) {
  const affected = job.images.filter((image) => image.problem && DECISIONS.has(image.problem.code));
  const isSingle = affected.length < 2 && job.progress.images_total < 2;
  const fields = isSingle ? [new Name(null, t("naming.name"))] : affected.map((image) => new Name(keyOf(image), t("naming.name_of", { what: image.names[0] || short(keyOf(image)) || image.archive })));
  const error = h("p", { class: "problem", role: "alert" });
  const push = h("button", { type: "submit", class: "primary" }, t("naming.push"));
  const submit = async (event) => {
    event.preventDefault();
    push.disabled = true;
    error.textContent = "";
    const given = fields.filter((field) => field.value);
    const body = isSingle ? { tag: given[0]?.value } : { rename: Object.fromEntries(given.map((field) => [field.key, field.value])) };
    try {
      done(await call("POST", `jobs/${job.id}/retry`, body));
    } catch (problem) {
      error.textContent = told(problemIn(problem));
      push.disabled = false;
    }
  };
  return h("form", { class: "naming", "data-testid": "naming", onsubmit: submit }, ...fields.map((field) => field.element), error, h("div", { class: "row" }, push));
}

// By what `rename` knows the image.
export const keyOf = (image) => image.names[0] || image.source_digest || image.digest;

class Name {
  constructor(key, label) {
    this.key = key;
    this.input = h("input", { spellcheck: false, placeholder: "team/app:1.2", required: key === null });
    this.element = h("label", {}, label, this.input);
  }

  get value() { return this.input.value.trim(); }
}
