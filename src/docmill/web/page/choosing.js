/** Getting at files: picked, dropped, pasted, and folders with everything below them. */

/** @typedef {{file: File, path: string, handle: FileSystemFileHandle | null}} Candidate `path` is empty for a file alone */

// What systems leave in folders for themselves.
const LEFT_BY_SYSTEMS = new Set(["thumbs.db", "desktop.ini"]);

/** Files that a person means, and how many hidden ones lay beside them.
 * @param {Candidate[]} candidates @returns {{meant: Candidate[], hidden: number}} */
export function withoutHidden(candidates) {
  const meant = candidates.filter(({ file, path }) => !path || !isHidden(path, file.name));
  return { meant, hidden: candidates.length - meant.length };
}

/** @param {string} path @param {string} name */
const isHidden = (path, name) =>
  LEFT_BY_SYSTEMS.has(name.toLowerCase()) || path.split("/").some((part) => part.startsWith("."));

/** What an input or a clipboard holds. @param {FileList | null | undefined} files @returns {Candidate[]} */
export const fromFiles = (files) =>
  [...(files ?? [])].map((file) => ({ file, path: file.webkitRelativePath, handle: null }));

/** What was dropped, with everything in the folders. Everything is taken hold of before the first
 * wait: after the event the browser has forgotten it. @param {DataTransfer} transfer @returns {Promise<Candidate[]>} */
export async function fromDrop(transfer) {
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const held = items.map((item) => ({
    entry: item.webkitGetAsEntry?.() ?? null,
    handle: handleOf(item),
    file: item.getAsFile(),
  }));
  const found = await Promise.all(held.map(async ({ entry, handle, file }) => {
    if (entry?.isDirectory) return walk(entry);
    return file ? [{ file, path: "", handle: await handle }] : [];
  }));
  return found.flat();
}

/** @param {DataTransferItem} item @returns {Promise<FileSystemFileHandle | null>} */
async function handleOf(item) {
  const asked = /** @type {{getAsFileSystemHandle?: () => Promise<FileSystemHandle | null>}} */ (/** @type {unknown} */ (item));
  const handle = await asked.getAsFileSystemHandle?.().catch(() => null);
  return handle?.kind === "file" ? /** @type {FileSystemFileHandle} */ (handle) : null;
}

/** @param {FileSystemEntry} entry @returns {Promise<Candidate[]>} */
async function walk(entry) {
  if (entry.isFile) {
    const file = await fileOf(/** @type {FileSystemFileEntry} */ (entry));
    return file ? [{ file, path: entry.fullPath.replace(/^\//, ""), handle: null }] : [];
  }
  const inside = await entriesOf(/** @type {FileSystemDirectoryEntry} */ (entry));
  return (await Promise.all(inside.map(walk))).flat();
}

/** A file that can't be opened (gone, or not allowed) is left out. @param {FileSystemFileEntry} entry @returns {Promise<File | null>} */
const fileOf = (entry) => new Promise((resolve) => entry.file(resolve, () => resolve(null)));

/** A reader gives a hundred entries a time, and none when it has given all.
 * @param {FileSystemDirectoryEntry} directory @returns {Promise<FileSystemEntry[]>} */
async function entriesOf(directory) {
  const reader = directory.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((/** @type {(entries: FileSystemEntry[]) => void} */ resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) return found;
    found.push(...some);
  }
}
