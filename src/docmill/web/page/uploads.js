/**
 * The files whose bytes are still in this browser, and what becomes of them: sent a few at a time,
 * paused, refused, waiting for the network, or interrupted by a reload and waiting for their file.
 * A file leaves this list when the server has committed it; from then on the server's list shows it.
 */

/** @import {Candidate} from "./choosing.js" */
/** @import {Sent} from "./send.js" */

import { Refused } from "./api.js";
import { fingerprint, isSame } from "./fingerprint.js";
import * as inFlight from "./in-flight.js";
import { find, send, terminate } from "./send.js";
import { session } from "./session.js";

const AT_ONCE = 3;
const STALLED_MILLISECONDS = 30_000;

/** @typedef {"waiting" | "sending" | "paused" | "refused" | "interrupted"} UploadState */

/** One file on its way. */
export class Upload {
  /** @type {UploadState} */
  state = "waiting";
  sent = 0;
  /** @type {"offline" | "server" | "session" | null} why it waits while it is being sent */
  trouble = null;
  /** @type {Refused | null} */
  problem = null;
  /** @type {string | null} where the server keeps what it has of it */
  url = null;
  /** @type {File | null} null while it is interrupted */
  file = null;
  movedAt = performance.now();
  stopping = new AbortController();
  /** @type {Promise<void>} settles when this page has let go of it */
  sending = Promise.resolve();

  /** @param {string} id @param {string} name @param {number} size @param {string} path @param {string} collection */
  constructor(id, name, size, path, collection) {
    this.id = id;
    this.name = name;
    this.size = size;
    this.path = path;
    this.collection = collection;
    /** @type {FileSystemFileHandle | null} */
    this.handle = null;
  }

  /** Whether nothing moved for so long that a person should know. */
  get isStalled() {
    return this.state === "sending" && performance.now() - this.movedAt > STALLED_MILLISECONDS;
  }
}

/** @typedef {{files: number, acceptedFiles: number, size: number, sent: number, secondsLeft: number | null}} Totals of everything since the list was last empty */

/** @typedef {{files: number, existing: number, bytes: number}} Accepted `existing`: of the files, those that were here already */

/** Events: `change`, `accepted` (a file became a document), `ended` (the last one left; `Accepted`),
 * `trouble` (one waits for the network or the server). */
class Uploads extends EventTarget {
  /** @type {Upload[]} */
  list = [];
  #accepted = { files: 0, existing: 0, bytes: 0 };
  #beganAt = 0;
  #limit = Infinity;

  /** @param {number} bytes the largest file that the server takes */
  set limit(bytes) {
    this.#limit = bytes;
  }

  /** Files that leaving the page would interrupt. */
  get pending() {
    return this.list.filter(({ state }) => state === "waiting" || state === "sending" || state === "paused");
  }

