/**
 * A language that nobody speaks, made of another one: each sentence a third longer, in other letters
 * and between brackets. What is not in brackets on the page is not in the catalogue; what is cut off
 * would be cut off in German.
 */

/** @import {Message} from "./language.js" */

const LETTERS = new Map([..."aceinosuyACEINOSUY"].map((letter, at) => [letter, [..."àçéîñôšûýÀÇÉÎÑÔŠÛÝ"][at] ?? letter]));

/** @param {Message} message @returns {Message} */
export function pseudo(message) {
  if (typeof message === "string") return stretched(message);
  return Object.fromEntries(Object.entries(message).map(([name, inner]) => [name, pseudo(inner)]));
}

/** @param {string} text */
function stretched(text) {
  const written = text.split(/(\{\w+\})/).map((piece, index) => (index % 2 ? piece : accented(piece))).join("");
  return `⟦${written}${"·".repeat(Math.ceil(text.length / 3))}⟧`;
}

/** @param {string} text */
const accented = (text) => [...text].map((letter) => LETTERS.get(letter) ?? letter).join("");
