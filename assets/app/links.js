// Linked views: what one reader's hand does in one viewport, the others follow, each action and each view for itself. Across
// exams the scroll link is an anchor in mm that the reader sets with one key; nothing is linked that does not belong together
// (ui/viewer/src/compare/link.ts decides), and the bar always says what is linked and why not.
import { post } from "./api.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { arrange } from "./kept.js";
import { viewer, viewports } from "./stage.js";
import { on, state, update } from "./state.js";
import { attempt, say } from "./toast.js";
import { addCommand } from "./toolbar.js";
import * as compare from "./viewer/compare.js";

const ACTIONS = [["scroll", "Scroll", "stack"], ["camera", "Zoom and position", "zoom"], ["window", "Window", "contrast"], ["crosshair", "Cross-hair", "cross"]];
const CHANGED = { windows: new Map(), most: 64 };

let bridge = null;
const stacks = new WeakMap();
const originals = new Map(); // series as they were taken: a reformat or an aligned image follows through its original

/** What linking needs of the series in a slot; an aligned image stands on the grid of the one it was aligned to. */
export function stackOf(index) {
  const meta = bridge?.meta(index);
  if (!meta || bridge.frame(index) === null) return null;
  if (!stacks.has(meta)) {
    const own = original(index);
    stacks.set(meta, { series: own ? meta.series_id : -1 - index, modality: meta.modality, bodyPart: meta.body_part, frameOfReference: meta.frames[0]?.frame_of_reference ?? "", frames: meta.frames });
  }
  const stack = stacks.get(meta);
  if (stack.series > 0) originals.set(stack.series, stack);
  return stack;
}

const original = (index) => Boolean(bridge.source(index)?.startsWith("/api/series/"));

const all = () => state.slots.map((_, index) => stackOf(index));
const shownNow = () => all().filter(Boolean);
const known = () => [...new Set([...shownNow(), ...originals.values()])];

/** Views laid over each other move together, whatever is linked. */
const together = (action) => state.mode !== "side" && (action === "scroll" || action === "camera");

const partners = (action, from) =>
  state.slots.map((_, index) => index).filter((index) => index !== from && stackOf(index) && (together(action) || (compare.linked(state.links, action, from) && compare.linked(state.links, action, index))));

function sought({ slot, frame, byReader }) {
  const here = stackOf(slot);
  if (!byReader || !here) return;
  for (const other of partners("scroll", slot)) {
    const found = compare.follow(here, frame, stackOf(other), known(), state.links.anchors);
    if (!found) continue;
    bridge.toFrame(other, found.frame);
    beyond(other, found.outside);
  }
  beyond(slot, false);
}

/** A view whose stack ends before the level looked for says so. */
function beyond(index, outside) {
  viewports[index]?.element.toggleAttribute("data-beyond", outside);
}

function moved({ slot, camera, byReader }) {
  const here = stackOf(slot);
  if (!byReader || !here) return;
  for (const other of partners("camera", slot)) bridge.setCamera(other, follow(slot, here, camera, other));
}

/** The same scale on the screen and the same place in the patient; without geometry the same share of the image. */
function follow(slot, here, camera, other) {
  const there = stackOf(other);
  const theirs = bridge.camera(other);
  const [from, to] = [here.frames[bridge.frame(slot)], there.frames[bridge.frame(other)]];
  const placed = compare.unrelated(here, there) ? null : placedBy(here, slot, camera.center, there, to);
  const share = ([column, row]) => {
    const scale = camera.mmPerPixel && theirs?.mmPerPixel ? [from.spacing[1] / to.spacing[1], from.spacing[0] / to.spacing[0]] : [to.columns / from.columns, to.rows / from.rows];
    return [(to.columns - 1) / 2 + (column - (from.columns - 1) / 2) * scale[0], (to.rows - 1) / 2 + (row - (from.rows - 1) / 2) * scale[1]];
  };
  const center = placed?.place ?? share(camera.center);
  const turned = { rotation: camera.rotation, ...mirrored(from, to, camera, placed) };
  return camera.mmPerPixel && theirs?.mmPerPixel ? { center, mmPerPixel: camera.mmPerPixel, ...turned } : { center, zoom: camera.zoom, ...turned };
}

