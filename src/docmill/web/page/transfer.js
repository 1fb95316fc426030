/** One request that carries bytes. XMLHttpRequest, because fetch does not tell how much was sent. */

import { passing } from "./trouble.js";

/**
 * @param {string} method @param {string} url @param {Record<string, string>} headers
 * @param {Blob | FormData} body @param {(sent: number) => void} onSent @param {AbortSignal} signal
 * @returns {Promise<XMLHttpRequest>} answered, whatever the status
 */
export function transfer(method, url, headers, body, onSent, signal) {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", ({ loaded }) => onSent(loaded));
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => reject(passing()));
    request.addEventListener("abort", () => reject(signal.reason));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}
