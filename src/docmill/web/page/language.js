/** What the page says, in the reader's language: a catalogue per language, and the platform's `Intl`. */

import * as preferences from "./preferences.js";
import { pseudo } from "./pseudo.js";

/** @typedef {string | {[rest: string]: Message}} Message */
/** @typedef {{name: string, source: string, direction: "ltr" | "rtl", pseudo?: boolean}} Language */

/** @type {Record<string, Language>} */
export const LANGUAGES = {
  en: { name: "English", source: "en", direction: "ltr" },
  de: { name: "Deutsch", source: "de", direction: "ltr" },
};

/** For tests, by `?language=`: every sentence longer and marked; and one that is written leftwards.
 * @type {Record<string, Language>} */
const PSEUDO = {
  "en-XA": { name: "Pseudo", source: "en", direction: "ltr", pseudo: true },
  "ar-XB": { name: "Pseudo, leftwards", source: "en", direction: "rtl", pseudo: true },
};

let tag = "en";
/** @type {Message} */
let catalogue = {};

/** The tag of the language in use. */
export const current = () => tag;

/** Choose by address, by what was chosen before, or by the browser's languages; load its catalogue. */
export async function open() {
  const asked = new URLSearchParams(location.search).get("language");
  const wishes = [asked, preferences.chosen("language"), ...navigator.languages.map((name) => name.slice(0, 2))];
  await use(wishes.find((name) => name && (name in LANGUAGES || name in PSEUDO)) ?? "en");
}

/** @param {string} name */
export async function choose(name) {
  preferences.choose("language", name);
  await use(name);
}

/** @param {string} name */
async function use(name) {
  const chosen = /** @type {Language} */ (LANGUAGES[name] ?? PSEUDO[name]);
  const answer = await fetch(new URL(`./${chosen.source}.json`, import.meta.url));
  const loaded = await answer.json();
  catalogue = chosen.pseudo ? pseudo(loaded) : loaded;
  tag = name;
  document.documentElement.lang = name;
  document.documentElement.dir = chosen.direction;
}

/**
 * The sentence of this name, with its places filled. One that counts has forms by plural category
 * and is chosen by `count`. A name that the catalogue lacks is shown as it is: a test keeps it whole.
 *
 * @param {string} name such as `upload.paused`
 * @param {Record<string, string | number>} [values]
 */
export function t(name, values = {}) {
  const found = lookup(name);
  const text = typeof found === "string" ? found : found && plural(found, Number(values.count));
  if (text === undefined) return name;
  return text.replace(/\{(\w+)\}/g, (_, place) => shown(values[place] ?? ""));
}

/** Whether the catalogue has a sentence of this name. @param {string} name */
export const has = (name) => lookup(name) !== undefined;

/** @param {string} name @returns {Message | undefined} */
function lookup(name) {
  return name.split(".").reduce((/** @type {Message | undefined} */ inside, part) =>
    typeof inside === "object" ? inside[part] : undefined, catalogue);
}

/** @param {{[rest: string]: Message}} forms @param {number} count */
function plural(forms, count) {
  const form = forms[format(Intl.PluralRules).select(count)] ?? forms.other;
  return typeof form === "string" ? form : undefined;
}

/** @param {string | number} value */
const shown = (value) => (typeof value === "number" ? number(value) : value);

/** The locale of numbers and dates: the reader's own of this language. Pseudo-languages have English ones. */
const locale = () => navigator.languages.find((name) => name.startsWith(spoken())) ?? spoken();

const spoken = () => (tag in LANGUAGES ? tag : "en");

/** Formats, made once: making one costs more than a hundred uses of it. @type {Map<string, any>} */
const formats = new Map();

/**
 * @template {Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat | Intl.ListFormat | Intl.PluralRules} Format
 * @param {new (locale: string, options?: any) => Format} kind @param {object} [options]
 * @returns {Format}
 */
function format(kind, options) {
  const key = `${kind.name} ${locale()} ${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new kind(locale(), options));
  return formats.get(key);
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export const number = (value, options) => format(Intl.NumberFormat, options).format(value);

/** @param {number} value from 0 to 100 */
export const percent = (value) =>
  number(value / 100, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** @type {[number, string][]} */
const SIZES = [[1e9, "gigabyte"], [1e6, "megabyte"], [1e3, "kilobyte"]];

/** @param {number} count */
export function bytes(count) {
  const [factor, unit] = SIZES.find(([least]) => count >= least) ?? [1, "byte"];
  return number(count / factor, { style: "unit", unit, maximumFractionDigits: factor > 1 ? 1 : 0, unitDisplay: factor > 1 ? "short" : "long" });
}

/** @type {[number, number, string][]} from so many seconds on, in units of so many */
const SPANS = [[2 * 86400, 86400, "day"], [2 * 3600, 3600, "hour"], [90, 60, "minute"], [1, 1, "second"], [0, 0.001, "millisecond"]];

/** A length of time in its most telling unit. @param {number} seconds */
export function duration(seconds) {
  const [, factor, unit] = /** @type {[number, number, string]} */ (SPANS.find(([from]) => seconds >= from) ?? SPANS.at(-1));
  const digits = factor === 1 && seconds < 10 ? 1 : 0;
  return number(seconds / factor, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits });
}

/** How long ago something was. @param {string} time @param {number} now in milliseconds */
export function ago(time, now) {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  const [, factor, unit] = /** @type {[number, number, string]} */ (SPANS.find(([from]) => seconds >= from && from !== 0) ?? SPANS.at(-2));
  const relative = format(Intl.RelativeTimeFormat, { numeric: "auto", style: "narrow" });
  return relative.format(-Math.floor(seconds / factor), /** @type {Intl.RelativeTimeFormatUnit} */ (unit));
}

/** @param {string} time @param {Intl.DateTimeFormatOptions} [options] */
export const clock = (time, options = { timeStyle: "medium" }) =>
  format(Intl.DateTimeFormat, options).format(new Date(time));

/** @param {string} time */
export const date = (time) => clock(time, { dateStyle: "medium", timeStyle: "medium" });

/** Names in a row, as the language joins them. @param {string[]} names */
export const list = (names) => format(Intl.ListFormat, { type: "conjunction" }).format(names);
