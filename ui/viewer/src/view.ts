// One viewport: which frame of which source is painted, in which greys, and where it lies. The state is here in plain numbers
// (camera.ts, grey.ts); Cornerstone is told after every change, so that both renderers and a rebuilt one show the same.
import { Enums, type RenderingEngine, type Types, cache } from "@cornerstonejs/core";
import { annotation } from "@cornerstonejs/tools";
import * as look from "./camera.ts";
import { type FrameSpec, Failure, type SeriesSpec, type WindowSpec, described } from "./frames.ts";
import { type Range, range, windowOf } from "./grey.ts";
import { imageIds, obtain, spacingOf } from "./loader.ts";
import { type LutSpec, type Node, nodes } from "./table.ts";

export interface Loaded {
  /** null: the middle one. */
  frame?: number | null;
  window?: WindowSpec | null;
  invert?: boolean;
  camera?: look.Camera | null;
}

/** What a view tells its bridge. */
export interface Teller {
  engine(): RenderingEngine;
  cpu(): boolean;
  enabled(viewportId: string): void;
  tell(name: string, detail: Record<string, unknown>): void;
  loading(by: number): void;
  elsewhere(source: string, but: View): boolean;
}

const { STACK } = Enums.ViewportType;
const { IMAGE_RENDERED } = Enums.Events;
/** mm on either side of the camera that are drawn: all there is. */
const DEPTH = 1e6;

/** Cornerstone keeps the CPU renderer's transform here; only this file touches it (5.14). */
interface CpuInside {
  viewport: { scale: number; rotation: number; hflip: boolean; vflip: boolean; translation: { x: number; y: number }; sigmoid?: boolean; table?: LutSpec | null; displayedArea?: unknown };
}

/** What of vtk.js's image actor a lookup table needs. */
interface Painted {
  getMapper(): { setColorTextureWidth(width: number): void };
  getProperty(): { getRGBTransferFunction(at: number): { setNodes(nodes: Node[]): void } };
}

interface Vtk {
  getVtkActiveCamera(): { setClippingRange(near: number, far: number): void };
}

export class View {
  source: string | null = null;
  series: SeriesSpec | null = null;
  /** The frame that is painted; null before the first. */
  frame: number | null = null;
  camera: look.Camera | null = null;
  range: Range | null = null;
  window: WindowSpec | null = null;
  inverted = false;

  readonly id: string;
  private wanted = 0;
  private turn = 0;
  private ids: string[] = [];
  private byReader = false;
  private waiting: (() => void)[] = [];
  readonly slot: number;
  readonly surface: HTMLDivElement;
  private readonly host: Teller;

  constructor(host: Teller, slot: number, surface: HTMLDivElement) {
    this.host = host;
    this.slot = slot;
    this.surface = surface;
    this.id = `view-${slot}`;
    surface.addEventListener(IMAGE_RENDERED, () => this.painted());
    surface.addEventListener("contextmenu", (event) => event.preventDefault());
    surface.addEventListener("mousemove", (event) => this.point(event));
    surface.addEventListener("mouseleave", () => this.host.tell("pointer", { slot: this.slot, column: null, row: null, value: null }));
  }

  get viewport(): Types.IStackViewport | null {
    return (this.host.engine().getViewport(this.id) as Types.IStackViewport | undefined) ?? null;
  }

  get spec(): FrameSpec | null {
    return this.series?.frames[this.frame ?? this.wanted] ?? null;
  }

  /** Size of the surface in CSS pixels; one by one while it is hidden. */
  get box(): look.Box {
    return { width: Math.max(1, this.surface.clientWidth), height: Math.max(1, this.surface.clientHeight) };
  }

  get plane(): look.Plane {
    const spec = this.spec;
    return { rows: spec?.rows ?? 1, columns: spec?.columns ?? 1, spacing: spec?.spacing ?? [1, 1] };
  }

  /** The frame asked for last, which may still be on its way. */
  get next(): number {
    return this.wanted;
  }

  imageId(n: number): string | null {
    return this.ids[n] ?? null;
  }

