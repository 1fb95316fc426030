/**
 * Uploads that were begun and have not ended, kept by the browser: a page that is opened anew can go
 * on with them. Only where and what, never bytes: the file must be there again, by its handle where
 * the browser gave one, else chosen once more.
 */

/** @import {Fingerprint} from "./fingerprint.js" */

/**
 * @typedef {Object} InFlight
 * @property {string} id
 * @property {string} url where the server keeps what it has
 * @property {Fingerprint} fingerprint
 * @property {string} path
 * @property {string} collection
 * @property {FileSystemFileHandle | null} handle
 */

const STORE = "uploads";
const LOCK = "docmill.upload.";

/** @type {Promise<IDBDatabase> | null} */
let opened = null;

/** @returns {Promise<IDBDatabase>} */
function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("docmill", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

/**
 * @template Result
 * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<Result>} work
 * @returns {Promise<Result>}
 */
async function within(mode, work) {
  const store = (await database()).transaction(STORE, mode).objectStore(STORE);
  const request = work(store);
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @param {InFlight} upload */
export const remember = (upload) => within("readwrite", (store) => store.put(upload));

/** @param {string} id */
export const forget = (id) => within("readwrite", (store) => store.delete(id));

/** Those that no open page is sending at the moment. @returns {Promise<InFlight[]>} */
export async function orphans() {
  const [all, sent] = await Promise.all([within("readonly", (store) => store.getAll()), heldElsewhere()]);
  return all.filter(({ id }) => !sent.has(id));
}

/** Say to other pages of this browser that this one has the upload in hand, until it is let go.
 * @param {string} id @param {Promise<unknown>} ended */
export function hold(id, ended) {
  void navigator.locks?.request(LOCK + id, () => ended.catch(() => undefined));
}

/** @returns {Promise<Set<string>>} */
async function heldElsewhere() {
  const { held = [] } = (await navigator.locks?.query()) ?? {};
  return new Set(held.map(({ name }) => String(name).replace(LOCK, "")));
}
