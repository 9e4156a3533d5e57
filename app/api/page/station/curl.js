// The line that does the same as a button.

import { origin, token } from "./service.js";

const quoted = (text) => (/^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function line(...words) {
  const access = token() ? ["-H", '"Authorization: Bearer $TOKEN"'] : [];
  return ["curl", ...access, ...words].join(" ");
}

export function sending(options, dryRun) {
  const query = new URLSearchParams(options);
  if (dryRun) query.set("dry_run", "true");
  const text = query.toString();
  return line("-T", "x.tar", quoted(`${origin()}push/${text ? `?${text}` : ""}`));
}

export const acting = (method, path) => line(...(method === "GET" ? [] : ["-X", method]), quoted(`${origin()}${path}`));
export const watching = (id) => line("-N", quoted(`${origin()}jobs/${id}/events`));
export const pushingHeld = (id, body) => line("--json", quoted(JSON.stringify(body)), quoted(`${origin()}uploads/${id}/push`));
