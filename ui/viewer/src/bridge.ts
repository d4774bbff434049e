// The one bridge between the viewer and the page around it. Slots are the page's viewports, counted from 0.
//
// Events out, by `on(name, listener)`, which returns the way to stop listening:
//   shown     {slot, source, frame}                 the first paint of a source in a slot
//   seeking   {slot, source, frame, byReader}       another frame was asked for, before it is painted: links follow this one, so that
//                                                   linked views are painted together and not one after the other
//   scrolled  {slot, source, frame, byReader}       another frame is painted
//   camera    {slot, camera, byReader}              zoom, position, turn or mirror changed
//   window    {slot, lower, upper, center, width, invert, byReader}
//   closing   {slot, source}                        before its pixels and its marks are taken down
//   pointer   {slot, column, row, value}            under the mouse; nulls when it leaves
//   tool      {name}                                what the primary button does
//   renderer  {cpu, reason}                         chosen or changed; world points made before are not to be kept
//   failed    {slot, sentence}                      an image or the renderer failed, in one sentence
// `byReader` is true when the reader's hand did it and false when a command did: a link follows the first alone, so nothing echoes.
//
// Commands in are the methods of `Bridge`. Image points are [column, row], the centre of the first pixel is (0, 0), on both
// renderers. A SOURCE is the address of a `frames.json`.
import { Enums, RenderingEngine, type Types, cache, eventTarget, getRenderingEngine, init as initCore, setUseCPURendering } from "@cornerstonejs/core";
import { Enums as ToolEnums, ToolGroupManager, addTool, init as initTools } from "@cornerstonejs/tools";
import { Ahead } from "./ahead.ts";
import { type Camera, type Edges, type Pair, type Triple, bar, edges, flipped, rotated, scale, zoomed } from "./camera.ts";
import { type SeriesSpec, type WindowSpec, forget } from "./frames.ts";
import { presets, type Range } from "./grey.ts";
import { HANDS, PanHand, ZoomHand, seeks, wheel } from "./hands.ts";
import { register, sourceOf, spacingOf } from "./loader.ts";
import { chosen } from "./renderer.ts";
import { type Loaded, type Teller, View } from "./view.ts";

export interface BridgeEvents {
  shown: { slot: number; source: string; frame: number };
  seeking: { slot: number; source: string; frame: number; byReader: boolean };
  scrolled: { slot: number; source: string; frame: number; byReader: boolean };
  camera: { slot: number; camera: Camera & { mmPerPixel: number | null }; byReader: boolean };
  window: { slot: number; lower: number; upper: number; center: number; width: number; invert: boolean; byReader: boolean };
  closing: { slot: number; source: string };
  pointer: { slot: number; column: number | null; row: number | null; value: number | number[] | null };
  tool: { name: string };
  renderer: { cpu: boolean; reason: string };
  failed: { slot: number | null; sentence: string };
}

type Listener<Name extends keyof BridgeEvents> = (detail: BridgeEvents[Name]) => void;

const ENGINE = "interval";
const { Primary, Auxiliary, Secondary } = ToolEnums.MouseBindings;

export class Bridge {
  readonly views: View[] = [];
  readonly toolGroup;
  /** Whether pictures are drawn on the processor, and why. */
  renderer: { cpu: boolean; reason: string };
  private readonly listeners = new Map<string, Set<(detail: never) => void>>();
  private readonly ahead = new Ahead(() => this.views);
  private readonly teller: Teller;
  private primary = "window";
  private sizing = 0;

  constructor() {
    this.renderer = chosen();
    initCore({ rendering: { webGlContextCount: 1 } } as never);
    // Never `setUseCPURendering(false)`: it would undo Cornerstone's own fallback on a machine without WebGL.
    if (this.renderer.cpu) setUseCPURendering(true);
    initTools();
    register();
    for (const tool of HANDS) addTool(tool);
    this.toolGroup = ToolGroupManager.createToolGroup(ENGINE) ?? ToolGroupManager.getToolGroup(ENGINE)!;
    for (const tool of HANDS) this.toolGroup.addTool(tool.toolName);
    new RenderingEngine(ENGINE);
    this.teller = {
      engine: () => this.engine,
      cpu: () => this.renderer.cpu,
      enabled: (id) => this.toolGroup.addViewport(id, ENGINE),
      tell: (name, detail) => this.tell(name as keyof BridgeEvents, detail as never),
      loading: (by) => this.ahead.hold(by),
      elsewhere: (source, but) => this.views.some((view) => view !== but && view.source === source),
    };
    seeks((element) => this.views.find((view) => view.surface === element) ?? null);
    eventTarget.addEventListener(Enums.Events.WEBGL_CONTEXT_LOST, () => void this.lost());
    this.tool("window");
  }

