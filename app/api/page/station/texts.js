// The visible texts of the page, one file per language. A text with forms for numbers is chosen by `n`.

import de from "./texts/de.js";
import en from "./texts/en.js";

const LANGUAGES = { en, de };
const KEY = "tarmac-language";

function chosen() {
  let stored = "";
  try { stored = localStorage.getItem(KEY) || ""; } catch { /* storage is off: the language of the browser */ }
  const wanted = [stored, ...navigator.languages].map((name) => name.slice(0, 2));
  return wanted.find((name) => name in LANGUAGES) || "en";
}

export const language = chosen();
const texts = LANGUAGES[language];
const plural = new Intl.PluralRules(language);

export function t(key, values = {}) {
  const found = texts[key] ?? key;
  const text = typeof found === "string" ? found : found[plural.select(values.n)] ?? found.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export const has = (key) => key in texts;

// Another language needs all texts: the page is loaded again.
export function use(name) {
  try { localStorage.setItem(KEY, name); } catch { return; }
  location.reload();
}

// data-t is the text of an element, data-t-NAME that of its attribute.
export function fill(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const [attribute, name] of [["placeholder", "tPlaceholder"], ["aria-label", "tLabel"]]) {
    for (const element of root.querySelectorAll("*")) if (element.dataset[name]) element.setAttribute(attribute, t(element.dataset[name]));
  }
}
