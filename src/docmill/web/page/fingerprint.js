/** Whether a file is the one that an upload was begun with. */

const DIGESTED_BYTES = 1 << 20;

/** @typedef {{name: string, size: number, modified: number, digest: string}} Fingerprint */

/** Name, size, time of change, and a digest of the first MiB where the page may compute one.
 * @param {File} file @returns {Promise<Fingerprint>} */
export async function fingerprint(file) {
  return { name: file.name, size: file.size, modified: file.lastModified, digest: await digest(file) };
}

/** @param {Fingerprint} one @param {Fingerprint} other */
export const isSame = (one, other) =>
  one.name === other.name && one.size === other.size && one.modified === other.modified && one.digest === other.digest;

/** @param {File} file */
async function digest(file) {
  if (!crypto.subtle) return "";
  const bytes = await file.slice(0, DIGESTED_BYTES).arrayBuffer();
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
