/** The page: choosing and dropping files, and the two parts below it. */

import * as api from "./api.js";
import * as documents from "./documents.js";
import * as search from "./search.js";
import * as words from "./words.js";

const files = /** @type {HTMLInputElement} */ (document.getElementById("files"));
const drop = /** @type {HTMLElement} */ (document.getElementById("drop"));

files.addEventListener("change", () => {
  documents.take([...(files.files ?? [])]);
  files.value = ""; // the same file may be chosen again
});

// A file that misses the zone must not replace the page.
for (const name of ["dragover", "drop"]) {
  window.addEventListener(name, (event) => event.preventDefault());
}
drop.addEventListener("dragover", () => drop.classList.add("over"));
for (const name of ["dragleave", "drop"]) {
  drop.addEventListener(name, () => drop.classList.remove("over"));
}
drop.addEventListener("drop", (event) => documents.take([...(event.dataTransfer?.files ?? [])]));

search.open();
await documents.open();

try {
  const { max_upload_bytes, types } = await api.limits();
  const limit = /** @type {HTMLElement} */ (document.getElementById("limits"));
  limit.textContent = `${types.join(", ")}; up to ${words.size(max_upload_bytes)} a file`;
} catch {
  // The banner says already that the server is away.
}
