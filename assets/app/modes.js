// Two images as one: side by side, under a swipe line, faded into each other, or in turns. Two viewports are laid over each
// other; tools, greys and links stay what they are. Turns are slow (two changes a second at most) and never start by
// themselves where the reader asked for less motion.
import { h, icon, iconButton } from "./dom.js";
import { arrange } from "./kept.js";
import { viewer, viewports } from "./stage.js";
import { on, state } from "./state.js";
import { say } from "./toast.js";
import { addCommand } from "./toolbar.js";

const MODES = [["side", "Side by side", "beside"], ["swipe", "Swipe", "swipe"], ["fade", "Fade", "fade"], ["flicker", "Flicker", "flicker"]];
const TURN = 700; // milliseconds an image stays: under two changes a second, far from the three flashes WCAG 2.3.1 allows

const still = matchMedia("(prefers-reduced-motion: reduce)");
let share = 50; // per cent of the line or of the fade
let front = true; // whether the upper image shows, in turns
let timer = 0;

/** The two viewports laid over each other: the upper one is the earlier in declared order. Null where there are not exactly two. */
function two() {
  const here = state.slots.map((slot, index) => ({ slot, index })).filter(({ slot, index }) => slot && !viewports[index]?.element.hidden);
  return here.length === 2 && state.slots.length === 2 ? here.map(({ index }) => index) : null;
}

/** The mode that can be shown now. */
const mode = () => (two() ? state.mode : "side");

export function setMode(name) {
  if (name !== "side" && !two()) return say("Two images are needed to lay one over the other.");
  arrange({ mode: name });
  return undefined;
}

/** The upper viewport takes the lower one's place and scale, so that they lie on each other from the first moment. */
async function settle() {
  const pair = two();
  if (!pair || mode() === "side") return;
  const bridge = await viewer();
  const camera = bridge.camera(pair[1]);
  if (camera) bridge.setCamera(pair[1], { center: camera.center, zoom: camera.zoom }, true);
}

export function modes() {
  const grid = () => document.querySelector(".stage .grid");
  const buttons = MODES.map(([name, words, picture]) => h("button.mode", { type: "button", role: "radio", "aria-checked": "false", title: `${words} (D: the next)`, "aria-label": words, onclick: () => setMode(name), dataset: { mode: name } }, icon(picture)));
  const group = h("div.modes", { role: "radiogroup", "aria-label": "How the two images are shown", dataset: { testid: "modes" } }, buttons);
  const slider = h("input.share", { type: "range", min: "0", max: "100", "aria-label": "How much of the first image", dataset: { testid: "share" }, oninput: () => { share = Number(slider.value); lay(); } });
  const turn = iconButton("swap", "Show the other image (F)", () => flip(), { classes: "plain small", "data-testid": "flip-images" });
  const line = h("div.swipeline", { "aria-hidden": "true", hidden: true });
  const flip = () => {
    front = !front;
    lay();
  };
  line.addEventListener("pointerdown", (event) => {
    const move = (to) => {
      const box = grid().getBoundingClientRect();
      share = Math.max(0, Math.min(100, (100 * (to.clientX - box.left)) / box.width));
      slider.value = share;
      lay();
    };
    line.setPointerCapture(event.pointerId);
    line.addEventListener("pointermove", move);
    line.addEventListener("pointerup", () => line.removeEventListener("pointermove", move), { once: true });
    event.preventDefault();
  });
  const lay = () => {
    const place = grid();
    if (!place) return;
    const now = mode();
    const pair = two();
    place.dataset.mode = now;
    place.style.setProperty("--share", `${share}%`);
    place.style.setProperty("--opacity", String(share / 100));
    place.dataset.front = front ? "first" : "second";
    viewports.forEach((one, index) => { one.element.dataset.layer = now === "side" ? "" : index === pair[0] ? "upper" : "lower"; });
    if (line.parentElement !== place) place.append(line);
    line.hidden = now !== "swipe";
    slider.hidden = !["swipe", "fade"].includes(now);
    slider.value = share;
    turn.hidden = now !== "flicker";
    buttons.forEach((button) => {
      button.setAttribute("aria-checked", String(button.dataset.mode === now));
      button.tabIndex = button.dataset.mode === now ? 0 : -1;
      button.disabled = !two() && button.dataset.mode !== "side";
    });
    group.hidden = state.slots.filter(Boolean).length < 2;
  };
  const draw = () => {
    clearInterval(timer);
    front = true;
    if (mode() === "flicker" && !still.matches) timer = setInterval(() => document.hidden || flip(), TURN);
    turn.title = still.matches ? "Show the other image (F); it does not change by itself because less motion is asked for" : "Show the other image now (F)";
    lay();
    settle();
  };
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = MODES.findIndex(([name]) => name === mode());
    setMode(MODES[(at + step + MODES.length) % MODES.length][0]);
    group.querySelector('[aria-checked="true"]')?.focus();
  });
  const next = () => setMode(MODES[(MODES.findIndex(([name]) => name === mode()) + 1) % MODES.length][0]);
  addCommand({ id: "mode-next", words: "Side by side, swipe, fade, flicker", group: "compare", keys: ["d"], run: next });
  addCommand({ id: "mode-turn", words: "In flicker: show the other image", group: "compare", keys: ["f"], run: flip, enabled: () => mode() === "flicker" });
  let last = "";
  const key = () => `${mode()}/${two()?.join() ?? ""}/${state.slots.map((slot) => `${slot?.series.id}${slot?.source ?? ""}`).join()}`;
  for (const name of ["mode", "slots", "shown", "layout"]) on(name, () => {
    if (key() !== last || name === "shown") {
      last = key();
      draw();
    }
  });
  still.addEventListener("change", draw);
  queueMicrotask(draw);
  return h("div.blend", {}, group, slider, turn);
}