  /** Take files that a person chose; each is sent or refused by itself.
   * @param {Candidate[]} candidates @param {string} collection */
  async add(candidates, collection) {
    if (this.pending.length === 0) this.#begin();
    for (const candidate of candidates) {
      if (!(await this.#goOnWith(candidate))) this.list.push(this.#upload(candidate, collection));
    }
    this.#changed();
    this.#sendNext();
  }

  /** @param {Candidate} candidate @param {string} collection */
  #upload({ file, path, handle }, collection) {
    const upload = new Upload(newId(), file.name, file.size, path, collection);
    upload.file = file;
    upload.handle = handle;
    upload.problem = this.#refusal(file, path);
    if (upload.problem) upload.state = "refused";
    return upload;
  }

  /** What can be said without the server. @param {File} file @param {string} path */
  #refusal(file, path) {
    if (file.size === 0) return new Refused("FILE_EMPTY", "");
    if (file.size > this.#limit) return new Refused("FILE_TOO_LARGE", "", { max_size: this.#limit });
    const isListed = this.pending.some((other) => other.path === path && other.file
      && other.file.name === file.name && other.file.size === file.size && other.file.lastModified === file.lastModified);
    return isListed ? new Refused("LISTED_ALREADY", "") : null;
  }

  // going on after a reload -------------------------------------------------------------

  /** Show what an earlier page left unfinished; what another page has in hand, when that is closed. */
  async restore() {
    for (const { id } of await inFlight.allOf(owner())) void inFlight.untilFree(id).then(() => this.#restoreOne(id));
  }

  /** @param {string} id */
  async #restoreOne(id) {
    const record = await inFlight.read(id);
    if (!record || this.list.some((upload) => upload.id === id)) return;
    const place = await find(record.url, AbortSignal.timeout(10_000)).catch(() => undefined);
    if (place === null || place?.sent) return inFlight.forget(record.id); // expired, or arrived
    const { name, size } = record.fingerprint;
    const upload = new Upload(record.id, name, size, record.path, record.collection);
    Object.assign(upload, { state: "interrupted", sent: place?.offset ?? 0, url: record.url, handle: record.handle });
    this.list.push(upload);
    this.#changed();
  }

  /** Whether a file belongs to an interrupted upload, which then goes on. @param {Candidate} candidate */
  async #goOnWith({ file, handle }) {
    const interrupted = this.list.filter((upload) => upload.state === "interrupted" && upload.name === file.name && upload.size === file.size);
    if (interrupted.length === 0) return false;
    const [records, print] = await Promise.all([inFlight.allOf(owner()), fingerprint(file)]);
    const found = interrupted.find(({ id }) => records.some((record) => record.id === id && isSame(record.fingerprint, print)));
    if (found) this.#line(found, file, handle);
    return Boolean(found);
  }

  /** Get at an interrupted file by its handle; the browser asks the person, who has just clicked.
   * @param {Upload} upload @returns {Promise<boolean>} whether it goes on */
  async reopen(upload) {
    const handle = /** @type {any} */ (upload.handle);
    if (!handle || (await handle.requestPermission({ mode: "read" })) !== "granted") return false;
    const file = /** @type {File} */ (await handle.getFile());
    const known = await this.#goOnWith({ file, path: upload.path, handle: upload.handle });
    if (known) this.#sendNext();
    return known;
  }

