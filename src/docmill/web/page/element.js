/** Making elements. Text goes in as text, never as markup: there is no way here to parse any. */

const SVG = "http://www.w3.org/2000/svg";

/** @typedef {Node | string | number | null | undefined | false} Child */
/** @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes */

/**
 * An HTML element. Functions become listeners (`onclick`), true an empty attribute; false, null and
 * undefined leave an attribute out.
 *
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/**
 * An SVG element, by the same rules.
 *
 * @template {keyof SVGElementTagNameMap} Name
 * @param {Name} name
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[Name]}
 */
export function svg(name, attributes = {}, ...children) {
  return filled(/** @type {any} */ (document.createElementNS(SVG, name)), attributes, children);
}

/**
 * @template {Element} Kind
 * @param {Kind} made @param {Attributes} attributes @param {(Child | Child[])[]} children
 * @returns {Kind}
 */
function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) set(made, name, value);
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) made.append(/** @type {any} */ (child));
  }
  return made;
}

/** @param {Element} made @param {string} name @param {Attributes[string]} value */
function set(made, name, value) {
  if (typeof value === "function") made.addEventListener(name.slice(2), value);
  else if (value === true) made.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
}

/** Change a text only where it is another: screen readers and observers see real changes alone.
 * @param {Element} shown @param {string} text */
export function say(shown, text) {
  if (shown.textContent !== text) shown.textContent = text;
}

/** The one element with this id, which index.html or the shell holds.
 * @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found;
}
