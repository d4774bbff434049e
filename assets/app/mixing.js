// Images that do not belong together: other patient, side, body part or modality. They are covered until the reader changes
// what hangs or says in words why they are compared; the words are kept for good (POST /api/overrides).
import { post } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { clearSlot } from "./hang.js";
import { arrange } from "./kept.js";
import { filled, on, state, update } from "./state.js";
import { attempt } from "./toast.js";

const SHORTEST = 5;

const key = (code) => `${filled().map((slot) => slot.series.id).sort((a, b) => a - b).join()}:${code}`;

const past = (code) => state.overrides.some((kept) => kept.code === key(code));

/** Blocking warnings nobody has gone past. */
const open = () => (filled().length < 2 ? [] : (state.relation?.mixing ?? []).filter((one) => one.blocking && !past(one.code)));

export function mixing() {
  const list = h("ul");
  const reason = h("input", { type: "text", maxlength: "400", "aria-label": "Why these images are compared", placeholder: "Why are these images compared?", dataset: { testid: "mixing-reason" } });
  const go = h("button.button.main", { type: "button", disabled: true, onclick: () => goOn(), dataset: { testid: "mixing-go" } }, "Compare anyway");
  const close = h("button.button", { type: "button", onclick: () => clearSlot(state.slots.findLastIndex(Boolean)), dataset: { testid: "mixing-close" } }, "Close the last image");
  const box = h("div.mixing", { role: "alertdialog", "aria-label": "These images do not belong together", hidden: true, dataset: { testid: "mixing" } },
    h("div.sheet", {}, h("h2", {}, icon("warning"), "These images do not belong together"), list,
      h("p.quiet", {}, "A comparison would mean nothing, or the wrong thing. Exchange an image, or give your reason; it is kept."),
      reason, h("div.row", {}, close, go)));
  const draw = () => {
    const found = open();
    box.hidden = !found.length;
    if (!found.length && state.relation?.blocking && !state.anyway && past("patient")) queueMicrotask(() => update({ anyway: true }));
    fill(list, found.map((one) => h("li", { dataset: { code: one.code } }, one.text)));
    if (!found.length) reason.value = "";
    go.disabled = reason.value.trim().length < SHORTEST;
  };
  let busy = false;
  const goOn = async () => {
    const found = open();
    const words = reason.value.trim();
    if (!found.length || words.length < SHORTEST) return;
    if (busy) return;
    busy = true;
    const codes = found.map((one) => one.code);
    const keys = codes.map(key); // of what hangs now
    const kept = await attempt(() => post("/api/overrides", { series_ids: filled().map((slot) => slot.series.id), codes, reason: words }));
    busy = false;
    if (!kept) return;
    if (codes.some((code, at) => key(code) !== keys[at])) return; // others hang by now, and have their own reason to be given
    if (codes.includes("patient")) update({ anyway: true });
    arrange({ overrides: [...state.overrides, ...codes.map((code) => ({ code: key(code), reason: words, at: new Date().toISOString() }))] });
    draw();
  };
  reason.addEventListener("input", draw);
  reason.addEventListener("keydown", (event) => event.key === "Enter" && goOn());
  for (const name of ["relation", "slots", "overrides"]) on(name, draw);
  draw();
  return box;
}