/** The same side of the patient to the same side of the screen, whichever way the rows and columns of the files run. */
function mirrored(from, to, camera, placed) {
  const [one, other] = [compare.axes(from), compare.axes(to)];
  if (!placed || !one || !other) return { flipH: camera.flipH, flipV: camera.flipV };
  return { flipH: compare.dot(one.row, other.row) < 0 !== camera.flipH, flipV: compare.dot(one.column, other.column) < 0 !== camera.flipV };
}

function placedBy(here, slot, center, there, to) {
  const move = compare.shift(here, there, known(), state.links.anchors);
  const point = move && compare.toPatient(here.frames[bridge.frame(slot)], center);
  const place = point && compare.toImage(to, compare.plus(point, move.by));
  return place ? { place } : null;
}

function windowed({ slot, lower, upper, invert, byReader }) {
  const here = stackOf(slot);
  if (!byReader || !here) return;
  for (const other of partners("window", slot)) {
    const rule = compare.windowRule(here, stackOf(other));
    if (rule === "none") continue;
    if (rule === "same") bridge.setWindow(other, { lower, upper });
    else {
      const [mine, theirs] = [shares(slot), shares(other)];
      if (mine && theirs) bridge.setWindow(other, { lower: compare.sameShare(lower, mine, theirs), upper: compare.sameShare(upper, mine, theirs) });
    }
    bridge.setInvert(other, invert);
  }
}

/** Which grey values the shares of an image's pixels lie below; of the image that is shown. */
function shares(index) {
  const id = bridge.imageId(index, bridge.frame(index));
  if (!CHANGED.windows.has(id)) {
    const image = bridge.viewport(index)?.getCornerstoneImage();
    if (!image) return null;
    CHANGED.windows.set(id, compare.quantiles(image.getPixelData()));
    if (CHANGED.windows.size > CHANGED.most) CHANGED.windows.delete(CHANGED.windows.keys().next().value);
  }
  return CHANGED.windows.get(id);
}

const crosses = new Map();

function pointed({ slot, column, row }) {
  const here = stackOf(slot);
  for (const [index] of viewports.entries()) crosses.get(index)?.toggleAttribute("hidden", true);
  if (column === null || !here) return;
  for (const other of partners("crosshair", slot)) {
    const there = stackOf(other);
    const found = compare.unrelated(here, there) ? null : compare.followPoint(here, bridge.frame(slot), [column, row], there, known(), state.links.anchors);
    const at = found && bridge.imageToCanvas(other, found.place);
    if (!at) continue;
    const cross = crosses.get(other) ?? h("div.crosshair", { "aria-hidden": "true" });
    crosses.set(other, cross);
    viewports[other].area.append(cross);
    cross.hidden = false;
    cross.dataset.level = found.frame === bridge.frame(other) ? "here" : "elsewhere";
    Object.assign(cross.style, { left: `${at[0]}px`, top: `${at[1]}px` });
  }
}

/** "These slices match": what the views show now. */
export function match() {
  if (state.slots.some((slot, index) => slot && bridge.source(index) && !original(index))) return say("Slices are matched on the images as they were taken; show the originals first.");
  const shown = state.slots.map((_, index) => stackOf(index) && { stack: stackOf(index), frame: bridge.frame(index) });
  const { links, refused } = compare.match(state.links, shown, state.active);
  if (links.anchors.length === state.links.anchors.length && refused.length) return say(refused.join(" "));
  if (links.anchors === state.links.anchors) return say("Two stacks of slices are needed to match a level.");
  arrange({ links: { ...links, actions: { ...links.actions, scroll: true } } });
  const numbers = shown.map((one, index) => one && one.stack.frames.length > 1 && `image ${index + 1}: slice ${one.frame + 1}`).filter(Boolean);
  return say(`Matched: ${numbers.join(", ")}. Scrolling follows in mm from here. ${refused.join(" ")}`.trim(), "good");
}

/** The server's proposal of the same level in the other views, with how sure it is; one key takes it as a match. */
async function propose() {
  const here = state.active;
  const from = state.slots[here];
  if (!stackOf(here)) return;
  for (const [index, slot] of state.slots.entries()) {
    if (index === here || !slot || !stackOf(index) || compare.unrelated(stackOf(here), stackOf(index))) continue;
    const { frame } = from;
    const found = await attempt(() => post("/api/level", { series_id: from.series.id, frame, other_series_id: slot.series.id }));
    if (!found) continue;
    if (state.slots[index]?.series.id !== slot.series.id || state.slots[here]?.series.id !== from.series.id || state.slots[here].frame !== frame) return; // of what was looked at
    if (found.frame === null) {
      say(found.reason);
      continue;
    }
    await bridge.toFrame(index, found.frame);
    say(`Image ${index + 1}: slice ${found.frame + 1} proposed by ${found.method}, certainty ${found.sure} (${Math.round(100 * found.confidence)} %). A takes it.`, "good", ["Match", match]);
  }
}

