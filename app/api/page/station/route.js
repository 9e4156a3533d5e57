// The address of a place: #/PLACE/ID?filters. It survives a reload and can be bookmarked.

export const PLACES = ["deliveries", "jobs", "images", "registries", "activity"];

export function parse(hash = location.hash) {
  if (/^#[0-9a-f]{32}$/.test(hash)) return { place: "jobs", id: hash.slice(1), query: new URLSearchParams() };
  const [path, query] = hash.replace(/^#\/?/, "").split("?", 2);
  const [place, ...id] = path.split("/");
  const known = PLACES.includes(place);
  return { place: known ? place : "deliveries", id: known && id.length ? decodeURIComponent(id.join("/")) : null, query: new URLSearchParams(query || "") };
}

export function format(place, id = null, query = null) {
  const text = query ? query.toString() : "";
  return `#/${place}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

let changed = () => {};

export function start(callback) {
  changed = callback;
  window.addEventListener("hashchange", () => changed(parse()));
  changed(parse());
}

export function go(address, { replace = false } = {}) {
  if (address === location.hash) return;
  if (!replace) { location.hash = address; return; }
  history.replaceState(null, "", address);
  changed(parse());
}
