// A decision that is kept for good: what it means, and why, in the words of who takes it.
import { h } from "./dom.js";

/** Ask for a reason; resolves to it, or to `` when it was called off. */
export function sign(title, meaning) {
  return new Promise((resolve) => {
    const reason = h("textarea", { rows: "3", required: true, "aria-label": "Reason", placeholder: "Why?", maxlength: "2000", dataset: { testid: "sign-reason" } });
    const yes = h("button.button.main", { type: "submit", dataset: { testid: "sign" } }, title);
    const dialog = h("dialog.signing", { "aria-label": title },
      h("form", { method: "dialog", onsubmit: () => { dialog.returnValue = "yes"; } }, h("h2", {}, title), h("p", {}, meaning), reason,
        h("div.actions", {}, h("button.button", { type: "button", onclick: () => dialog.close("") }, "Cancel"), yes)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? reason.value.trim() : "");
    });
    document.querySelector(".iv").append(dialog);
    dialog.showModal();
    reason.focus();
  });
}
