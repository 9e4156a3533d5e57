// What is asked for of a push: only what differs from what the service does by itself.

import { $ } from "./dom.js";

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
  const names = { registry: "to", prefix: "prefix", tag: "next one named", platforms: "only", on_existing_tag: "existing:", layer_compression: "layers:" };
  const { keep_going, ...given } = options();
  const told = Object.entries(given).map(([name, value]) => `${names[name]} ${value}`);
  return (keep_going ? [...told, "whole images of damaged archives"] : told).join(", ");
}