  /** @param {Upload} upload @param {File} file @param {FileSystemFileHandle | null} handle */
  #line(upload, file, handle) {
    Object.assign(upload, { file, handle, state: "waiting", stopping: new AbortController() });
    this.#changed();
  }

  // what a person may do ----------------------------------------------------------------

  /** @param {Upload} upload */
  pause(upload) {
    if (upload.state !== "waiting" && upload.state !== "sending") return;
    upload.state = "paused";
    upload.stopping.abort();
    this.#changed();
    this.#sendNext();
  }

  /** Send on what was paused, or try again what was refused. @param {Upload} upload */
  resume(upload) {
    if (!upload.file || upload.state === "sending") return;
    upload.problem = null;
    this.#line(upload, upload.file, upload.handle);
    this.#sendNext();
  }

  /** Take a file off the list, and back from the server what it has of it. @param {Upload} upload */
  remove(upload) {
    this.list = this.list.filter((other) => other !== upload);
    upload.stopping.abort();
    if (upload.url) void terminate(upload.url);
    void inFlight.forget(upload.id);
    this.#changed();
    this.#sendNext();
  }

  /** Let go of everything, for whoever comes next. The server keeps what it has, and the browser where. */
  leave() {
    for (const upload of this.list.splice(0)) upload.stopping.abort();
    this.#changed();
  }

  pauseAll() {
    for (const upload of [...this.pending].reverse()) this.pause(upload);
  }

  resumeAll() {
    for (const upload of this.list) if (upload.state === "paused") this.resume(upload);
  }

  removeAll() {
    for (const upload of [...this.list].reverse()) this.remove(upload);
  }

  // sending -----------------------------------------------------------------------------

  #sendNext() {
    const free = AT_ONCE - this.list.filter(({ state }) => state === "sending").length;
    for (const upload of this.list.filter(({ state }) => state === "waiting").slice(0, Math.max(0, free))) {
      Object.assign(upload, { state: "sending", movedAt: performance.now() });
      upload.sending = upload.sending.then(() => this.#send(upload)); // behind one that is being stopped
    }
  }

  /** @param {Upload} upload */
  async #send(upload) {
    if (upload.state !== "sending") return;
    const isOurs = await inFlight.holding(upload.id, () => this.#deliver(upload));
    if (!isOurs) this.list = this.list.filter((other) => other !== upload); // another page goes on with it
    this.#changed();
    this.#sendNext();
  }

  /** @param {Upload} upload */
  async #deliver(upload) {
    const { signal } = upload.stopping;
    try {
      const source = { file: /** @type {File} */ (upload.file), path: upload.path, collection: upload.collection, url: upload.url };
      this.#accept(upload, await send(source, { ...this.#hooks(upload), signal }));
    } catch (error) {
      if (!signal.aborted) this.#refuse(upload, error);
    }
  }

  /** @param {Upload} upload */
  #hooks(upload) {
    return {
      onProgress: (/** @type {number} */ sent) => {
        if (sent !== upload.sent) upload.movedAt = performance.now();
        upload.sent = sent;
        this.#changed();
      },
      onTrouble: (/** @type {Upload["trouble"]} */ trouble) => {
        upload.trouble = trouble;
        this.#changed();
        if (trouble) this.dispatchEvent(new Event("trouble"));
      },
      onUrl: (/** @type {string | null} */ url) => void this.#remember(upload, url),
    };
  }

  /** @param {Upload} upload @param {string | null} url */
  async #remember(upload, url) {
    if (upload.url === url || !upload.file) return;
    upload.url = url;
    if (url === null) return inFlight.forget(upload.id);
    const { id, path, collection, handle } = upload;
    const print = await fingerprint(upload.file);
    const isStillOnItsWay = upload.url === url && this.list.includes(upload);
    if (isStillOnItsWay) await inFlight.remember({ id, owner: owner(), url, path, collection, handle, fingerprint: print });
  }

  /** @param {Upload} upload @param {Sent} sent */
  #accept(upload, { documentId, outcome }) {
    this.list = this.list.filter((other) => other !== upload);
    this.#accepted.files += 1;
    this.#accepted.existing += outcome === "existing" ? 1 : 0;
    this.#accepted.bytes += upload.size;
    void inFlight.forget(upload.id);
    this.dispatchEvent(new CustomEvent("accepted", { detail: { documentId, outcome } }));
    if (this.pending.length === 0) this.dispatchEvent(new CustomEvent("ended", { detail: this.#accepted }));
  }

  /** @param {Upload} upload @param {unknown} error */
  #refuse(upload, error) {
    if (!(error instanceof Refused)) console.error(error);
    upload.state = "refused";
    upload.problem = error instanceof Refused ? error : new Refused("FILE_GONE", "");
    void inFlight.forget(upload.id);
    upload.url = null;
  }

  // all together ------------------------------------------------------------------------

  #begin() {
    this.#accepted = { files: 0, existing: 0, bytes: 0 };
    this.#beganAt = performance.now();
  }

  /** @returns {Totals} */
  get totals() {
    const { pending } = this;
    const sum = (/** @type {"size" | "sent"} */ of) => pending.reduce((total, upload) => total + upload[of], this.#accepted.bytes);
    const [size, sent] = [sum("size"), sum("sent")];
    const seconds = (performance.now() - this.#beganAt) / 1000;
    const pace = seconds > 1 ? sent / seconds : 0;
    return {
      files: pending.length + this.#accepted.files,
      acceptedFiles: this.#accepted.files,
      size, sent,
      secondsLeft: pace > 0 ? (size - sent) / pace : null,
    };
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Whose uploads these are. */
const owner = () => session.who?.owner ?? "";

/** An id that is unique in this browser; `randomUUID` is not there on plain http. */
const newId = () => `${Date.now().toString(36)}-${[...crypto.getRandomValues(new Uint32Array(2))].map((part) => part.toString(36)).join("")}`;

export const uploads = new Uploads();