  /** Show a source. Resolves when it is painted; what was shown before is taken down at once. */
  async load(source: string, { frame = 0, window = null, invert = false, camera = null }: Loaded = {}): Promise<void> {
    if (this.source && this.source !== source) this.clear();
    const turn = (this.turn += 1);
    this.host.loading(1);
    try {
      const series = await described(source);
      if (turn !== this.turn) return;
      if (!series.frames.length) throw new Failure("This series has no image that can be shown.");
      const ids = imageIds(source, series);
      const first = Math.max(0, Math.min(series.frames.length - 1, frame ?? Math.floor(series.frames.length / 2)));
      Object.assign(this, { source, series, ids, wanted: first, frame: null, inverted: invert });
      await obtain(ids[first]);
      if (turn !== this.turn) return;
      this.camera = camera ?? look.whole(this.plane);
      this.pick(window);
      this.enable();
      const painted = new Promise<void>((resolve) => this.waiting.push(resolve));
      await this.viewport?.setStack(ids, first);
      if (turn !== this.turn) return;
      this.apply();
      await painted;
    } finally {
      this.host.loading(-1);
    }
  }

  /** Go to a frame; returns when it is painted, or when another was asked for meanwhile. */
  async toFrame(n: number, byReader = false): Promise<void> {
    if (!this.series || this.frame === null) return;
    const next = Math.max(0, Math.min(this.ids.length - 1, Math.round(n)));
    if (next === this.wanted) return;
    this.wanted = next;
    const turn = (this.turn += 1);
    this.host.tell("seeking", { slot: this.slot, source: this.source, frame: next, byReader });
    const fresh = !cache.isLoaded(this.ids[next]);
    if (fresh) this.host.loading(1);
    try {
      await obtain(this.ids[next]);
      if (turn !== this.turn) return;
      this.byReader = byReader;
      const other = this.series.frames[next].rows !== this.plane.rows || this.series.frames[next].columns !== this.plane.columns;
      await this.viewport?.setImageIdIndex(next);
      if (turn !== this.turn) return;
      if (other) this.camera = { ...look.whole({ ...this.series.frames[next], spacing: this.series.frames[next].spacing ?? [1, 1] }), rotation: this.camera?.rotation ?? 0 };
      this.apply();
    } catch (error) {
      if (turn === this.turn) this.failed(error as Error);
    } finally {
      if (fresh) this.host.loading(-1);
    }
  }

  /** Nothing of the image stays: not its pixels, not its marks (unless another viewport shows it). */
  clear(): void {
    this.turn += 1;
    if (!this.source) return;
    const { source } = this;
    this.host.tell("closing", { slot: this.slot, source });
    if (!this.host.elsewhere(source, this)) {
      const gone = new Set(this.ids);
      for (const one of annotation.state.getAllAnnotations()) {
        if (one.annotationUID && gone.has(one.metadata?.referencedImageId ?? "")) annotation.state.removeAnnotation(one.annotationUID);
      }
    }
    Object.assign(this, { source: null, series: null, frame: null, camera: null, range: null, window: null, inverted: false, ids: [], wanted: 0 });
    this.disable();
  }

  /** A frame that cannot be had is never left under the picture of another. */
  private failed(error: Error): void {
    this.frame = null;
    this.host.tell("failed", { slot: this.slot, sentence: error.message || "This image cannot be shown." });
  }

  enable(): void {
    if (this.viewport) return;
    this.host.engine().enableElement({ viewportId: this.id, element: this.surface, type: STACK, defaultOptions: { background: [0, 0, 0] } });
    this.host.enabled(this.id);
  }

  disable(): void {
    if (this.viewport) this.host.engine().disableElement(this.id);
    this.surface.replaceChildren();
  }

  /** After the renderer was made anew: the same image again, as it was. */
  async rebuilt(): Promise<void> {
    if (!this.source || !this.series || !this.camera) return;
    const { source, wanted, window, inverted, camera, range: kept } = this;
    this.frame = null;
    await this.load(source, { frame: wanted, window, invert: inverted, camera });
    if (kept) this.setRange(kept);
  }

  /** The reader's window, or the series' first, or all there is. */
  private pick(window: WindowSpec | null): void {
    const chosen = window ?? this.series?.windows[0] ?? null;
    this.window = chosen;
    this.range = chosen ? range(chosen) : this.whole();
  }

  /** From the least to the greatest value of the frame. */
  whole(): Range {
    const image = cache.getImage(this.ids[this.wanted] ?? "");
    return { lower: image?.minPixelValue ?? 0, upper: Math.max(image?.maxPixelValue ?? 255, (image?.minPixelValue ?? 0) + 1e-6) };
  }

  setWindow(window: WindowSpec | null, byReader = false): void {
    if (!this.series || this.series.color) return;
    this.pick(window);
    this.regrey(byReader);
  }

  setRange(value: Range, byReader = false): void {
    if (!this.series || this.series.color || !(value.upper > value.lower)) return;
    this.range = value;
    this.window = windowOf(value);
    this.regrey(byReader);
  }