  get engine(): RenderingEngine {
    return getRenderingEngine(ENGINE) as RenderingEngine;
  }

  on<Name extends keyof BridgeEvents>(name: Name, listener: Listener<Name>): () => void {
    const all = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, all.add(listener as never));
    return () => all.delete(listener as never);
  }

  private tell<Name extends keyof BridgeEvents>(name: Name, detail: BridgeEvents[Name]): void {
    for (const listener of this.listeners.get(name) ?? []) (listener as Listener<Name>)(detail);
    if (name === "shown" || name === "scrolled") this.ahead.go();
  }

  // Slots

  /** Take an element of the page as the place of a slot: `surface` gets the pixels, `area` around it the wheel. */
  place(slot: number, surface: HTMLDivElement, area: HTMLElement): void {
    this.views[slot] = new View(this.teller, slot, surface);
    wheel(() => this.views[slot], area);
    new ResizeObserver(() => this.resize()).observe(surface);
  }

  /** The last slot leaves the page. */
  unplace(slot: number): void {
    this.views[slot]?.clear();
    this.views.length = slot;
  }

  /** Show a source in a slot, or nothing. Rejects with one sentence in the reader's words. */
  async load(slot: number, source: string | null, options: Loaded = {}): Promise<void> {
    if (source) await this.views[slot].load(source, options);
    else this.views[slot].clear();
  }

  /** Ask the server again what a source is, at the next load. */
  forget(source: string): void {
    forget(source);
  }

  /** `frames.json` of what a slot shows. */
  meta(slot: number): SeriesSpec | null {
    return this.views[slot]?.series ?? null;
  }

  source(slot: number): string | null {
    return this.views[slot]?.source ?? null;
  }

  /** The painted frame, counted from 0; null before the first. */
  frame(slot: number): number | null {
    return this.views[slot]?.frame ?? null;
  }

  toFrame(slot: number, n: number, byReader = false): Promise<void> {
    return this.views[slot].toFrame(n, byReader);
  }

  /** Go on by frames from the one asked for last, so that fast steps add up. */
  step(slot: number, by: number, byReader = false): Promise<void> {
    return this.views[slot].toFrame(this.views[slot].next + by, byReader);
  }

  /** Like `step`, from the end to the beginning again. */
  turnOver(slot: number, by: number): Promise<void> {
    const view = this.views[slot];
    const count = view.series?.frames.length ?? 1;
    return view.toFrame((view.next + by + count) % count, true);
  }

  // Looking

  camera(slot: number): (Camera & { mmPerPixel: number | null }) | null {
    return this.views[slot]?.lens() ?? null;
  }

  setCamera(slot: number, change: Partial<Camera> & { mmPerPixel?: number }, byReader = false): void {
    this.views[slot]?.setCamera(change, byReader);
  }

  zoom(slot: number, factor: number): void {
    const view = this.views[slot];
    if (view?.camera) view.setCamera(zoomed(view.plane, view.box, view.camera, factor), true);
  }

  rotate(slot: number, degrees: number): void {
    const view = this.views[slot];
    if (view?.camera) view.setCamera(rotated(view.camera, degrees), true);
  }

  flip(slot: number, axis: "h" | "v"): void {
    const view = this.views[slot];
    if (view?.camera) view.setCamera(flipped(view.camera, axis), true);
  }

  /** The grey range with its window and inversion; null for colour and empty slots. */
  window(slot: number): (Range & { center: number; width: number; invert: boolean }) | null {
    const view = this.views[slot];
    if (!view?.range || !view.window || view.series?.color) return null;
    return { ...view.range, center: view.window.center, width: view.window.width, invert: view.inverted };
  }

  setWindow(slot: number, value: Range, byReader = false): void {
    this.views[slot]?.setRange(value, byReader);
  }

  /** A window as DICOM writes it; null for the series' own. */
  setPreset(slot: number, window: WindowSpec | null, byReader = false): void {
    this.views[slot]?.setWindow(window, byReader);
  }

  /** Windows on the number keys of a slot. */
  presets(slot: number): WindowSpec[] {
    const series = this.views[slot]?.series;
    return series && !series.color ? presets(series.modality, series.windows) : [];
  }

  setInvert(slot: number, on: boolean, byReader = false): void {
    this.views[slot]?.setInvert(on, byReader);
  }

  reset(slot: number, byReader = false): void {
    this.views[slot]?.reset(byReader);
  }

  // Places

  element(slot: number): HTMLElement | null {
    return this.views[slot]?.surface.closest<HTMLElement>(".viewport") ?? null;
  }

  viewport(slot: number): Types.IStackViewport | null {
    return this.views[slot]?.viewport ?? null;
  }

  imageId(slot: number, n: number): string | null {
    return this.views[slot]?.imageId(n) ?? null;
  }

  sourceOf(imageId: string): { source: string; n: number } | null {
    return sourceOf(imageId);
  }

  imageToCanvas(slot: number, point: Pair): Pair | null {
    return this.views[slot]?.toCanvas(point) ?? null;
  }

  canvasToImage(slot: number, point: Pair): Pair | null {
    return this.views[slot]?.toImage(point) ?? null;
  }

  /** Patient coordinates (LPS, mm) of an image point of the painted frame; null without geometry. */
  toMm(slot: number, point: Pair): Triple | null {
    return this.views[slot]?.toMm(point) ?? null;
  }

  valueAt(slot: number, point: Pair): number | number[] | null {
    return this.views[slot]?.valueAt(point) ?? null;
  }

  /** Letters of the patient's sides at the edges of a slot. */
  edges(slot: number): Edges | null {
    const view = this.views[slot];
    return view?.camera && view.spec ? edges(view.spec.orientation, view.camera) : null;
  }

  /** Scale bar of a slot, [mm, CSS pixels]; null where no mm is known. */
  bar(slot: number, most = 120): [number, number] | null {
    const view = this.views[slot];
    if (!view?.camera || !view.series || !view.spec || !spacingOf(view.series, view.spec)) return null;
    return bar(scale(view.plane, view.box, view.camera), most);
  }

  /** CSS pixels of the screen for one pixel of the image, across. */
  magnification(slot: number): number | null {
    const view = this.views[slot];
    return view?.camera ? scale(view.plane, view.box, view.camera) * view.plane.spacing[1] : null;
  }

  // Tools

  /** What the primary button does; without a name, what it does now. The middle button pans, the right one zooms. */
  tool(name?: string): string {
    if (!name) return this.primary;
    const group = this.toolGroup;
    if (HANDS.some((hand) => hand.toolName === this.primary)) group.setToolDisabled(this.primary);
    else if (group.hasTool(this.primary)) group.setToolPassive(this.primary, { removeAllBindings: true });
    this.primary = name;
    const own = (tool: string, button: number) => [{ mouseButton: button }, ...(tool === name ? [{ mouseButton: Primary }] : [])];
    group.setToolActive(PanHand.toolName, { bindings: own(PanHand.toolName, Auxiliary) });
    group.setToolActive(ZoomHand.toolName, { bindings: own(ZoomHand.toolName, Secondary) });
    if (name !== PanHand.toolName && name !== ZoomHand.toolName) group.setToolActive(name, { bindings: [{ mouseButton: Primary }] });
    this.tell("tool", { name });
    return name;
  }

  render(slot?: number): void {
    for (const view of slot === undefined ? this.views : [this.views[slot]]) view?.viewport?.render();
  }

  /** Bytes of pixels kept in this tab. */
  held(): number {
    return cache.getCacheSize();
  }

  // The renderer

  private resize(): void {
    if (this.sizing) return;
    this.sizing = requestAnimationFrame(() => {
      this.sizing = 0;
      if (!this.renderer.cpu && this.engine.getViewports().length) this.engine.resize(false, true);
      for (const view of this.views) {
        view.apply();
        const camera = view.lens();
        if (camera) this.tell("camera", { slot: view.slot, camera, byReader: false });
      }
    });
  }

  /** The graphics context went away: everything again on the processor, each view as it was. */
  private async lost(): Promise<void> {
    if (this.renderer.cpu) return;
    await this.onCpu("the graphics context was lost");
  }

  /** Draw on the processor from here on. */
  async onCpu(reason: string): Promise<void> {
    this.engine.destroy();
    for (const view of this.views) view.surface.replaceChildren();
    setUseCPURendering(true, false);
    this.renderer = { cpu: true, reason };
    new RenderingEngine(ENGINE);
    this.tell("renderer", this.renderer);
    await Promise.all(this.views.map((view) => view.rebuilt().catch((error: Error) => this.tell("failed", { slot: view.slot, sentence: error.message }))));
  }
}
