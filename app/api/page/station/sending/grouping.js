// What belongs together among the files of a disk: the parts of a split archive, and archives with their checksums.

const PART = /^(.+?\.(?:tar|tgz|tar\.\w{1,4}|zst|gz|xz|bz2))(?:\.(\d{3,})|\.?([a-z]{2})|\.part-?(\d+|[a-z]{2})|\.(\d+)\.chunk)$/;
const SUMS = /(^|\/)(sha256sums?(\.txt)?|[^/]+\.sha256(sum)?)$/i;
const LINE = /^\\?([0-9a-f]{64})(?:\s+\*?(.+))?$/i;
const MOST_BYTES = 1_000_000; // of a file of checksums

// For each path that a file of checksums names: `{checksum, source}`.
export async function checksums(files) {
  const sums = new Map();
  const paths = new Set(files.map(({ path }) => path));
  for (const { file, path } of files) {
    if (!SUMS.test(path) || file.size > MOST_BYTES) continue;
    const folder = path.slice(0, path.lastIndexOf("/") + 1);
    for (const line of (await file.text()).split("\n")) {
      const [, hex, name] = LINE.exec(line.trim()) || [];
      if (!hex) continue;
      const named = name ? folder + name.replace(/^\.\//, "") : path.replace(/\.sha256(sum)?$/i, "");
      if (paths.has(named)) sums.set(named, { checksum: `sha256:${hex.toLowerCase()}`, source: path });
    }
  }
  return sums;
}

// The files, those of a split archive as one file under the name of the archive. If a part is missing, `missing` names it.
export async function joined(files, isArchive) {
  const groups = new Map();
  const items = [];
  for (const item of files) {
    const [, stem, ...numbers] = PART.exec(item.path) || [];
    if (!stem) { items.push(item); continue; }
    groups.set(stem, [...(groups.get(stem) || []), { item, number: numbers.find(Boolean) }]);
  }
  for (const [stem, parts] of groups) {
    parts.sort((a, b) => a.number.length - b.number.length || (a.number < b.number ? -1 : 1));
    if (parts.length < 2 || await isArchive(parts[1].item.file)) items.push(...parts.map(({ item }) => item));
    else items.push(whole(stem, parts));
  }
  return items;
}

function whole(path, parts) {
  const files = parts.map(({ item }) => item.file);
  const file = new File(files, path.split("/").at(-1), { lastModified: files[0].lastModified }); // reads nothing
  return { file, path, isFolder: parts[0].item.isFolder, missing: missing(parts.map(({ number }) => number)) };
}

// The first number that is missing, or null. Parts begin at 0 or 1, or at aa.
function missing(numbers) {
  const values = numbers.map((number) => (/^\d+$/.test(number) ? Number(number) : (number.charCodeAt(0) - 97) * 26 + number.charCodeAt(1) - 97));
  const gap = values.findIndex((value, at) => value !== (at ? values[at - 1] + 1 : Math.min(value, 1)));
  return gap < 0 ? null : `< ${numbers[gap]}`;
}
