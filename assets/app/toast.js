// One sentence at the bottom of the screen. Errors stay until read; good news goes by itself.
import { h, icon, iconButton } from "./dom.js";

const box = h("div.toasts", { role: "status", "aria-live": "polite" });
export const toasts = box;

export function say(text, kind = "bad") {
  for (const old of box.children) if (old.dataset.text === text) old.remove();
  const toast = h(`div.toast.${kind}`, { dataset: { text, testid: `toast-${kind}` } }, icon(kind === "bad" ? "warning" : "check"), h("p", {}, text));
  toast.append(iconButton("close", "Close this message", () => toast.remove(), { classes: "plain small" }));
  box.append(toast);
  while (box.children.length > 3) box.firstChild.remove();
  if (kind !== "bad") setTimeout(() => toast.remove(), 5000);
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
