"use strict";

// Before the first paint, so that a dark page does not flash white. "" follows the system.
{
  let theme = "";
  try { theme = localStorage.getItem("tarmac-theme") || ""; } catch { /* storage is off: follow the system */ }
  if (theme) document.documentElement.dataset.theme = theme;
}
