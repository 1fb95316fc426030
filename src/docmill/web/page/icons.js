/** The page's signs, drawn on 16 by 16 in the colour of the text. Each means what a word beside it says. */

import { svg } from "./element.js";

const PATHS = {
  documents: "M4 2.5h5l3 3v8H4z M9 2.5v3h3 M6 8.5h4 M6 11h4",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9z M10.3 10.3 13.5 13.5",
  operator: "M2.5 11.5a5.5 5.5 0 0 1 11 0 M8 11.5l2.6-3.6 M2.5 13.5h11",
  upload: "M8 10.5v-8 M5 5.3 8 2.4l3 2.9 M2.5 10v3.5h11V10",
  folder: "M2.5 12.5v-9h4l1.5 2h5.5v7z",
  download: "M8 2.5v8 M5 7.6l3 2.9 3-2.9 M2.5 10v3.5h11V10",
  retry: "M12.8 6.2A5.2 5.2 0 1 0 13.2 9 M13 2.8v3.6H9.4",
  trash: "M3 4.5h10 M6.5 4.5v-2h3v2 M4.3 4.5l.6 9h6.2l.6-9 M6.8 7v4 M9.2 7v4",
  cancel: "M4 4l8 8 M12 4l-8 8",
  pause: "M5.5 3.5v9 M10.5 3.5v9",
  resume: "M5 3.2v9.6L12.5 8z",
  done: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8z M5.2 8.2l2 2 3.6-4",
  failed: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8z M8 4.8v3.8 M8 10.9v.3",
  warning: "M8 2.2 14.2 13H1.8z M8 6.3v3.2 M8 11.2v.2",
  cancelled: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8z M3.8 12.2l8.4-8.4",
  back: "M10 3 5 8l5 5",
  forward: "M6 3l5 5-5 5",
  copy: "M5.5 5.5v-3h8v8h-3 M2.5 5.5h8v8h-8z",
  bell: "M4 11V7a4 4 0 0 1 8 0v4l1.2 1.5H2.8z M6.8 14h2.4",
  drain: "M2.5 3.5h11 M4.5 7h7 M6.5 10.5h3 M8 13.5v.1",
};

/** @typedef {keyof typeof PATHS} Icon */

/** A sign; it is decoration, so that screen readers read the word alone. @param {Icon} name @param {string} [mirrored] */
export function icon(name, mirrored) {
  return svg("svg", { class: mirrored ? `icon ${mirrored}` : "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { d: PATHS[name] }));
}

/** A ring that is open where work goes on; dashed while nobody works. @param {"queued" | "processing"} state */
export function ring(state) {
  return svg("svg", { class: `icon ring ${state}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("circle", { cx: 8, cy: 8, r: 6.2 }), svg("path", { d: "M8 1.8a6.2 6.2 0 0 1 6.2 6.2" }));
}

/** The mill: a wheel with its spokes. */
export const wheel = () =>
  svg("svg", { class: "wheel", viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("circle", { cx: 12, cy: 12, r: 8.2 }), svg("circle", { cx: 12, cy: 12, r: 2.2 }),
    svg("path", { d: "M12 1.6v8.2 M12 14.2v8.2 M1.6 12h8.2 M14.2 12h8.2 M4.65 4.65l5.8 5.8 M13.55 13.55l5.8 5.8 M19.35 4.65l-5.8 5.8 M10.45 13.55l-5.8 5.8" }));

const KINDS = /** @type {[RegExp, string][]} */ ([
  [/pdf/, "PDF"], [/wordprocessing|msword|opendocument\.text|rtf/, "DOC"],
  [/presentation|powerpoint/, "PPT"], [/spreadsheet|excel|csv/, "XLS"], [/html/, "HTM"], [/epub/, "EPB"],
  [/rfc822|outlook/, "EML"], [/ipynb/, "NB"], [/markdown/, "MD"], [/^text/, "TXT"],
]);

/** The kind of a file in three letters: by its content where the server knows it, else by its name.
 * @param {string | null} mediaType @param {string} filename */
export function kindOf(mediaType, filename) {
  const known = mediaType && KINDS.find(([pattern]) => pattern.test(mediaType));
  if (known) return known[1];
  const ending = /\.([\p{L}\p{N}]{1,4})$/u.exec(filename);
  return ending?.[1] ? ending[1].slice(0, 3).toUpperCase() : "···";
}

/** A sheet of paper with the kind of file on it. @param {string} kind */
export const glyph = (kind) =>
  svg("svg", { class: "glyph", viewBox: "0 0 32 36", "aria-hidden": "true", "data-kind": kind },
    svg("path", { class: "sheet", d: "M3.5 1.5h17l8 8v25h-25z" }), svg("path", { class: "fold", d: "M20.5 1.5v8h8" }),
    svg("text", { x: 16, y: 26, "text-anchor": "middle" }, kind));
