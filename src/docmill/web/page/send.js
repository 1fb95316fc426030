/**
 * Sending a file by tus 1.0: created once, then sent in slices, each from the offset that the server
 * committed last. After trouble the server is asked for that offset, so no byte that it acknowledged
 * is sent again, and none that it lacks is left out.
 *
 * A small file is created and sent by one request. Its address comes with the answer alone, so where
 * that is lost nobody can ask how far it came: it is sent once more, in two steps. If the server had
 * it after all, it knows the bytes and says `existing`; there is one document either way.
 */

import { refusal } from "./api.js";
import { transfer } from "./transfer.js";
import { asPassing, beforeNextTry, passing } from "./trouble.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
// A slice counts when it is there as a whole. On a network that breaks often, smaller ones get through.
const LARGEST_SLICE_BYTES = 8 << 20;
const SMALLEST_SLICE_BYTES = 512 << 10;
// What may be sent again from its first byte after a cut, without anybody minding.
const SMALL_FILE_BYTES = 1 << 20;
const SLICE = { "Content-Type": "application/offset+octet-stream" };
// Others hold the upload, it changed under us, bytes fell over on the way, or we ask too often.
const PASSING = new Set([408, 409, 423, 425, 429, 460]);
const GONE = new Set([404, 410]);

/**
 * @typedef {Object} Source what is sent
 * @property {File} file
 * @property {string} path where it lay below the folder that was chosen; empty for a file alone
 * @property {string} collection a name, or empty
 * @property {string | null} url where the server keeps what it has of it, if it was begun before
 *
 * @typedef {Object} Hooks
 * @property {(sent: number) => void} onProgress bytes that left; those that the server has, at each begin
 * @property {(url: string | null) => void} onUrl where it can be continued, as soon as that is known
 * @property {(trouble: "offline" | "server" | "session" | null) => void} onTrouble why it waits; null: it goes on
 * @property {AbortSignal} signal
 *
 * @typedef {{documentId: string, outcome: string}} Sent the document that the bytes are committed as;
 *   the outcome is `accepted`, or `existing` where they were here already
 *
 * @typedef {{url: string, offset: number | null, sent: Sent | null}} Place how far an upload is; the
 *   offset is null until the server was asked
 */

/**
 * Send a file until the server has it for good. Trouble that passes is waited out.
 *
 * @param {Source} source @param {Hooks} hooks @returns {Promise<Sent>}
 * @throws `Refused`: the server does not take it
 */
export async function send(source, hooks) {
  /** @type {Place | null} */
  let place = source.url === null ? null : { url: source.url, offset: null, sent: null };
  let failures = 0;
  while (!place?.sent) {
    try {
      place = await step(place, source, hooks, failures);
      failures = Math.max(0, failures - 1);
    } catch (error) {
      const trouble = asPassing(error);
      if (hooks.signal.aborted || !trouble) throw error;
      failures += 1;
      hooks.onTrouble(trouble.kind);
      await beforeNextTry(trouble, failures, hooks.signal);
      hooks.onTrouble(null);
      if (place) place = { ...place, offset: null };
    }
  }
  return place.sent;
}

/** The next request: begin, ask how far it is, or send a slice.
 * @param {Place | null} place @param {Source} source @param {Hooks} hooks @param {number} failures @returns {Promise<Place | null>} */
async function step(place, source, hooks, failures) {
  hooks.signal.throwIfAborted();
  const next = place === null ? await begin(source, hooks, failures)
    : place.offset === null ? await find(place.url, hooks.signal)
    : await sendSlice(place.url, place.offset, source.file, hooks, failures);
  if (!next?.sent) hooks.onUrl(next?.url ?? null);
  hooks.onProgress(next?.offset ?? 0);
  return next;
}

/** @param {Source} source @param {Hooks} hooks @param {number} failures @returns {Promise<Place>} */
async function begin(source, hooks, failures) {
  const { file } = source;
  const headers = { ...VERSION, "Upload-Length": String(file.size), "Upload-Metadata": metadata(source) };
  const isWhole = file.size <= SMALL_FILE_BYTES && failures === 0;
  const body = isWhole ? file : file.slice(0, 0);
  const ofBody = isWhole ? { ...SLICE, ...(await checksum(file)) } : {};
  const answer = await transfer("POST", "/uploads", { ...headers, ...ofBody }, body, hooks.onProgress, hooks.signal);
  if (answer.status !== 201) throw failed(answer.status, answer.responseText, answer.getResponseHeader("Retry-After"));
  return placeOf(String(answer.getResponseHeader("Location")), (name) => answer.getResponseHeader(name));
}

/** How far an upload is; null where the server knows it no more.
 * @param {string} url @param {AbortSignal} signal @returns {Promise<Place | null>} */
export async function find(url, signal) {
  const answer = await request(url, { method: "HEAD", headers: VERSION, cache: "no-store", signal });
  if (GONE.has(answer.status)) return null;
  if (!answer.ok) throw await refused(answer);
  return placeOf(url, (name) => answer.headers.get(name));
}

/** @param {string} url @param {number} offset @param {File} file @param {Hooks} hooks @param {number} failures @returns {Promise<Place | null>} */
async function sendSlice(url, offset, file, { onProgress, signal }, failures) {
  const bytes = Math.max(SMALLEST_SLICE_BYTES, LARGEST_SLICE_BYTES / 2 ** failures);
  const slice = file.slice(offset, offset + bytes);
  const headers = { ...VERSION, ...SLICE, "Upload-Offset": String(offset), ...(await checksum(slice)) };
  const answer = await transfer("PATCH", url, headers, slice, (sent) => onProgress(offset + sent), signal);
  if (GONE.has(answer.status)) return null;
  if (answer.status !== 204) throw failed(answer.status, answer.responseText, answer.getResponseHeader("Retry-After"));
  return placeOf(url, (name) => answer.getResponseHeader(name));
}

/** @param {string} url @param {(header: string) => string | null} header @returns {Place} */
function placeOf(url, header) {
  const documentId = header("Docmill-Document-Id");
  const sent = documentId ? { documentId, outcome: header("Docmill-Outcome") ?? "" } : null;
  return { url, offset: Number(header("Upload-Offset")), sent };
}

/** Take back what was begun. @param {string} url */
export async function terminate(url) {
  await fetch(url, { method: "DELETE", headers: VERSION, keepalive: true }).catch(() => undefined); // it expires
}

/** @param {string} url @param {RequestInit & {signal: AbortSignal}} options */
async function request(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    throw options.signal.aborted ? error : passing();
  }
}

/** @param {Response} answer */
const refused = async (answer) => failed(answer.status, await answer.text(), answer.headers.get("Retry-After"));

/** @param {number} status @param {string} body @param {string | null} retryAfter */
const failed = (status, body, retryAfter) =>
  PASSING.has(status) ? passing(Number(retryAfter) || undefined) : refusal(status, body, retryAfter);

/** @param {Source} source */
function metadata({ file, path, collection }) {
  const values = { filename: file.name, filetype: file.type, collection, relative_path: path };
  const given = Object.entries(values).filter(([, value]) => value);
  return given.map(([name, value]) => `${name} ${base64(new TextEncoder().encode(value))}`).join(",");
}

/** The slice's digest, where the page may compute one (https, or this machine).
 * @param {Blob} slice @returns {Promise<Record<string, string>>} */
async function checksum(slice) {
  if (!crypto.subtle) return {};
  const digest = await crypto.subtle.digest("SHA-256", await slice.arrayBuffer());
  return { "Upload-Checksum": `sha256 ${base64(new Uint8Array(digest))}` };
}

/** @param {Uint8Array} bytes */
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
