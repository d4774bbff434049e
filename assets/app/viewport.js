// One image of the comparison: the server's pixels for one frame, what it is in words, and the means to look closer.
// Zoom, pan and inversion happen here alone; window and slice ask the server for another picture. What hung before is
// taken down at once when a viewport gets another series, so that no patient's pixels stay under another's name.
import { day, fill, h, icon, iconButton, menu, sentence, setOptions } from "./dom.js";
import { alter, clearSlot, place, setRole } from "./hang.js";
import { picture } from "./pictures.js";
import { state, update } from "./state.js";
import { say } from "./toast.js";

const ROLES = {
  temporal: (count) => (count > 2 ? ["prior", "current", ...Array.from({ length: count }, (_, i) => `time ${i + 1}`)] : ["prior", "current"]),
  views: () => ["PA", "AP", "lateral", "CC", "MLO", "view 1", "view 2"],
  sides: () => ["left", "right"],
  unrelated: () => [],
};

const value = (one) => `${one.center},${one.width},${one.function}`;

/** Windows are named in capitals in most files; nobody reads capitals well. */
const named = (name) => name[0].toUpperCase() + (name === name.toUpperCase() ? name.slice(1).toLowerCase() : name.slice(1));

export class Viewport {
  constructor(index) {
    this.index = index;
    this.slot = null;
    this.zoom = 1;
    this.pan = [0, 0];
    this.turned = 0;
    this.build();
    new ResizeObserver(() => this.fit()).observe(this.area);
  }

  build() {
    const slice = (event) => this.toFrame(Number(event.target.value));
    this.image = h("img", { alt: "", draggable: "false" });
    this.role = menu("Role of this image", [["", "no role"]], "", (role) => setRole(this.index, role), { classes: "role", "data-testid": "role" });
    this.when = h("span.when");
    this.who = h("span.who.number");
    this.date = h("span.date.number");
    this.what = h("span.what.clip");
    this.grey = h("span.grey.number");
    this.count = h("span.count.number");
    this.scale = h("span.scale.number");
    this.flag = h("button.flag", { type: "button", hidden: true, onclick: () => say(this.flag.title) }, icon("warning"));
    this.message = h("div.message", { role: "status" });
    this.area = h("div.area", { tabindex: "0", role: "group", "aria-roledescription": "image viewport" }, this.image, this.message,
      h("div.corner.tl", {}, this.role, this.when), h("div.corner.tr", {}, this.who, this.date),
      h("div.corner.bl", {}, this.what, this.grey), h("div.corner.br", {}, this.flag, this.count, this.scale));
    this.slider = h("input.slices", { type: "range", min: "0", "aria-label": "Slice", oninput: slice });
    this.windows = menu("Window", [], "", (chosen) => this.toWindow(chosen), { classes: "small windows", "data-testid": "window" });
    this.inverted = iconButton("invert", "Invert grey levels (I)", () => this.invert(), { classes: "plain small", "aria-pressed": "false", title: "Invert grey levels (I); on the screen only, the model is shown them as they are" });
    this.bar = h("div.bar", {}, this.windows, this.slider, h("span.gap"), this.inverted,
      iconButton("minus", "Zoom out (-)", () => this.magnify(1 / 1.25), { classes: "plain small" }),
      iconButton("plus", "Zoom in (+)", () => this.magnify(1.25), { classes: "plain small" }),
      iconButton("reset", "Reset this view (0)", () => this.reset(), { classes: "plain small" }),
      iconButton("close", "Close this image", () => clearSlot(this.index), { classes: "plain small" }));
    this.element = h("section.viewport", { dataset: { testid: `viewport-${this.index + 1}` }, "aria-label": `Image ${this.index + 1}` }, this.area, this.bar);
    this.listen();
  }

