/**
 * Sending a file by tus 1.0: created once, then sent in slices, each from the offset that the server
 * committed last. After trouble the server is asked for that offset, so no byte that it acknowledged
 * is sent again, and none that it lacks is left out.
 */

/** @import {Hooks, Source} from "./send.js" */

import { refusal, Unreachable } from "./api.js";
import { transfer } from "./transfer.js";
import { asPassing, beforeNextTry, passing } from "./trouble.js";

const VERSION = { "Tus-Resumable": "1.0.0" };
const SLICE_BYTES = 8 << 20;
const DOCUMENT_ID = "Docmill-Document-Id";
// Others hold the upload, it changed under us, bytes fell over on the way, or we ask too often.
const PASSING = new Set([408, 409, 423, 425, 429, 460]);
const GONE = new Set([404, 410]);

/** @typedef {{checksum: boolean, termination: boolean}} Tus what the server can */
/** @typedef {{url: string, offset: number | null, documentId: string | null}} Place how far an upload is; the offset is null until the server was asked */

/** What the server's tus can; null where it has none. @returns {Promise<Tus | null>} */
export async function tusOf() {
  const answer = await fetch("/uploads", { method: "OPTIONS" }).catch(() => { throw new Unreachable(); });
  if (!answer.headers.has("Tus-Version")) return null;
  const can = answer.headers.get("Tus-Extension") ?? "";
  const digests = answer.headers.get("Tus-Checksum-Algorithm") ?? "";
  return { checksum: can.includes("checksum") && digests.includes("sha256"), termination: can.includes("termination") };
}

/** @param {Source} source @param {Hooks} hooks @param {Tus} tus @returns {Promise<string>} */
export async function sendByTus(source, hooks, tus) {
  /** @type {Place | null} */
  let place = source.url === null ? null : { url: source.url, offset: null, documentId: null };
  let failures = 0;
  while (!place?.documentId) {
    try {
      place = await step(place, source, hooks, tus);
      failures = 0;
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
  return place.documentId;
}

/** The next request: begin, ask how far it is, or send a slice.
 * @param {Place | null} place @param {Source} source @param {Hooks} hooks @param {Tus} tus */
async function step(place, source, hooks, tus) {
  hooks.signal.throwIfAborted();
  const next = place === null ? await create(source, hooks.signal)
    : place.offset === null ? await find(place.url, hooks.signal)
    : await sendSlice(place.url, place.offset, source.file, hooks, tus);
  hooks.onUrl(next?.url ?? null);
  hooks.onProgress(next?.offset ?? 0);
  return next;
}

/** @param {Source} source @param {AbortSignal} signal @returns {Promise<Place>} */
async function create(source, signal) {
  const headers = { ...VERSION, "Upload-Length": String(source.file.size), "Upload-Metadata": metadata(source) };
  const answer = await request("/uploads", { method: "POST", headers, signal });
  if (answer.status !== 201) throw await refused(answer);
  return { url: String(answer.headers.get("Location")), offset: 0, documentId: answer.headers.get(DOCUMENT_ID) };
}

/** How far an upload is; null where the server knows it no more. @param {string} url @param {AbortSignal} signal @returns {Promise<Place | null>} */
export async function find(url, signal) {
  const answer = await request(url, { method: "HEAD", headers: VERSION, cache: "no-store", signal });
  if (GONE.has(answer.status)) return null;
  if (!answer.ok) throw await refused(answer);
  return { url, offset: Number(answer.headers.get("Upload-Offset")), documentId: answer.headers.get(DOCUMENT_ID) };
}

/** @param {string} url @param {number} offset @param {File} file @param {Hooks} hooks @param {Tus} tus @returns {Promise<Place | null>} */
async function sendSlice(url, offset, file, { onProgress, signal }, tus) {
  const slice = file.slice(offset, offset + SLICE_BYTES);
  const headers = {
    ...VERSION, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset),
    ...(tus.checksum ? await checksum(slice) : {}),
  };
  const sent = (/** @type {number} */ bytes) => onProgress(offset + bytes);
  const answer = await transfer("PATCH", url, headers, slice, sent, signal);
  if (GONE.has(answer.status)) return null;
  if (answer.status !== 204) throw failed(answer.status, answer.responseText, answer.getResponseHeader("Retry-After"));
  const place = { url, offset: Number(answer.getResponseHeader("Upload-Offset")), documentId: answer.getResponseHeader(DOCUMENT_ID) };
  if (place.offset >= file.size && !place.documentId) throw passing(); // all is there: ask for the document
  return place;
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
function failed(status, body, retryAfter) {
  return PASSING.has(status) ? passing(Number(retryAfter) || undefined) : refusal(status, body, retryAfter);
}

/** @param {Source} source */
function metadata({ file, path, collection }) {
  const values = { filename: file.name, filetype: file.type, collection, relative_path: path };
  return Object.entries(values).filter(([, value]) => value).map(([name, value]) => `${name} ${base64(new TextEncoder().encode(value))}`).join(",");
}

/** The slice's digest, where the page may compute one (https, or this machine). @param {Blob} slice @returns {Promise<Record<string, string>>} */
async function checksum(slice) {
  if (!crypto.subtle) return {};
  const digest = await crypto.subtle.digest("SHA-256", await slice.arrayBuffer());
  return { "Upload-Checksum": `sha256 ${base64(new Uint8Array(digest))}` };
}

/** @param {Uint8Array} bytes */
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
