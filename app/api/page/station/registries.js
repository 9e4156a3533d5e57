// The configured registries: whether each can be used now, and how to pull from it.

import { $, h } from "./dom.js";
import { call } from "./service.js";
import { t } from "./texts.js";

const EVERY = 10000;
const AGAIN = 3000; // while one cannot be used

let found = [];
let timer = 0;

// `changed` is called when the choice among them has.
export const all = () => found;

export async function show(changed) {
  clearTimeout(timer);
  try {
    found = (await call("GET", "registries")).registries;
    fill();
    changed();
  } catch { /* the stream of jobs shows that the service cannot be reached */ }
  timer = setTimeout(() => { if (!document.hidden) show(changed); }, found.every((registry) => registry.reachable) ? EVERY : AGAIN);
}

function fill() {
  const select = $("registry");
  const names = found.map((registry) => registry.name);
  if (names.join() !== [...select.options].map((option) => option.value).join()) {
    const before = select.value;
    select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    if (names.includes(before)) select.value = before;
    else if (names.includes("default")) select.value = "default";
  }
  const chosen = found.find((registry) => registry.name === select.value);
  if (!chosen) return;
  $("registry-state").textContent = chosen.reachable ? t("registry.to", { name: chosen.url ?? chosen.name })
    : `${chosen.url ?? chosen.name}: ${chosen.problem?.title ?? t("registry.unusable")}`;
  $("registry-state").classList.toggle("wrong", !chosen.reachable);
}

// Docker accepts plain HTTP on loopback, podman and skopeo need an option.
export function pulls(place, name) {
  const registry = found.find((each) => each.name === name);
  const plain = Boolean(registry) && (registry.details?.address || registry.url)?.startsWith("http://");
  const image = here(place, registry);
  return [
    `docker pull ${image}`,
    `podman pull ${plain ? "--tls-verify=false " : ""}${image}`,
    `skopeo copy ${plain ? "--src-tls-verify=false " : ""}docker://${image} oci-archive:image.tar`,
  ];
}

// The embedded destination has a loopback address; a user of another address pulls from that.
function here(place, registry) {
  const isEmbedded = registry?.details?.software?.startsWith("tarmac/");
  return isEmbedded ? `${location.host}${place.slice(place.indexOf("/"))}` : place;
}
