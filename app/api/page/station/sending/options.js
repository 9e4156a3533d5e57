// The options of a push: those that differ from the defaults.

import { $ } from "../dom.js";
import { t } from "../texts.js";

export function options() {
  const given = {};
  for (const [name, value] of new FormData($("options"))) {
    if (name !== "mode" && value.trim() && !(name === "registry" && value === "default")) given[name] = value.trim();
  }
  return given;
}

export function forget(name) { $("options").elements[name].value = ""; }

export const looksFirst = () => new FormData($("options")).get("mode") === "look";

export function summary() {
  return Object.entries(options()).map(([name, value]) => `${t(`summary.${name}`)} ${name === "keep_going" ? "" : value}`.trim()).join(", ");
}
