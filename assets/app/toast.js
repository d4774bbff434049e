// One sentence at the bottom of the screen. Errors stay until read; good news goes by itself.
import { h, icon, iconButton } from "./dom.js";

const box = h("div.toasts", { role: "status", "aria-live": "polite" });
export const toasts = box;

let home = null;

/** Over the dialog that is open, beside which nothing can be pressed; back where it was when that closes. */
function surface() {
  home ??= box.parentElement;
  const over = [...document.querySelectorAll("dialog[open]")].at(-1);
  if (box.parentElement === (over ?? home)) return;
  (over ?? home)?.append(box);
  over?.addEventListener("close", surface, { once: true });
}

/** `action` is `[words, what it does]`: a button, and the message stays until it is used or closed. */
export function say(text, kind = "bad", action = null) {
  for (const old of box.children) if (old.dataset.text === text) old.remove();
  const toast = h(`div.toast.${kind}`, { dataset: { text, testid: `toast-${kind}` } }, icon(kind === "bad" ? "warning" : "check"), h("p", {}, text));
  if (action) toast.append(h("button.button.small", { type: "button", onclick: () => { toast.remove(); action[1](); } }, action[0]));
  toast.append(iconButton("close", "Close this message", () => toast.remove(), { classes: "plain small" }));
  surface();
  box.append(toast);
  while (box.children.length > 3) box.firstChild.remove();
  if (kind !== "bad" && !action) setTimeout(() => toast.remove(), 5000);
}

/** Run something; a failure becomes its sentence. Returns what it returned, or undefined. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message || "Something went wrong on this page; reload it, nothing is lost.");
    return undefined;
  }
}
