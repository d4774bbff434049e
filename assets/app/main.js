// The Read work space, built into Gradio's page once its column is there.
import { get } from "./api.js";
import { open } from "./ask.js";
import { forCase } from "./case.js";
import { comparing } from "./comparing.js";
import { watchEngine } from "./engine.js";
import { h } from "./dom.js";
import { feedbackKeys } from "./feedback.js";
import { relate } from "./hang.js";
import { keysDialog, listen } from "./keys.js";
import { rail } from "./rail.js";
import { stage } from "./stage.js";
import { remembered, sessionInAddress, state, update } from "./state.js";
import { go, placeInAddress, places } from "./tabs.js";
import { talk } from "./talk.js";
import { say, toasts } from "./toast.js";
import { top } from "./top.js";

function build(root) {
  window.quietGradio?.();
  update({ slots: [null, null] });
  const dialog = keysDialog();
  const showKeys = () => {
    if (dialog.open) return dialog.close();
    dialog.draw();
    return dialog.showModal();
  };
  const toggleRail = () => app.classList.toggle("no-rail");
  const app = h("div.iv.app", { dataset: { testid: "app", place: "read" } });
  const middle = stage();
  comparing(middle);
  const lists = rail();
  const talking = forCase(talk());
  app.append(...top(showKeys, toggleRail), lists, middle, talking, dialog, toasts);
  places(app, middle, [lists, talking]);
  feedbackKeys();
  root.append(app);
  listen(showKeys, toggleRail);
  return app;
}

async function begin(app) {
  const start = await get("/api/start").catch((error) => void say(error.message, "bad", ["Try again", () => begin(app)]));
  if (start) {
    update({ engine: start.engine, limits: start.limits, ...library(start.library), sessions: start.sessions });
    watchEngine();
    const id = sessionInAddress();
    const kept = remembered();
    if (!id || (await open(id, true)) === false) await rehang(kept);
    waitForDemo(start.library.preparing);
    go(placeInAddress());
  }
  app.dataset.ready = "true";
}

/** What hung in this tab before a reload. */
async function rehang(kept) {
  if (state.opened) return; // the reader was quicker
  const slots = (kept?.slots ?? []).slice(0, state.limits.max_images);
  if (kept?.layout) update({ layout: kept.layout });
  if (!slots.some(Boolean)) return;
  let failed = null;
  const shown = await Promise.all(slots.map(async (slot) => {
    if (!slot) return null;
    try {
      const series = await get(`/api/series/${slot.series_id}`);
      return { series, frame: Math.min(slot.frame, series.frames - 1), role: "", when: "", window: slot.window ?? null, invert: false, manual: false };
    } catch (error) {
      if (error.status !== 404) failed = error; // it may well be there
      return null;
    }
  }));
  if (state.opened) return;
  if (failed) return void say(failed.message, "bad", ["Try again", () => rehang(kept)]);
  if (!shown.some(Boolean)) return;
  while (shown.length < 2) shown.push(null);
  update({ slots: shown, chosen: kept.chosen ?? null });
  await relate();
}

const library = ({ patients, cases }) => ({ patients, cases });

/** The first start imports the demo cases in the background; they appear when they are there. */
function waitForDemo(preparing) {
  if (!preparing) return;
  setTimeout(async () => {
    const found = await get("/api/library").catch(() => null);
    if (found) update(library(found));
    waitForDemo(found?.preparing ?? true);
  }, 1000);
}

/** A script of ours that failed says so; what was drawn and asked is kept by the server or by this tab, so a reload is safe. */
function broken(error) {
  if (!error || error.name === "AbortError" || !String(error.stack).includes("/app/")) return;
  say(`A part of this page failed (${error.message || error}). What you drew and asked is kept; reload the page to go on.`, "bad", ["Reload", () => location.reload()]);
}
addEventListener("error", (event) => broken(event.error));
addEventListener("unhandledrejection", (event) => broken(event.reason));

const place = () => document.getElementById("interval-read");
if (place()) begin(build(place()));
else {
  const watch = new MutationObserver(() => {
    if (!place()) return;
    watch.disconnect();
    begin(build(place()));
  });
  watch.observe(document.documentElement, { childList: true, subtree: true });
}
