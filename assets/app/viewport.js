// One image of the comparison: the viewer's pixels with the words around them. The pixels, the greys and where they lie are
// the viewer's (ui/viewer); this is what the image is, said in the corners, and the bar below it. What hung before is taken
// down at once when a viewport gets another series, so that no patient's pixels stay under another's name.
import { PACES, cine, stopCine } from "./cine.js";
import { day, fill, h, icon, iconButton, menu, sentence, setOptions } from "./dom.js";
import { clearSlot, place, setRole, settle } from "./hang.js";
import { state, update } from "./state.js";
import { say } from "./toast.js";
import { maximise } from "./stage.js";

const ROLES = {
  temporal: (count) => (count > 2 ? ["prior", "current", ...Array.from({ length: count }, (_, i) => `time ${i + 1}`)] : ["prior", "current"]),
  views: () => ["PA", "AP", "lateral", "CC", "MLO", "view 1", "view 2"],
  sides: () => ["left", "right"],
  unrelated: () => [],
};

const exact = (value) => String(Number(value.toPrecision(7)));
const written = (one) => `${exact(one.center)},${exact(one.width)},${one.function}`;

/** `center,width,function` as the session keeps it -> a window. */
function read(text) {
  if (!text) return null;
  const [center, width, function_ = "LINEAR"] = text.split(",");
  return { name: "", center: Number(center), width: Number(width), function: function_ };
}

/** Windows are named in capitals in most files; nobody reads capitals well. */
const named = (one) => (one.name ? one.name[0].toUpperCase() + (one.name === one.name.toUpperCase() ? one.name.slice(1).toLowerCase() : one.name.slice(1)) : `${grey(one.center, one.width)} / ${grey(one.width, one.width)}`);

/** Numbers of a window with as many digits as its width gives meaning to. */
function grey(value, width) {
  const text = value.toFixed(width >= 20 ? 0 : width >= 2 ? 1 : width >= 0.2 ? 2 : 4);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "\u2212");
}

const source = (series) => `/api/series/${series.id}/frames.json`;

export class Viewport {
  /** `viewer()` gives the one viewer of the page. */
  constructor(index, viewer) {
    this.index = index;
    this.viewer = viewer;
    this.slot = null;
    this.applied = {};
    this.turned = 0;
    this.build();
    viewer().then((bridge) => this.join(bridge), () => undefined);
  }

  build() {
    this.role = menu("Role of this image", [["", "no role"]], "", (role) => setRole(this.index, role), { classes: "role", "data-testid": "role" });
    for (const name of ["when", "side", "made", "what.clip", "grey.number", "probe.number", "count.number", "depth.number", "scale.number", "who.number", "date.number", "order.number", "lossy"]) this[name.split(".")[0]] = h(`span.${name}`);
    this.flag = h("button.flag", { type: "button", hidden: true, onclick: () => say(this.flag.title) }, icon("warning"));
    this.message = h("div.message", { role: "status" });
    this.surface = h("div.surface", { dataset: { testid: "surface" } });
    this.reduced = h("img.reduced", { alt: "", draggable: "false" });
    this.letters = Object.fromEntries(["top", "right", "bottom", "left"].map((edge) => [edge, h(`span.letter.at-${edge}`, { "aria-hidden": "true" })]));
    this.ruler = h("div.ruler", { role: "img" }, h("span.line"), h("span.length.number"));
    this.area = h("div.area", { tabindex: "0", role: "group", "aria-roledescription": "image viewport" }, this.reduced, this.surface, this.message,
      h("div.corner.tl", {}, this.role, this.when, this.side, this.made), h("div.corner.tr", {}, this.who, this.date, this.order),
      h("div.corner.bl", {}, this.probe, this.what, this.grey), h("div.corner.br", {}, this.flag, this.lossy, this.count, this.depth, this.scale),
      Object.values(this.letters), this.ruler);
    this.slider = h("input.slices", { type: "range", min: "0", "aria-label": "Slice", oninput: (event) => { stopCine(); this.bridge?.toFrame(this.index, Number(event.target.value), true); } });
    this.windows = menu("Window", [], "", (chosen) => this.toWindow(chosen), { classes: "small windows", "data-testid": "window" });
    this.planes = menu("Plane", [], "", (plane) => this.toPlane(plane), { classes: "small planes", "data-testid": "plane" });
    this.pace = menu("Frames per second", PACES.map((one) => [String(one), `${one} / s`]), String(cine.pace), (one) => { cine.pace = Number(one); }, { classes: "small pace", "data-testid": "pace" });
    this.bar = h("div.bar", {}, this.windows, this.planes, this.slider, this.pace, h("span.gap"),
      iconButton("reset", "Reset this view (0)", () => this.reset(), { classes: "plain small" }),
      iconButton("close", "Close this image", () => clearSlot(this.index), { classes: "plain small" }));
    this.element = h("section.viewport", { dataset: { testid: `viewport-${this.index + 1}` }, "aria-label": `Image ${this.index + 1}` }, this.area, this.bar);
    this.listen();
  }

