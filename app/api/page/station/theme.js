"use strict";

// Before the first paint, so that a dark page does not flash white. "" is as the system has it.
{
  let theme = "";
  try { theme = localStorage.getItem("tarmac-theme") || ""; } catch { /* storage is off: as the system has it */ }
  if (theme) document.documentElement.dataset.theme = theme;
}
