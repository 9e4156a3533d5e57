// Elements are made here and nowhere else. Text becomes text, whatever it says: no markup is ever parsed.

import { t } from "./texts.js";

export const $ = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function bar(label) {
  const fill = h("span");
  const element = h("div", { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  return {
    element,
    set(percent, kind = "") {
      element.className = `bar ${kind}`;
      fill.style.width = `${percent}%`;
      element.setAttribute("aria-valuenow", String(Math.round(percent)));
    },
  };
}

// For screen readers. The same text is announced once.
export function announce(text) {
  if ($("announcer").textContent !== text) $("announcer").textContent = text;
}

// A button that copies `text`.
export function copyButton(text, label = t("copy")) {
  const copy = h("button", { type: "button", class: "small", "aria-label": `${label}: ${text}` }, label);
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(text)) ? t("copy.done") : t("copy.failed");
    announce(copy.textContent);
    setTimeout(() => { copy.textContent = label; }, 1500);
  });
  return copy;
}

export const command = (line) => h("div", { class: "command" }, h("code", {}, line), copyButton(line));

export const button = (label, onclick, properties = {}) => h("button", { type: "button", onclick, ...properties }, label);

// Ask before something is lost. Resolves to whether the user agrees.
export function confirmed(question, action) {
  $("confirm-text").textContent = question;
  $("confirm-yes").textContent = action;
  const dialog = $("confirm-dialog");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// navigator.clipboard exists on https and loopback only.
async function copied(text) {
  if (navigator.clipboard) {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed here: use the selection */ }
  }
  const before = document.activeElement;
  const field = h("textarea", { class: "unseen", value: text });
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before.focus();
  return done;
}