  listen() {
    const { area } = this;
    this.element.addEventListener("pointerdown", () => this.activate());
    area.addEventListener("focus", () => this.activate());
    area.addEventListener("dblclick", (event) => event.target.closest("select, button") || maximise());
    area.addEventListener("dragover", (event) => {
      if (!event.dataTransfer.types.includes("application/x-interval-series")) return;
      event.preventDefault();
      this.element.classList.add("over");
    });
    area.addEventListener("dragleave", () => this.element.classList.remove("over"));
    area.addEventListener("drop", (event) => {
      this.element.classList.remove("over");
      const id = Number(event.dataTransfer.getData("application/x-interval-series"));
      if (!id) return;
      event.preventDefault();
      event.stopPropagation();
      place(id, this.index);
    });
  }

  /** The viewer is there: give it the place, hear what it says of this slot, and show what hangs. */
  join(bridge) {
    this.bridge = bridge;
    bridge.place(this.index, this.surface, this.area);
    const mine = (work) => (detail) => detail.slot === this.index && work(detail);
    this.off = [
      bridge.on("shown", mine(() => this.shown())),
      bridge.on("scrolled", mine(({ frame }) => { this.keep({ frame }); this.stand(); })),
      bridge.on("window", mine((detail) => this.windowed(detail))),
      bridge.on("camera", mine(() => this.lie())),
      bridge.on("pointer", mine((detail) => this.point(detail))),
      bridge.on("failed", mine(({ sentence: text }) => this.failed(text))),
    ];
    if (this.slot) this.load();
  }

  /** The viewport leaves the page. */
  remove() {
    this.off?.forEach((stop) => stop());
    this.bridge?.unplace(this.index);
    this.element.remove();
  }

  activate() {
    if (state.active !== this.index) update({ active: this.index });
  }

  /** Show a slot, or nothing. */
  show(slot, active) {
    this.element.classList.toggle("active", active);
    this.slot = slot;
    this.element.classList.toggle("playing", cine.slot === this.index);
    if (!slot) return this.empty();
    const { applied } = this;
    this.words(slot);
    if (applied.series !== slot.series.id || applied.source !== this.source()) this.load();
    else if (this.bridge && this.own()) {
      if (applied.frame !== slot.frame) this.bridge.toFrame(this.index, slot.frame);
      if (applied.window !== slot.window) this.bridge.setPreset(this.index, this.preferred(slot));
      if (applied.invert !== slot.invert) this.bridge.setInvert(this.index, slot.invert);
      Object.assign(applied, { frame: slot.frame, window: slot.window, invert: slot.invert });
    }
    return undefined;
  }

  empty() {
    this.takeDown();
    this.applied = {};
    this.element.dataset.state = "empty";
    delete this.element.dataset.series;
    fill(this.message, h("p.ofread", {}, this.index === 0 ? "Choose a case on the left, or drop files anywhere." : "Choose a series on the left, or drag it here."), h("p.ofreview", {}, "Images of a case hang here."),
      state.slots.length > 2 && h("button.button.small", { type: "button", onclick: () => clearSlot(this.index) }, "Remove this place"));
    this.area.setAttribute("aria-label", `Image ${this.index + 1}: empty`);
  }

  /** Nothing of the last image stays. */
  takeDown() {
    if (cine.slot === this.index) stopCine();
    this.turned += 1;
    this.reduced.removeAttribute("src");
    if (this.bridge?.source(this.index)) this.bridge.load(this.index, null);
    for (const one of [this.grey, this.probe, this.count, this.depth, this.scale, this.order, this.made, ...Object.values(this.letters)]) one.textContent = "";
    this.ruler.hidden = true;
    fill(this.message);
  }

