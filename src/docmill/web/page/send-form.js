/** Sending a file as a form. It can't be continued: after trouble it begins anew. */

/** @import {Hooks, Source} from "./send.js" */

import { refusal } from "./api.js";
import { transfer } from "./transfer.js";
import { asPassing, beforeNextTry } from "./trouble.js";

/** @param {Source} source @param {Hooks} hooks @returns {Promise<string>} */
export async function sendByForm(source, { onProgress, onTrouble, signal }) {
  for (let failures = 1; ; failures += 1) {
    try {
      return await post(source, onProgress, signal);
    } catch (error) {
      const trouble = asPassing(error);
      if (signal.aborted || !trouble) throw error;
      onTrouble(trouble.kind);
      await beforeNextTry(trouble, failures, signal);
      onTrouble(null);
    }
  }
}

/** @param {Source} source @param {(sent: number) => void} onProgress @param {AbortSignal} signal */
async function post({ file, path, collection }, onProgress, signal) {
  const form = new FormData();
  if (collection) form.append("collection", collection);
  if (path) form.append("metadata", JSON.stringify({ relative_path: path }));
  form.append("file", file, file.name); // without a name given, browsers send the path of a file in a folder
  const sent = (/** @type {number} */ bytes) => onProgress(Math.min(bytes, file.size));
  const answer = await transfer("POST", "/upload-document-backend", {}, form, sent, signal);
  if (answer.status === 202) return String(JSON.parse(answer.responseText).document_id);
  throw refusal(answer.status, answer.responseText, answer.getResponseHeader("Retry-After"));
}
