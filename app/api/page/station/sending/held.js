// The service keeps a reviewed archive for a day. This browser stores which job belongs to which upload, and with which options,
// so that it can be pushed as it was shown.

const KEY = "tarmac-held";
const MOST = 200;

function known() {
  try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
}

export const heldFor = (job) => known()[job] || null;

export function hold(job, upload, options) {
  const all = Object.entries({ ...known(), [job]: { upload, options } });
  try { localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(all.slice(-MOST)))); } catch { /* storage is off: the archive must be sent again */ }
}

export function letGo(job) {
  const { [job]: gone, ...others } = known();
  if (gone) localStorage.setItem(KEY, JSON.stringify(others));
}