  /** What does not change with the slice. */
  words(slot) {
    const { series } = slot;
    const roles = [...new Set([...(ROLES[state.relation?.relationship ?? "temporal"]?.(state.slots.length) ?? []), slot.role].filter(Boolean))];
    setOptions(this.role, [...roles.map((role) => [role, role]), ["", "no role"]], slot.role);
    this.role.dataset.role = slot.role.startsWith("time") ? "time" : slot.role;
    this.when.textContent = slot.when;
    this.side.textContent = { L: "Left", R: "Right", B: "Both sides" }[series.laterality.toUpperCase()] ?? series.laterality;
    const { study, derived: made } = this.bridge?.meta(this.index) ?? {};
    this.who.textContent = (state.names && study?.name) || series.pseudonym;
    this.order.textContent = study?.of > 1 && study.ordinal && (!made || made.kind === "reformat") ? `${study.ordinal} of ${study.of}` : "";
    this.date.textContent = day(series.acquired);
    this.what.textContent = [series.modality, series.description || series.body_part, series.view, series.plane].filter((word, at, all) => word && all.indexOf(word) === at).join(" · ");
    this.what.title = this.what.textContent;
    this.lossy.textContent = series.lossy ? "lossy" : "";
    this.lossy.title = series.lossy ? "These pixels were compressed with loss before they came here." : "";
    this.flag.hidden = !series.warnings.length;
    this.flag.title = sentence(series.warnings.join("; "));
    this.flag.setAttribute("aria-label", `Notes on this image: ${this.flag.title}`);
    const { derived } = this.bridge?.meta(this.index) ?? {};
    this.made.textContent = derived?.kind === "reformat" ? derived.words : "";
    this.offer(slot);
    this.offerPlanes(slot);
    this.stand();
  }

  /** A stack in space can be looked at in the other two planes. */
  offerPlanes(slot) {
    const { series } = slot;
    const others = ["axial", "coronal", "sagittal"].filter((plane) => plane !== series.plane);
    this.planes.hidden = series.frames < 8 || !series.plane || series.plane === "oblique" || Boolean(slot.source);
    setOptions(this.planes, [["", sentence(series.plane).slice(0, -1)], ...others.map((plane) => [plane, sentence(plane).slice(0, -1)])], slot.plane ?? "");
  }

  toPlane(plane) {
    Object.assign(this.slot, { plane: plane || null });
    update({ slots: [...state.slots] });
  }

  /** The windows to choose from; one the reader made by dragging stands first. */
  offer(slot) {
    const presets = this.bridge?.presets(this.index) ?? [];
    const all = presets.length || this.bridge?.meta(this.index)?.color ? presets : slot.series.windows;
    const options = all.map((one, at) => [at ? written(one) : "", `${named(one)}`]);
    if (slot.window && !options.some(([key]) => key === slot.window)) options.unshift([slot.window, "Own window"]);
    setOptions(this.windows, options, slot.window ?? "");
    this.windows.hidden = !all.length;
  }

  /** Where in the stack, and what the reader hears of it. */
  stand() {
    const { slot } = this;
    if (!slot) return;
    const { series } = slot;
    const meta = this.bridge?.meta(this.index);
    const frame = this.bridge?.frame(this.index) ?? slot.frame;
    const frames = meta?.frames.length ?? series.frames;
    this.count.textContent = frames > 1 ? `${frame + 1} / ${frames}` : "";
    this.slider.max = frames - 1;
    this.slider.hidden = frames < 2;
    this.bar.classList.toggle("stack", frames > 1);
    if (Number(this.slider.value) !== frame) this.slider.value = frame;
    const { location } = meta?.frames[frame] ?? {};
    this.depth.textContent = frames > 1 && Number.isFinite(location) ? `${location.toFixed(1).replace("-", "\u2212")} mm` : "";
    this.element.dataset.frame = frame;
    const at = frames > 1 ? `, slice ${frame + 1} of ${frames}` : "";
    this.area.setAttribute("aria-label", `Image ${this.index + 1}: ${[slot.role, slot.when, this.who.textContent, this.date.textContent, this.what.textContent].filter(Boolean).join(", ")}${at}`);
  }

  /** The window in words, after every change. */
  windowed({ center, width, invert, lower, upper }) {
    const presets = this.bridge.presets(this.index);
    const chosen = presets.find((one) => one.center === center && one.width === width);
    const own = chosen && presets[0] === chosen;
    this.keep({ window: own ? null : chosen ? written(chosen) : written({ center: (lower + upper) / 2, width: upper - lower, function: "LINEAR_EXACT" }), invert });
    this.greys(center, width, invert);
    clearTimeout(this.offering);
    this.offering = setTimeout(() => this.slot && this.offer(this.slot), 100); // not at every step of a drag
  }

  greys(center, width, invert) {
    this.grey.textContent = Number.isFinite(width) ? `C ${grey(center, width)}  W ${grey(width, width)}` : "";
    if (invert) this.grey.textContent += " · inverted on the screen only";
  }

  /** Keep what the reader did: at once for a question, for the session and the others when it rests. */
  keep(changes) {
    if (!this.slot || !this.own()) return;
    Object.assign(this.applied, changes);
    Object.assign(this.slot, changes);
    settle();
  }

