/** Getting at files: picked, dropped, pasted, and folders with everything below them. */

/** @typedef {{file: File, path: string, handle: FileSystemFileHandle | null}} Candidate `path` is empty for a file alone */

// What systems leave in folders for themselves.
const LEFT_BY_SYSTEMS = new Set(["thumbs.db", "desktop.ini"]);

/** Of what was found, the files that a person means; beside them lay so many hidden ones, and so many
 * that the browser could not open. @param {(Candidate | null)[]} found */
export function sifted(found) {
  const readable = found.filter((candidate) => candidate !== null);
  const meant = readable.filter(({ file, path }) => !path || !isHidden(path, file.name));
  return { meant, hidden: readable.length - meant.length, unreadable: found.length - readable.length };
}

/** @param {string} path @param {string} name */
const isHidden = (path, name) =>
  LEFT_BY_SYSTEMS.has(name.toLowerCase()) || path.split("/").some((part) => part.startsWith("."));

/** What an input or a clipboard holds. @param {FileList | null | undefined} files @returns {Candidate[]} */
export const fromFiles = (files) =>
  [...(files ?? [])].map((file) => ({ file, path: file.webkitRelativePath, handle: null }));

/** What was dropped, with everything in the folders; null for what can't be opened. Everything is taken
 * hold of before the first wait: after the event the browser has forgotten it.
 * @param {DataTransfer} transfer @returns {Promise<(Candidate | null)[]>} */
export async function fromDrop(transfer) {
  const items = [...transfer.items].filter(({ kind }) => kind === "file");
  const held = items.map((item) => ({
    entry: item.webkitGetAsEntry?.() ?? null,
    handle: handleOf(item),
    file: item.getAsFile(),
  }));
  const found = await Promise.all(held.map(async ({ entry, handle, file }) => {
    if (entry?.isDirectory) return walk(entry);
    return [file && { file, path: "", handle: await handle }];
  }));
  return found.flat();
}

/** @param {DataTransferItem} item @returns {Promise<FileSystemFileHandle | null>} */
async function handleOf(item) {
  const asked = /** @type {{getAsFileSystemHandle?: () => Promise<FileSystemHandle | null>}} */ (/** @type {unknown} */ (item));
  const handle = await asked.getAsFileSystemHandle?.().catch(() => null);
  return handle?.kind === "file" ? /** @type {FileSystemFileHandle} */ (handle) : null;
}

/** @param {FileSystemEntry} entry @returns {Promise<(Candidate | null)[]>} */
async function walk(entry) {
  if (entry.isFile) {
    const file = await fileOf(/** @type {FileSystemFileEntry} */ (entry));
    return [file && { file, path: entry.fullPath.replace(/^\//, ""), handle: null }];
  }
  const inside = await entriesOf(/** @type {FileSystemDirectoryEntry} */ (entry));
  return inside ? (await Promise.all(inside.map(walk))).flat() : [null];
}

/** @param {FileSystemFileEntry} entry @returns {Promise<File | null>} null where it is gone, or not allowed */
const fileOf = (entry) => new Promise((resolve) => entry.file(resolve, () => resolve(null)));

/** A reader gives a hundred entries a time, and none when it has given all.
 * @param {FileSystemDirectoryEntry} directory @returns {Promise<FileSystemEntry[] | null>} null where it can't be read */
async function entriesOf(directory) {
  const reader = directory.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((/** @type {(entries: FileSystemEntry[] | null) => void} */ resolve) => reader.readEntries(resolve, () => resolve(null)));
    if (some === null) return null;
    if (some.length === 0) return found;
    found.push(...some);
  }
}