  setInvert(on: boolean, byReader = false): void {
    if (!this.series || this.series.color || on === this.inverted) return;
    this.inverted = on;
    this.regrey(byReader);
  }

  setCamera(change: Partial<look.Camera> & { mmPerPixel?: number }, byReader = false): void {
    if (!this.camera || !this.series) return;
    const { mmPerPixel, ...plain } = change;
    const next = { ...this.camera, ...plain };
    if (mmPerPixel) next.zoom = 1 / mmPerPixel / look.fit(this.plane, this.box, next.rotation);
    next.zoom = Math.max(look.MIN_ZOOM, Math.min(look.MAX_ZOOM, next.zoom));
    this.camera = next;
    this.recamera(byReader);
  }

  /** Camera and greys as at the beginning. The inversion of MONOCHROME1 is no choice of the reader's, so it stays. */
  reset(byReader = false): void {
    if (!this.series) return;
    this.camera = look.whole(this.plane);
    this.inverted = false;
    this.pick(null);
    this.regrey(byReader);
    this.recamera(byReader);
  }

  private regrey(byReader: boolean): void {
    this.paintGrey();
    this.viewport?.render();
    this.host.tell("window", { slot: this.slot, ...this.range, center: this.window?.center, width: this.window?.width, invert: this.inverted, byReader });
  }

  private recamera(byReader: boolean): void {
    this.aim();
    this.viewport?.render();
    this.host.tell("camera", { slot: this.slot, camera: this.lens(), byReader });
  }

  /** The camera with what others need to follow it. */
  lens(): (look.Camera & { mmPerPixel: number | null }) | null {
    if (!this.camera || !this.series || !this.spec) return null;
    const known = spacingOf(this.series, this.spec);
    return { ...this.camera, center: [...this.camera.center], mmPerPixel: known ? 1 / look.scale(this.plane, this.box, this.camera) : null };
  }

  /** Tell the renderer everything: after a new image, a new size, a new renderer. */
  apply(): void {
    if (!this.viewport || !this.series || !this.camera) return;
    this.size();
    this.paintGrey();
    this.aim();
    this.viewport.render();
  }

  private size(): void {
    if (!this.host.cpu() || !this.viewport) return;
    const { canvas } = this.viewport;
    const [width, height] = [this.surface.clientWidth, this.surface.clientHeight].map((value) => Math.round(value * devicePixelRatio));
    if (width && height && (canvas.width !== width || canvas.height !== height)) Object.assign(canvas, { width, height });
  }

  private paintGrey(): void {
    if (!this.viewport || !this.series) return;
    const inverse = Boolean(this.spec?.inverse) !== this.inverted;
    const sigmoid = this.window?.function === "SIGMOID";
    const table = this.table;
    const values: Types.StackViewportProperties = { interpolationType: Enums.InterpolationType.LINEAR };
    if (!this.series.color) Object.assign(values, { voiRange: this.range, invert: inverse });
    const bent = sigmoid || table !== null; // Cornerstone makes a curve of its own for both; the table's own points replace it below
    if (this.host.cpu()) Object.assign(this.inside().viewport, { sigmoid, table });
    else if (!this.series.color && (bent || this.viewport.getProperties().VOILUTFunction === Enums.VOILUTFunctionType.SAMPLED_SIGMOID)) {
      values.VOILUTFunction = bent ? Enums.VOILUTFunctionType.SAMPLED_SIGMOID : Enums.VOILUTFunctionType.LINEAR;
    }
    this.viewport.setProperties(values, true);
    if (table && !this.host.cpu()) this.bend(table, inverse);
  }

  /** The lookup table of the wanted frame's file while the window stands for it. */
  private get table(): LutSpec | null {
    if (this.window?.function !== "LUT" || !this.series || this.series.color) return null;
    return this.series.luts?.[this.series.frames[this.wanted]?.lut] ?? null;
  }

  private bend(table: LutSpec, inverse: boolean): void {
    const drawn = this.viewport?.getDefaultActor()?.actor as unknown as Painted | undefined;
    if (!drawn) return;
    drawn.getMapper().setColorTextureWidth(4096);
    drawn.getProperty().getRGBTransferFunction(0).setNodes(nodes(table, inverse));
  }

  private inside(): CpuInside {
    return (this.viewport as unknown as { _cpuFallbackEnabledElement: CpuInside })._cpuFallbackEnabledElement;
  }

  private aim(): void {
    if (!this.viewport || !this.camera) return;
    if (this.host.cpu()) this.aimCpu(this.camera);
    else this.aimGpu(this.camera);
  }