  /** What is loaded: the series, what the server made from it (`slot.source`), or a reformat (`slot.plane`). */
  source() {
    const { source: made, plane, series } = this.slot;
    return made ?? (plane ? `reformat:${plane}:${source(series)}` : source(series));
  }

  /** Whether the pixels are the series' own, and not made from them (an alignment, a reformat). */
  own() {
    return (this.bridge.source(this.index) ?? this.source()) === source(this.slot.series);
  }

  /** Zoom, letters and scale bar, after every movement. */
  lie() {
    const { bridge, index } = this;
    const size = bridge.magnification(index);
    this.scale.textContent = size ? `${Math.round(100 * size)} %` : "";
    if (this.slot && this.own()) this.slot.camera = bridge.camera(index);
    const edges = bridge.edges(index);
    for (const [edge, element] of Object.entries(this.letters)) element.textContent = edges?.[edge] ?? "";
    const ruler = bridge.bar(index, Math.min(120, this.area.clientWidth / 4));
    const meta = bridge.meta(index);
    this.ruler.hidden = !meta;
    if (!meta) return;
    const [line, length] = this.ruler.children;
    line.hidden = !ruler;
    line.style.width = ruler ? `${ruler[1]}px` : "";
    length.textContent = ruler ? `${ruler[0]} mm` : "not calibrated";
    this.ruler.title = ruler ? meta.spacing_note : "The file says nothing of the size of its pixels.";
    this.ruler.setAttribute("aria-label", ruler ? `Scale bar: ${ruler[0]} mm. ${sentence(meta.spacing_note)}` : "Not calibrated");
  }

  point({ column, row, value }) {
    const units = this.bridge.meta(this.index)?.units ?? "";
    const number = Array.isArray(value) ? value.join(" ") : value === null ? "" : Number.isInteger(value) ? String(value) : value.toPrecision(5);
    this.probe.textContent = number === "" ? "" : `(${column}, ${row})  ${number.replaceAll("-", "\u2212")} ${units}`;
  }

  /** Load what hangs: the reduced picture at once, the frame's own values as they come. */
  async load() {
    const { slot } = this;
    this.takeDown();
    const turn = this.turned;
    this.applied = { series: slot.series.id, source: this.source(), frame: slot.frame, window: slot.window, invert: slot.invert };
    Object.assign(this.element.dataset, { state: "loading", series: slot.series.id, frame: slot.frame });
    this.preview(slot);
    if (!this.bridge) return;
    try {
      const own = this.source() === source(slot.series);
      await this.bridge.load(this.index, this.source(), { frame: own || slot.source ? slot.frame : null, window: this.preferred(slot), invert: slot.invert, camera: own ? (slot.camera ?? null) : null });
    } catch (error) {
      if (turn === this.turned) this.failed(error.message);
    }
  }

  /** A slot's own window with the name and function it was chosen by. */
  preferred(slot) {
    return slot.window ? read(slot.window) : null;
  }

  /** The server's small picture lies where the image will lie until that is there. */
  preview({ series, frame, window, invert, camera, source: made, plane }) {
    if (invert || camera || made || plane) return;
    const { rows, columns, spacing } = series;
    const [tall, wide] = spacing ? [rows * spacing[0], columns * spacing[1]] : [rows, columns];
    const scale = Math.min(this.area.clientWidth / wide, this.area.clientHeight / tall);
    Object.assign(this.reduced.style, { width: `${wide * scale}px`, height: `${tall * scale}px` });
    this.reduced.src = `/pixels/${series.id}/${frame}/reduced.jpg${window ? `?window=${encodeURIComponent(window)}` : ""}`;
  }

  shown() {
    this.element.dataset.state = "shown";
    this.reduced.removeAttribute("src");
    fill(this.message);
    const now = this.bridge.window(this.index);
    if (this.slot) this.words(this.slot);
    this.greys(now?.center, now?.width, now?.invert);
    this.lie();
    update({ shown: (state.shown ?? 0) + 1 });
  }

  failed(text) {
    this.reduced.removeAttribute("src");
    this.element.dataset.state = "error";
    fill(this.message, icon("warning"), h("p", {}, text), h("button.button.small", { type: "button", onclick: () => this.load() }, "Try again"));
  }

  toWindow(chosen) {
    const preset = this.bridge?.presets(this.index).find((one, at) => (at ? written(one) : "") === chosen);
    this.bridge?.setPreset(this.index, preset ?? read(chosen), true);
  }

  preset(number) {
    const one = this.bridge?.presets(this.index)[number - 1];
    if (one) this.bridge.setPreset(this.index, one, true);
  }

  reset() {
    if (this.slot) this.bridge?.reset(this.index, true);
  }
}