/** What scrolling is linked by between the active view and the others, in words. */
function told() {
  const here = stackOf(state.active);
  const others = state.slots.map((_, index) => index).filter((index) => index !== state.active && stackOf(index));
  if (!here || !others.length || here.frames.length < 2 || others.every((index) => stackOf(index).frames.length < 2)) return { words: "", ok: true };
  if (!state.links.actions.scroll) return { words: "Scroll not linked", ok: false };
  const fits = others.map((index) => ({ index, on: compare.linked(state.links, "scroll", index) && compare.linked(state.links, "scroll", state.active), ...compare.fit(here, stackOf(index), state.links.anchors) }));
  const bad = fits.find((one) => !one.ok || !one.on);
  if (bad) return { words: bad.on ? `Scroll not linked: ${bad.reason}` : "Scroll not linked in this view", ok: false };
  return { words: `Scroll linked ${fits[0].reason}`, ok: true };
}

/** Switches for the bar, and the line that says what scrolling is linked by. */
export function links() {
  const buttons = ACTIONS.map(([name, label, picture]) => iconButton(picture, `Link ${label.toLowerCase()}`, () => arrange({ links: compare.toggleAction(state.links, name) }), { classes: "plain small", "aria-pressed": "true", dataset: { testid: `link-${name}` } }));
  const anchor = h("button.button.small.match", { type: "button", onclick: match, title: "The slices shown now match (A)", dataset: { testid: "match" } }, icon("match"), "Match");
  const level = iconButton("eye", "Propose the same level in the other view (N)", propose, { classes: "plain small", dataset: { testid: "level" } });
  const status = h("span.linkstate.clip", { role: "status", dataset: { testid: "link-state" } });
  const chains = new Map();
  const draw = () => {
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(state.links.actions[ACTIONS[at][0]])));
    const { words, ok } = told();
    status.textContent = words;
    status.title = words;
    status.dataset.ok = String(ok);
    const stacked = shownNow().filter((one) => one.frames.length > 1).length > 1;
    anchor.hidden = level.hidden = !stacked;
    viewports.forEach((one, index) => {
      if (!chains.has(one)) {
        const chain = iconButton("link", "This view follows the others", () => arrange({ links: compare.toggleView(state.links, viewports.indexOf(one), state.slots.length) }), { classes: "plain small", dataset: { testid: "link-view" } });
        chains.set(one, chain);
        one.bar.prepend(chain);
      }
      const chain = chains.get(one);
      const tied = state.links.views[index] ?? true;
      chain.setAttribute("aria-pressed", String(tied));
      if (chain.dataset.tied !== String(tied)) fill(chain, icon(tied ? "link" : "unlink"));
      chain.dataset.tied = String(tied);
      chain.hidden = shownNow().length < 2;
    });
  };
  addCommand({ id: "match", words: "The slices shown match: link scrolling here", group: "link", keys: ["a"], run: match, enabled: () => !anchor.hidden });
  addCommand({ id: "level", words: "Propose the same level in the other view", group: "link", keys: ["n"], run: propose, enabled: () => !level.hidden });
  for (const [name, label] of ACTIONS) addCommand({ id: `link-${name}`, words: `Link ${label.toLowerCase()}`, group: "link", keys: name === "scroll" ? ["Shift+l"] : [], run: () => arrange({ links: compare.toggleAction(state.links, name) }) });
  addCommand({ id: "link-view", words: "This view follows the others", group: "link", keys: ["Shift+v"], run: () => arrange({ links: compare.toggleView(state.links, state.active, state.slots.length) }) });
  viewer().then((ready) => {
    bridge = ready;
    bridge.on("seeking", sought);
    bridge.on("camera", moved);
    bridge.on("window", windowed);
    bridge.on("pointer", pointed);
    bridge.on("closing", ({ slot }) => beyond(slot, false));
    update({ links: state.links });
  });
  for (const name of ["links", "slots", "shown", "active"]) on(name, draw);
  draw();
  return { group: h("div.links", { role: "group", "aria-label": "Linked views" }, buttons, anchor, level), status };
}
