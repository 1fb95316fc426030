/** Sending files, a few at once. XMLHttpRequest, because fetch does not tell how much was sent. */

import { refusal, Unreachable } from "./api.js";

const AT_ONCE = 3;

/** @type {(() => Promise<void>)[]} */
const waiting = [];
let running = 0;

/** Whether bytes are still in the browser: only then is leaving the page a loss. */
export const isSending = () => running > 0 || waiting.length > 0;

/**
 * Send a file when it is its turn.
 *
 * @param {File} file
 * @param {(sent: number) => void} onSent
 * @returns {Promise<{document_id: string}>} the body of the 202: the server has it for good
 */
export function send(file, onSent) {
  return new Promise((resolve, reject) => {
    waiting.push(() => post(file, onSent).then(resolve, reject));
    next();
  });
}

function next() {
  if (running >= AT_ONCE) return;
  const start = waiting.shift();
  if (!start) return;
  running += 1;
  start().finally(() => {
    running -= 1;
    next();
  });
}

/** @param {File} file @param {(sent: number) => void} onSent @returns {Promise<any>} */
function post(file, onSent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/upload-document-backend");
    request.upload.addEventListener("progress", (event) => onSent(Math.min(event.loaded, file.size)));
    request.addEventListener("error", () => reject(new Unreachable("The connection was lost. Upload it again.")));
    request.addEventListener("load", () => {
      if (request.status === 202) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText));
    });
    const form = new FormData();
    form.append("file", file);
    request.send(form);
  });
}
