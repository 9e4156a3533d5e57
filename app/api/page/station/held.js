// Archives that were looked into are held by the service for a day. Which job is of which upload, and with which options,
// is kept in this browser, so that a look of yesterday can still be pushed, and as it was shown.

const KEY = "tarmac-held";
const MOST = 200;

function known() {
  try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
}

export const heldFor = (job) => known()[job] || null;

export function hold(job, upload, options) {
  const all = Object.entries({ ...known(), [job]: { upload, options } });
  try { localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(all.slice(-MOST)))); } catch { /* storage is off: it has to be sent again */ }
}

export function letGo(job) {
  const { [job]: gone, ...others } = known();
  if (gone) localStorage.setItem(KEY, JSON.stringify(others));
}