  private aimCpu(camera: look.Camera): void {
    const { plane, box } = this;
    const inside = this.inside();
    const angle = (camera.rotation * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const x = (camera.center[0] - plane.columns / 2) * (camera.flipH ? -1 : 1);
    const y = (camera.center[1] - plane.rows / 2) * (camera.flipV ? -1 : 1);
    Object.assign(inside.viewport, {
      scale: look.scale(plane, box, camera) * Math.min(...plane.spacing) * devicePixelRatio,
      rotation: camera.rotation,
      hflip: camera.flipH,
      vflip: camera.flipV,
      translation: { x: -(cos * x - sin * y), y: -(sin * x + cos * y) },
    });
    this.viewport?.setCamera({});
  }

  private aimGpu(camera: look.Camera): void {
    const { plane, box, spec, viewport } = this;
    if (!spec || !viewport) return;
    const direction = spec.orientation ?? [1, 0, 0, 0, 1, 0];
    const [across, down] = [direction.slice(0, 3), direction.slice(3, 6)] as look.Triple[];
    const angle = (camera.rotation * Math.PI) / 180;
    const [fh, fv] = [camera.flipH ? -1 : 1, camera.flipV ? -1 : 1];
    const up = across.map((value, axis) => -fh * Math.sin(angle) * value - fv * Math.cos(angle) * down[axis]) as look.Triple;
    const normal = look.cross(across, down).map((value) => -fh * fv * value) as look.Triple;
    const origin = spec.position ?? [0, 0, spec.n];
    const focalPoint = origin.map((value, axis) => value + across[axis] * plane.spacing[1] * camera.center[0] + down[axis] * plane.spacing[0] * camera.center[1]) as look.Triple;
    const away = 500;
    viewport.setCamera({
      viewUp: up,
      viewPlaneNormal: normal,
      focalPoint,
      position: focalPoint.map((value, axis) => value + normal[axis] * away) as look.Triple,
      parallelScale: box.height / 2 / look.scale(plane, box, camera),
      clippingRange: [-1e6, 1e6], // what the last image left may lie before or behind this one
    });
    // Cornerstone sets the range for where the plane was; one that has moved since would be cut away and leave black.
    (viewport as unknown as Vtk).getVtkActiveCamera().setClippingRange(-DEPTH, DEPTH);
  }

  private painted(): void {
    const image = this.viewport?.getCornerstoneImage?.() as Types.IImage | undefined;
    if (!image || !this.source || image.imageId !== this.ids[this.wanted]) return;
    for (const resolve of this.waiting.splice(0)) resolve();
    const before = this.frame;
    this.frame = this.wanted;
    if (before === this.frame) return;
    const detail = { slot: this.slot, source: this.source, frame: this.frame, byReader: this.byReader };
    this.byReader = false;
    this.host.tell(before === null ? "shown" : "scrolled", detail);
  }

  /** [x, y] CSS pixels of the surface -> [column, row]. */
  toImage(point: look.Pair): look.Pair | null {
    return this.camera ? look.toImage(this.plane, this.box, this.camera, point) : null;
  }

  toCanvas(point: look.Pair): look.Pair | null {
    return this.camera ? look.toCanvas(this.plane, this.box, this.camera, point) : null;
  }

  toMm(point: look.Pair): look.Triple | null {
    const { spec } = this;
    return spec ? look.toMm(spec.position, spec.orientation, spec.spacing, point) : null;
  }

  /** Value of the painted frame at [column, row] in the modality's units ([r, g, b] for colour); null outside. */
  valueAt([column, row]: look.Pair): number | number[] | null {
    const image = this.frame === null ? undefined : cache.getImage(this.ids[this.frame]);
    const [x, y] = [Math.round(column), Math.round(row)];
    if (!image || x < 0 || y < 0 || x >= image.columns || y >= image.rows) return null;
    const values = image.voxelManager?.getScalarData() as unknown as ArrayLike<number>;
    const at = y * image.columns + x;
    return image.color ? [0, 1, 2].map((part) => values[at * 3 + part]) : values[at];
  }

  private point(event: MouseEvent): void {
    if (this.frame === null || event.buttons) return;
    const box = this.surface.getBoundingClientRect();
    const at = this.toImage([event.clientX - box.left, event.clientY - box.top]);
    if (at) this.host.tell("pointer", { slot: this.slot, column: Math.round(at[0]), row: Math.round(at[1]), value: this.valueAt(at) });
  }
}
