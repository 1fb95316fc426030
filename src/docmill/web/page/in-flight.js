/**
 * Uploads that were begun and have not ended, kept by the browser: a page that is opened anew can go
 * on with them. Only where and what, never bytes: the file must be there again, by its handle where
 * the browser gave one, else chosen once more.
 */

/** @import {Fingerprint} from "./fingerprint.js" */

/**
 * @typedef {Object} InFlight
 * @property {string} id
 * @property {string} owner whose it is: nobody else's page shows it
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

/** @param {string} owner @returns {Promise<InFlight[]>} */
export async function allOf(owner) {
  /** @type {InFlight[]} */
  const kept = await within("readonly", (store) => store.getAll());
  return kept.filter((upload) => upload.owner === owner);
}

/** @param {string} id @returns {Promise<InFlight | undefined>} */
export const read = (id) => within("readonly", (store) => store.get(id));

/**
 * Work on an upload, unless another page of this browser does.
 *
 * @param {string} id @param {() => Promise<void>} work
 * @returns {Promise<boolean>} whether it was this page's to work on
 */
export async function holding(id, work) {
  if (!navigator.locks) return work().then(() => true); // plain http: pages do not know of each other
  return navigator.locks.request(LOCK + id, { ifAvailable: true }, async (lock) => {
    if (lock) await work();
    return lock !== null;
  });
}

/** Wait until no page works on an upload: the one that did may be closing at this moment.
 * @param {string} id @returns {Promise<void>} */
export async function untilFree(id) {
  await navigator.locks?.request(LOCK + id, () => undefined);
}
