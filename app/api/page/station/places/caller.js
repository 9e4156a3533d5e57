// Who the caller is, and what the token may do.

import { $, h } from "../dom.js";
import { call, setToken, token } from "../service.js";
import { t } from "../texts.js";
import { bytes } from "../words.js";

export function start(changed) {
  $("token-button").addEventListener("click", ask);
  $("token-cancel").addEventListener("click", () => $("token-dialog").close());
  $("token-form").addEventListener("submit", () => {
    setToken($("token").value.trim());
    $("token").value = "";
    changed();
    show();
  });
}

export function ask() {
  $("token").value = token();
  $("token-dialog").showModal();
  $("token").focus();
}

export async function show() {
  let caller = null;
  try { caller = await call("GET", "whoami"); } catch { /* the banner shows why */ }
  $("token-button").textContent = caller?.name || t("caller.token");
  $("caller").replaceChildren(...(caller ? [facts(caller)] : []));
}

function facts(caller) {
  const { stored_bytes: stored } = caller.quotas;
  const found = [
    ["name", caller.name || t("caller.anonymous")],
    ["roles", caller.roles.map((role) => t(`role.${role}`)).join(", ")],
    ["prefixes", caller.prefixes.join(", ") || t("caller.all")],
    ["default_prefix", caller.default_prefix],
    ["stored", stored.limit === null ? null : t("of", { done: bytes(stored.used || 0), total: bytes(stored.limit) })],
  ];
  return h("dl", { class: "facts", "data-testid": "caller" }, ...found.filter(([, value]) => value)
    .map(([name, value]) => h("div", {}, h("dt", {}, t(`caller.${name}`)), h("dd", {}, value))));
}
