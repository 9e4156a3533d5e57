// The registries: which there are, whether they can be used now, and how to pull from them.

import { $, h } from "./dom.js";
import { call } from "./service.js";

const EVERY = 10000;
const AGAIN = 3000; // while one cannot be used

let found = [];
let timer = 0;

// `changed` is called when the choice among them has.
export async function show(changed) {
  clearTimeout(timer);
  try {
    found = (await call("GET", "registries")).registries;
    fill();
    changed();
  } catch { /* the list of jobs tells that the service is not reached */ }
  timer = setTimeout(() => { if (!document.hidden) show(changed); }, found.every((each) => each.reachable) ? EVERY : AGAIN);
}

function fill() {
  const select = $("registry");
  const names = found.map((each) => each.name);
  if (names.join() !== [...select.options].map((each) => each.value).join()) {
    const before = select.value;
    select.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    if (names.includes(before)) select.value = before;
    else if (names.includes("default")) select.value = "default";
  }
  const chosen = found.find((each) => each.name === select.value);
  if (!chosen) return;
  $("registry-state").textContent = chosen.reachable ? `to ${chosen.url ?? chosen.name}`
    : `${chosen.url ?? chosen.name}: ${chosen.problem?.title.toLowerCase() ?? "cannot be used"}`;
  $("registry-state").classList.toggle("wrong", !chosen.reachable);
}

// Docker takes plain HTTP from loopback by itself, podman and skopeo do not.
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

// The embedded destination calls itself by a loopback address; who came here by another name pulls by that.
function here(place, registry) {
  const isEmbedded = registry?.details?.software?.startsWith("tarmac/");
  return isEmbedded ? `${location.host}${place.slice(place.indexOf("/"))}` : place;
}
