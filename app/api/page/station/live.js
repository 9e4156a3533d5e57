// The changes of all jobs, by GET /events. While the tab is hidden the stream is closed: a browser has few connections to one
// service, and they are shared by its tabs.

import { ProblemError, streamOf } from "./service.js";

const AGAIN = 2000;
const listeners = new Set();
let stop = null;

// A listener has `reset`, `job`, `progress`, `deleted`, `reached` and `lost`, as far as it wants.
export function listen(listener) { listeners.add(listener); }

function tell(name, data) {
  for (const listener of listeners) listener[name]?.(data);
}

// `needed` says whether a hidden tab waits for jobs, to notify of their end.
export function start(needed) {
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) restart();
    else if (!needed()) stop?.abort();
  });
  restart();
}

export function restart() {
  stop?.abort();
  stop = new AbortController();
  follow(stop.signal);
}

async function follow(signal) {
  while (!signal.aborted) {
    try {
      for await (const event of streamOf("events", {}, signal)) {
        tell("reached");
        if (event.name) tell(event.name, event.data && JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      tell("lost", error);
      if (error instanceof ProblemError && [401, 403].includes(error.problem.status)) return;
    }
    await new Promise((resolve) => { setTimeout(resolve, AGAIN); });
  }
}