  listen() {
    const { area } = this;
    this.element.addEventListener("pointerdown", () => this.activate());
    area.addEventListener("focus", () => this.activate());
    area.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    area.addEventListener("dblclick", (event) => event.target.closest("select, button") || this.reset());
    area.addEventListener("pointerdown", (event) => this.onDrag(event));
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

  activate() {
    if (state.active !== this.index) update({ active: this.index });
  }

  /** Show a slot, or nothing. */
  show(slot, active) {
    this.element.classList.toggle("active", active);
    const before = this.slot;
    this.slot = slot;
    if (!slot) return this.empty();
    const other = !before || before.series.id !== slot.series.id;
    if (other) this.takeDown();
    this.words(slot);
    const look = `${slot.series.id}/${slot.frame}/${slot.window ?? ""}`;
    if (look !== this.look) {
      this.look = look;
      this.load();
    }
    this.paint();
    return undefined;
  }

  empty() {
    this.takeDown();
    this.look = "";
    this.element.dataset.state = "empty";
    delete this.element.dataset.series;
    fill(this.message, h("p", {}, this.index === 0 ? "Choose a case on the left, or drop files anywhere." : "Choose a series on the left, or drag it here."));
    this.area.setAttribute("aria-label", `Image ${this.index + 1}: empty`);
  }

  /** Nothing of the last image stays. */
  takeDown() {
    this.abort?.abort();
    this.image.removeAttribute("src");
    this.image.alt = "";
    this.zoom = 1;
    this.pan = [0, 0];
    this.loaded = 0;
    fill(this.message);
  }

  words(slot) {
    const { series } = slot;
    const roles = [...new Set([...(ROLES[state.relation?.relationship ?? "temporal"]?.(state.slots.length) ?? []), slot.role].filter(Boolean))];
    setOptions(this.role, [...roles.map((role) => [role, role]), ["", "no role"]], slot.role);
    this.role.dataset.role = slot.role.startsWith("time") ? "time" : slot.role;
    this.when.textContent = slot.when;
    this.who.textContent = series.pseudonym;
    this.date.textContent = day(series.acquired);
    this.what.textContent = [series.modality, series.description || series.body_part, series.view, series.plane].filter((word, at, all) => word && all.indexOf(word) === at).join(" · ");
    this.what.title = this.what.textContent;
    const options = series.windows.map((one, at) => [at ? value(one) : "", (one.name && named(one.name)) || `${Math.round(one.center)} / ${Math.round(one.width)}`]);
    setOptions(this.windows, options, slot.window ?? "");
    this.windows.hidden = !options.length;
    const [center, width] = (slot.window ?? (series.windows[0] ? value(series.windows[0]) : "")).split(",");
    this.grey.textContent = width ? `C ${Math.round(center)}  W ${Math.round(width)}` : "";
    if (slot.invert) this.grey.textContent += " · inverted on the screen only";
    this.count.textContent = series.frames > 1 ? `${slot.frame + 1} / ${series.frames}` : "";
    this.slider.max = series.frames - 1;
    this.slider.value = slot.frame;
    this.slider.hidden = series.frames < 2;
    this.bar.classList.toggle("stack", series.frames > 1);
    this.inverted.setAttribute("aria-pressed", String(slot.invert));
    this.flag.hidden = !series.warnings.length;
    this.flag.title = sentence(series.warnings.join("; "));
    this.flag.setAttribute("aria-label", `Notes on this image: ${this.flag.title}`);
    const place = series.frames > 1 ? `, slice ${slot.frame + 1} of ${series.frames}` : "";
    this.area.setAttribute("aria-label", `Image ${this.index + 1}: ${[slot.role, slot.when, this.who.textContent, this.date.textContent, this.what.textContent].filter(Boolean).join(", ")}${place}`);
  }

  /** Ask for the picture at the size it is shown. */
  async load() {
    const { slot } = this;
    this.abort?.abort();
    this.abort = new AbortController();
    const turn = (this.turned += 1);
    const size = this.size();
    Object.assign(this.element.dataset, { state: "loading", series: slot.series.id, frame: slot.frame });
    try {
      const url = await picture(slot, size, this.abort.signal);
      if (turn !== this.turned) return;
      this.image.src = url;
      this.image.alt = this.area.getAttribute("aria-label");
      await this.image.decode().catch(() => undefined);
      if (turn !== this.turned) return;
      this.loaded = size;
      fill(this.message);
      this.element.dataset.state = "shown";
      this.fit();
    } catch (error) {
      if (error.name === "AbortError" || turn !== this.turned) return;
      this.image.removeAttribute("src");
      this.element.dataset.state = "error";
      fill(this.message, icon("warning"), h("p", {}, error.message), h("button.button.small", { type: "button", onclick: () => this.load() }, "Try again"));
    }
  }

  size() {
    const box = this.area.getBoundingClientRect();
    return Math.max(256, Math.ceil(Math.max(box.width, box.height) * Math.min(devicePixelRatio, 2) * Math.max(1, this.zoom)));
  }

  /** Size on the screen by physical aspect, then zoom and pan. */
  fit() {
    if (!this.slot) return;
    const { rows, columns, spacing } = this.slot.series;
    const [tall, wide] = spacing ? [rows * spacing[0], columns * spacing[1]] : [rows, columns];
    const box = this.area.getBoundingClientRect();
    const scale = Math.min(box.width / wide, box.height / tall);
    Object.assign(this.image.style, { width: `${wide * scale}px`, height: `${tall * scale}px` });
    this.fitted = (wide * scale) / columns;
    this.paint();
  }

  paint() {
    this.image.style.transform = `translate(-50%, -50%) translate(${this.pan[0]}px, ${this.pan[1]}px) scale(${this.zoom})`;
    this.image.style.filter = this.slot?.invert ? "invert(1)" : "";
    this.scale.textContent = this.fitted ? `${Math.round(100 * this.fitted * this.zoom)} %` : "";
    const native = Math.max(this.slot?.series.rows ?? 0, this.slot?.series.columns ?? 0);
    if (this.loaded && this.size() > this.loaded * 1.3 && this.loaded < native) {
      this.loaded = this.size();
      this.load();
    }
  }

  toFrame(frame) {
    if (!this.slot) return;
    const next = Math.max(0, Math.min(this.slot.series.frames - 1, frame));
    if (next !== this.slot.frame) alter(this.index, { frame: next });
  }

  toWindow(chosen) {
    if (this.slot) alter(this.index, { window: chosen || null });
  }

  preset(number) {
    const one = this.slot?.series.windows[number - 1];
    if (one) this.toWindow(number === 1 ? "" : value(one));
  }

  invert() {
    if (this.slot) alter(this.index, { invert: !this.slot.invert });
  }

  magnify(factor, at = [0, 0]) {
    const zoom = Math.max(0.5, Math.min(16, this.zoom * factor));
    const real = zoom / this.zoom;
    this.pan = this.pan.map((moved, axis) => at[axis] - (at[axis] - moved) * real);
    this.zoom = zoom;
    this.paint();
  }

  reset() {
    if (!this.slot) return;
    this.zoom = 1;
    this.pan = [0, 0];
    alter(this.index, { window: null, invert: false });
    this.paint();
  }

  onWheel(event) {
    if (!this.slot || event.target.closest("select")) return;
    event.preventDefault();
    if (event.ctrlKey || this.slot.series.frames < 2) {
      const box = this.area.getBoundingClientRect();
      this.magnify(Math.exp(-event.deltaY / 500), [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2]);
      return;
    }
    this.rolled = (this.rolled ?? 0) + (event.deltaMode === 1 ? event.deltaY * 33 : event.deltaY);
    const steps = Math.trunc(this.rolled / 50);
    this.rolled -= steps * 50;
    if (steps) this.toFrame(this.slot.frame + steps);
  }

  onDrag(event) {
    if (event.button !== 0 || !this.slot || event.target.closest("select, button")) return;
    const [startX, startY] = [event.clientX - this.pan[0], event.clientY - this.pan[1]];
    const move = (to) => {
      this.pan = [to.clientX - startX, to.clientY - startY];
      this.paint();
    };
    const end = () => {
      this.area.removeEventListener("pointermove", move);
      this.element.classList.remove("panning");
    };
    this.area.setPointerCapture(event.pointerId);
    this.element.classList.add("panning");
    this.area.addEventListener("pointermove", move);
    this.area.addEventListener("pointerup", end, { once: true });
    this.area.addEventListener("pointercancel", end, { once: true });
  }
}
