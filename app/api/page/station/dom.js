// Elements are made here and nowhere else. Text becomes text, whatever it says: no markup is ever parsed.

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

// To those who do not see the page. The same words twice are told once.
export function announce(text) {
  if ($("announcer").textContent !== text) $("announcer").textContent = text;
}

export function command(line) {
  const copy = h("button", { type: "button", class: "small", "aria-label": `Copy: ${line}` }, "Copy");
  copy.addEventListener("click", async () => {
    copy.textContent = (await copied(line)) ? "Copied" : "Select it";
    announce(copy.textContent);
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return h("div", { class: "command" }, h("code", {}, line), copy);
}

// navigator.clipboard is there on https and loopback alone; stations often have neither.
async function copied(text) {
  if (navigator.clipboard) {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed here: the old way */ }
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
