// Files and folders, dropped or chosen.

import { $ } from "../dom.js";
import { checksums, joined } from "./grouping.js";
import { t } from "../texts.js";

const HIDDEN = /^\.|^Thumbs\.db$/;
// gzip, zstd (also with a skippable frame first), xz, bzip2
const COMPRESSED = /^(1f8b|28b52ffd|5.2a4d18|fd377a585a|425a68)/;

// `take` gets the items to send ({file, path, checksum}), those that are left out ({path, size, reason}), and whether they are of
// a folder.
export function listen(take) {
  const zone = $("drop");
  const chosen = async (event, isFolder) => {
    const found = [...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name, isFolder }));
    event.target.value = "";
    take(...await sorted(found));
  };
  $("pick-files").addEventListener("click", () => $("files").click());
  $("pick-folder").addEventListener("click", () => $("folder").click());
  $("files").addEventListener("change", (event) => chosen(event, false));
  $("folder").addEventListener("change", (event) => chosen(event, true));
  // Anywhere on the page: a file that misses the zone must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  window.addEventListener("dragover", () => zone.classList.add("over"));
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
  window.addEventListener("drop", async (event) => {
    zone.classList.remove("over");
    if (event.dataTransfer.types.includes("Files")) take(...await dropped(event.dataTransfer));
  });
}

async function dropped(transfer) {
  // All entries at once: the list is empty after the first wait.
  const entries = [...transfer.items].map((item) => (item.webkitGetAsEntry ? item.webkitGetAsEntry() : null)).filter(Boolean);
  if (!entries.length) return sorted([...transfer.files].map((file) => ({ file, path: file.name })));
  const [found, unread] = [[], []];
  for (const entry of entries) await walk(entry, entry.isDirectory, found, unread);
  const [items, leftOut] = await sorted(found);
  return [items, [...leftOut, ...unread]];
}

async function walk(entry, isFolder, found, unread) {
  const path = entry.fullPath.replace(/^\//, "");
  try {
    if (entry.isFile) found.push({ file: await new Promise((resolve, reject) => { entry.file(resolve, reject); }), path, isFolder });
    else for (const child of await children(entry)) await walk(child, isFolder, found, unread);
  } catch { unread.push({ path, size: 0, reason: t("left_out.unread") }); }
}

async function children(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return all;
    all.push(...some);
  }
}

// Files that the user picked are all sent, and the service names what is wrong. Of a folder only archives are sent.
async function sorted(found) {
  const unpacked = found.filter(({ path }) => path.endsWith("/oci-layout")).map(({ path }) => path.slice(0, -"oci-layout".length));
  const leftOut = unpacked.map((path) => ({ path, size: 0, reason: t("left_out.unpacked") }));
  const files = found.filter(({ file, path }) => !HIDDEN.test(file.name) && !unpacked.some((folder) => path.startsWith(folder)));
  const sums = await checksums(files);
  const sources = new Set([...sums.values()].map((sum) => sum.source));
  const items = [];
  for (const item of await joined(files, isArchive)) {
    const { file, path, isFolder } = item;
    const leave = (reason) => leftOut.push({ path, size: file.size, reason });
    if (sources.has(path)) leave(t("left_out.checksums"));
    else if (file.size === 0) leave(t("left_out.empty"));
    else if (item.missing) leave(t("left_out.part", { name: item.missing }));
    else if (isFolder && !await isArchive(file)) leave(t("left_out.no_archive"));
    else items.push({ file, path, checksum: sums.get(path)?.checksum });
  }
  return [items, leftOut];
}

// By its first block: compressed, or a tar, whose header has a sum over itself.
async function isArchive(file) {
  let block;
  try { block = new Uint8Array(await file.slice(0, 512).arrayBuffer()); } catch { return false; }
  if (COMPRESSED.test([...block.slice(0, 5)].map((byte) => byte.toString(16).padStart(2, "0")).join(""))) return true;
  if (block.length < 512) return false;
  const written = parseInt(new TextDecoder().decode(block.slice(148, 156)).replaceAll("\0", " ").trim(), 8);
  return written === block.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 32 : byte), 0);
}
