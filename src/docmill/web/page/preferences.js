/** What a reader chose on this machine: language, theme, notices. Never anything secret. */

const PREFIX = "docmill.";

/** @param {string} name @returns {string | null} */
export function chosen(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null; // a browser that keeps nothing
  }
}

/** @param {string} name @param {string} value */
export function choose(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // Then the choice holds as long as the page is open.
  }
}
