// Files and folders, dropped or chosen.

import { $ } from "./dom.js";

const HIDDEN = /^\.|^Thumbs\.db$/;
// gzip, zstd (also with a skippable frame first), xz, bzip2
const COMPRESSED = /^(1f8b|28b52ffd|5.2a4d18|fd377a585a|425a68)/;

// `take` gets the files to send, and what is said of those that are left out.
export function listen(take) {
  const zone = $("drop");
  const chosen = async (event, isFolder) => {
    const found = [...event.target.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
    event.target.value = "";
    take(...await sorted(found, isFolder));
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
  if (!entries.length) return sorted([...transfer.files].map((file) => ({ file, path: file.name })), false);
  const [alone, below, unread] = [[], [], []];
  for (const entry of entries) await walk(entry, entry.isFile ? alone : below, unread);
  const [[some, without], [more, others]] = [await sorted(alone, false), await sorted(below, true)];
  return [[...some, ...more], [...without, ...others, ...unread]];
}

async function walk(entry, found, unread) {
  try {
    if (entry.isFile) found.push({ file: await new Promise((resolve, reject) => { entry.file(resolve, reject); }), path: entry.fullPath });
    else for (const each of await children(entry)) await walk(each, found, unread);
  } catch { unread.push(`${entry.name} (cannot be read)`); }
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

// Of what somebody picked, everything is sent: the service says what is wrong with it. In a folder lies a lot else.
async function sorted(found, isFolder) {
  const unpacked = found.filter(({ path }) => path.endsWith("/oci-layout")).map(({ path }) => path.slice(0, -"oci-layout".length));
  const taken = [];
  const leftOut = unpacked.map((folder) => `${folder} (an unpacked image: put it into a tar first)`);
  for (const { file, path } of found) {
    if (HIDDEN.test(file.name) || unpacked.some((folder) => path.startsWith(folder))) continue;
    if (file.size === 0) leftOut.push(`${file.name} (empty)`);
    else if (isFolder && !await isArchive(file)) leftOut.push(`${file.name} (no archive)`);
    else taken.push(file);
  }
  return [taken, leftOut];
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
