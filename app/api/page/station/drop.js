// Files and folders, dropped or chosen.

import { $ } from "./dom.js";

const HIDDEN = /^\.|^Thumbs\.db$/;

export function listen(take) {
  const zone = $("drop");
  const chosen = (event) => { take([...event.target.files].filter(wanted)); event.target.value = ""; };
  $("pick-files").addEventListener("click", () => $("files").click());
  $("pick-folder").addEventListener("click", () => $("folder").click());
  $("files").addEventListener("change", chosen);
  $("folder").addEventListener("change", chosen);
  // Anywhere on the page: a file that misses the zone must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  window.addEventListener("dragover", () => zone.classList.add("over"));
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
  window.addEventListener("drop", async (event) => {
    zone.classList.remove("over");
    const files = await dropped(event.dataTransfer);
    if (files.length) take(files);
  });
}

const wanted = (file) => file.size > 0 && !HIDDEN.test(file.name);

async function dropped(transfer) {
  // All entries at once: the list is empty after the first wait.
  const entries = [...transfer.items].map((item) => (item.webkitGetAsEntry ? item.webkitGetAsEntry() : null)).filter(Boolean);
  if (!entries.length) return [...transfer.files].filter(wanted);
  const files = [];
  for (const entry of entries) await walk(entry, files);
  return files.filter(wanted);
}

async function walk(entry, files) {
  if (entry.isFile) {
    files.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); }));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return;
    for (const each of some) await walk(each, files);
  }
}
