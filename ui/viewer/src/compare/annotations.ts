// What is drawn with Cornerstone's tools, as marks in pixels, and back. The page keeps the marks (undo, saving, pairing);
// this file shows exactly those, on whichever renderer: the two disagree about half a pixel, so no world point is ever kept.
import { eventTarget, metaData } from "@cornerstonejs/core";
import {
  AngleTool, ArrowAnnotateTool, BidirectionalTool, EllipticalROITool, LengthTool, PlanarFreehandROITool, ProbeTool, RectangleROITool,
  Enums, addTool, annotation, cancelActiveManipulations, utilities,
} from "@cornerstonejs/tools";
import type { Types as ToolTypes } from "@cornerstonejs/tools";
import type { Bridge } from "../bridge.ts";
import { spacingOf } from "../loader.ts";
import type { View } from "../view.ts";
import { read } from "./marks.ts";
import type { Kind, Mark, Place, Scale } from "./marks.ts";

type Drawing = ToolTypes.Annotation & { metadata: { toolName: string }; data: { contour?: { polyline: Point[]; closed: boolean } } };
type Point = [number, number, number];

class Length extends LengthTool { static override toolName = "length"; }
class Bidirectional extends BidirectionalTool { static override toolName = "bidirectional"; }
class Angle extends AngleTool { static override toolName = "angle"; }
class Cardiothoracic extends LengthTool { static override toolName = "ctr"; }
class Ellipse extends EllipticalROITool { static override toolName = "ellipse"; }
class Rectangle extends RectangleROITool { static override toolName = "rectangle"; }
class PointMark extends ProbeTool { static override toolName = "point"; }
class Arrow extends ArrowAnnotateTool { static override toolName = "arrow"; }
class Box extends RectangleROITool { static override toolName = "box"; }
class Free extends PlanarFreehandROITool {
  static override toolName = "free";
  /** Its label is written with its statistics or not at all; these are not wanted, so they are not reckoned. */
  override _calculateStatsIfActive(): void {}
}

const TOOLS = [Length, Bidirectional, Angle, Cardiothoracic, Ellipse, Rectangle, PointMark, Arrow, Box, Free];
const KINDS = new Set<string>(TOOLS.map((tool) => tool.toolName));
const SERIES = /^\/api\/series\/(\d+)\/frames\.json$/;
const THORAX = "~thorax";
const MOST_POINTS = 400;
const STYLE = {
  color: "rgb(255, 214, 102)", colorHighlighted: "rgb(255, 240, 190)", colorSelected: "rgb(127, 227, 245)", lineWidth: "1.5", shadow: true,
  textBoxColor: "rgb(255, 224, 140)", textBoxColorHighlighted: "rgb(255, 240, 190)", textBoxColorSelected: "rgb(127, 227, 245)",
  textBoxFontFamily: "Inter Variable, system-ui, sans-serif", textBoxFontSize: "13px", textBoxBackground: "rgba(0, 0, 0, 0.62)",
  textBoxLinkLineWidth: "1", textBoxLinkLineDash: "2,3", textBoxBorderRadius: "4", textBoxMargin: "4",
};

/** What the page hears: a mark drawn anew, one dragged (or its statistics known), one chosen, or why nothing was drawn. */
export type Told =
  | { readonly what: "drawn" | "changed"; readonly mark: Mark }
  | { readonly what: "selected"; readonly id: string | null }
  | { readonly what: "refused"; readonly sentence: string };

export class Annotations {
  private readonly bridge: Bridge;
  private readonly tell: (told: Told) => void;
  private marks: readonly Mark[] = [];
  private choosing = false;
  private cancelling = false;
  /** What was shown as a mark: anything else is a drawing that is not finished. */
  private readonly mine = new Set<string>();

  /** Adds the tools to the viewer, each by its kind's name, and listens from here on. */
  constructor(bridge: Bridge, tell: (told: Told) => void) {
    this.bridge = bridge;
    this.tell = tell;
    const before = annotation.config.style.getDefaultToolStyles() as { global?: object };
    annotation.config.style.setDefaultToolStyles({ ...before, global: { ...before.global, ...STYLE } } as never);
    for (const tool of TOOLS) {
      addTool(tool);
      bridge.toolGroup.addTool(tool.toolName, this.settings(tool.toolName as Kind) as never);
      bridge.toolGroup.setToolPassive(tool.toolName);
    }
    const { ANNOTATION_COMPLETED, ANNOTATION_MODIFIED, ANNOTATION_SELECTION_CHANGE } = Enums.Events;
    const drawing = (event: Event): Drawing => (event as CustomEvent).detail.annotation;
    eventTarget.addEventListener(ANNOTATION_COMPLETED, ((event: Event) => this.completed(drawing(event))) as EventListener);
    eventTarget.addEventListener(ANNOTATION_MODIFIED, ((event: Event) => this.modified(drawing(event))) as EventListener);
    eventTarget.addEventListener(ANNOTATION_SELECTION_CHANGE, ((event: Event) => {
      if (this.choosing) return;
      const chosen: string | undefined = (event as CustomEvent).detail.selection?.[0];
      this.tell({ what: "selected", id: chosen ? own(chosen) : null });
    }) as EventListener);
    bridge.on("shown", () => this.show(this.marks));
    bridge.on("tool", () => this.cancel());
  }

  private settings(kind: Kind): Record<string, unknown> {
    const words = (data: Drawing["data"], target: string | string[]): string[] => this.words(kind, data, target);
    const label = (done: (text: string) => void): void => done("…"); // the page names it as soon as it is complete
    return {
      getTextLines: words, getTextCallback: label, changeTextCallback: () => undefined, actions: {},
      ...(kind === "free" ? { allowOpenContours: false } : {}),
      ...(kind === "box" ? { calculateStats: false } : {}),
    };
  }

  /** Stop a drawing that is not finished. */
  cancel(): void {
    this.cancelling = true; // Cornerstone calls a drawing it gives up complete
    for (const view of this.bridge.views) if (view?.viewport) cancelActiveManipulations(view.surface);
    this.cancelling = false;
    for (const one of all()) if (!this.marks.some((mark) => mark.id === own(one.annotationUID ?? ""))) this.drop(one);
  }

  /** Show exactly these marks on the series that are open, and none that is not among them. */
  show(marks: readonly Mark[]): void {
    this.marks = marks;
    const wanted = new Map<string, { mark: Mark; part: number }>();
    for (const mark of marks) for (const part of mark.kind === "ctr" && mark.points.length > 2 ? [0, 1] : [0]) wanted.set(mark.id + (part ? THORAX : ""), { mark, part });
    for (const one of all()) if (this.mine.has(one.annotationUID ?? "") && !wanted.has(one.annotationUID ?? "")) this.drop(one);
    for (const [uid, { mark, part }] of wanted) {
      this.mine.add(uid);
      const view = this.viewOf(mark.series_id);
      const imageId = view?.imageId(mark.frame);
      if (!view || !imageId) continue;
      const points = part ? mark.points.slice(2, 4) : mark.kind === "ctr" ? mark.points.slice(0, 2) : mark.points;
      const there = annotation.state.getAnnotation(uid) as Drawing | undefined;
      if (there) this.move(there, points, mark.label);
      else add(uid, mark.kind, points.map((place) => this.toWorld(imageId, place)), imageId, mark.label);
    }
    this.render();
  }

  /** Mark one as chosen on the image. */
  select(id: string | null): void {
    const now = [...annotation.selection.getAnnotationsSelected()];
    const wanted = id ? [id, id + THORAX].filter((uid) => annotation.state.getAnnotation(uid)) : [];
    if (now.length === wanted.length && now.every((uid) => wanted.includes(uid))) return;
    this.choosing = true;
    for (const uid of now) deselect(uid);
    for (const uid of wanted) annotation.selection.setAnnotationSelected(uid, true, true);
    this.choosing = false;
    this.render();
  }

  /** Millimetres between the pixels of a mark's image, or null where the file does not say; undefined while the series is not open. */
  scale(mark: Mark): Scale | undefined {
    const view = this.viewOf(mark.series_id);
    const frame = view?.series?.frames[mark.frame];
    return view?.series && frame ? { spacing: spacingOf(view.series, frame) } : undefined;
  }

  private render(): void {
    utilities.triggerAnnotationRenderForViewportIds(this.bridge.views.filter((view) => view?.viewport).map((view) => view.id));
  }

  private drop(one: Drawing): void {
    if (!one.annotationUID) return;
    const before = this.choosing;
    this.choosing = true; // the page takes its own choice back
    deselect(one.annotationUID);
    this.choosing = before;
    annotation.state.removeAnnotation(one.annotationUID);
  }

  private viewOf(series: number): View | undefined {
    return this.bridge.views.find((view) => view?.source && view.frame !== null && Number(SERIES.exec(view.source)?.[1]) === series);
  }

  private words(kind: Kind, data: Drawing["data"], target: string | string[]): string[] {
    const imageId = (Array.isArray(target) ? target[0] ?? "" : target).replace(/^imageId:/, "");
    const label = data.label && data.label !== "…" ? data.label : "";
    const found = this.bridge.sourceOf(imageId);
    const view = found && this.bridge.views.find((one) => one?.source === found.source);
    const frame = found && view?.series?.frames[found.n];
    if (!view?.series || !frame || kind === "point" || kind === "box" || kind === "free") return label ? [label] : [];
    const points = this.placesOf(data, imageId);
    const whole = kind === "ctr" ? this.ratio(data, points) : points;
    if (whole.length > 2 && whole[0] === points[0] && kind === "ctr") return [`${label}  heart`]; // the thorax's line says the ratio
    const reading = read({ kind, points: whole, values: statistics(data) }, { spacing: spacingOf(view.series, frame) }, view.series.units);
    const [first = "", ...rest] = reading?.words ?? [];
    return [[label, first].filter(Boolean).join("  "), ...rest].filter(Boolean);
  }

  /** Both lines of the ratio that a line belongs to: the heart's first. */
  private ratio(data: Drawing["data"], points: Place[]): readonly Place[] {
    const line = all().find((one) => one.data === data);
    const mark = this.marks.find((one) => one.kind === "ctr" && one.id === own(line?.annotationUID ?? ""));
    if (mark && mark.points.length > 2) return line?.annotationUID?.endsWith(THORAX) ? [...mark.points.slice(0, 2), ...points] : [...points, ...mark.points.slice(2)];
    const begun = !mark && this.begun(line);
    return begun ? [...begun.points, ...points] : points;
  }

  /** The ratio on the same image that still waits for its second line. */
  private begun(line: Drawing | undefined): Mark | undefined {
    const at = this.placeOf(line);
    return this.marks.findLast((mark) => mark.kind === "ctr" && mark.points.length === 2 && mark.series_id === at?.series && mark.frame === at.frame && mark.id !== line?.annotationUID);
  }

  private placeOf(one: Drawing | undefined): { imageId: string; series: number; frame: number } | null {
    const imageId = one?.metadata.referencedImageId ?? "";
    const found = this.bridge.sourceOf(imageId);
    const series = Number(SERIES.exec(found?.source ?? "")?.[1]);
    return found && series ? { imageId, series, frame: found.n } : null;
  }

  private completed(one: Drawing): void {
    const uid = one.annotationUID ?? "";
    if (this.cancelling || !KINDS.has(one.metadata.toolName)) return;
    const at = this.placeOf(one);
    if (!at) {
      this.drop(one);
      this.render();
      this.tell({ what: "refused", sentence: "Marks belong on the images as they were taken; show the original first." });
      return;
    }
    const kind = one.metadata.toolName as Kind;
    const points = this.placesOf(one.data, at.imageId);
    const begun = kind === "ctr" ? this.begun(one) : undefined;
    if (begun) {
      this.drop(one);
      this.tell({ what: "drawn", mark: { ...begun, points: [...begun.points, ...points] } });
    } else this.tell({ what: "drawn", mark: { id: uid, kind, label: "", series_id: at.series, frame: at.frame, points, text: "", values: statistics(one.data) } });
  }

  private modified(one: Drawing): void {
    const mark = this.marks.find((other) => other.id === own(one.annotationUID ?? ""));
    const at = this.placeOf(one);
    if (!mark || !at) return;
    one.data.label = mark.label; // an arrow's placeholder is written once more after the page named it
    const points = this.placesOf(one.data, at.imageId);
    const whole = mark.kind !== "ctr" || mark.points.length < 4 ? points : this.ratio(one.data, points);
    const values = statistics(one.data);
    const still = same(whole, mark.points);
    if (still && JSON.stringify(values) === JSON.stringify(mark.values)) return;
    this.tell({ what: "changed", mark: { ...mark, points: still ? mark.points : whole, values } });
  }

  private placesOf(data: Drawing["data"], imageId: string): Place[] {
    const world = (data.contour ? thinned(data.contour.polyline) : data.handles?.points ?? []) as Point[];
    return world.map((point) => this.toPlace(imageId, point));
  }

  private move(one: Drawing, points: readonly Place[], label: string): void {
    one.data.label = label;
    const at = this.placeOf(one);
    if (!at || same(this.placesOf(one.data, at.imageId), points)) return;
    const world = points.map((place) => this.toWorld(at.imageId, place));
    if (one.data.contour) one.data.contour.polyline = world;
    else if (one.data.handles) one.data.handles.points = world;
    one.data.cachedStats = {};
    one.invalidated = true;
    if (one.annotationUID?.endsWith(THORAX)) below(one, world);
  }

  // Pixels and Cornerstone's own space. On the CPU renderer the latter lies half a pixel off: measured here, never assumed.

  private toWorld(imageId: string, [column, row]: Place): Point {
    const { origin, across, down } = plane(imageId);
    const [dx, dy] = this.off(imageId);
    return origin.map((value, axis) => value + (across[axis] ?? 0) * (column - dx) + (down[axis] ?? 0) * (row - dy)) as Point;
  }

  private toPlace(imageId: string, point: Point): Place {
    const { origin, across, down } = plane(imageId);
    const from = point.map((value, axis) => value - (origin[axis] ?? 0));
    const along = (way: Point): number => from.reduce((sum, value, axis) => sum + value * (way[axis] ?? 0), 0) / way.reduce((sum, value) => sum + value * value, 0);
    const [dx, dy] = this.off(imageId);
    return [round(along(across) + dx), round(along(down) + dy)];
  }

  /** How far Cornerstone paints a pixel from where it lies, in pixels. */
  private off(imageId: string): [number, number] {
    const source = this.bridge.sourceOf(imageId)?.source;
    const view = this.bridge.views.find((one) => one?.source === source && one.frame !== null && one.viewport);
    const shown = view?.frame !== null && view?.frame !== undefined ? view.imageId(view.frame) : null;
    if (!view?.viewport || !shown || !this.bridge.renderer.cpu) return [0, 0];
    const [column, row] = view.toImage(view.viewport.worldToCanvas(plane(shown).origin) as [number, number]) ?? [0, 0];
    return [Math.round(2 * column) / 2, Math.round(2 * row) / 2];
  }
}

const all = (): Drawing[] => (annotation.state.getAllAnnotations() as Drawing[]).filter((one) => KINDS.has(one.metadata.toolName));

/** Cornerstone fails on a choice of what was removed already (a series that closed). */
function deselect(uid: string): void {
  if (annotation.state.getAnnotation(uid) && annotation.selection.isAnnotationSelected(uid)) annotation.selection.setAnnotationSelected(uid, false);
}

const own = (uid: string): string => uid.replace(THORAX, "");

const round = (value: number): number => Math.round(value * 1000) / 1000;

const same = (one: readonly Place[], other: readonly Place[]): boolean =>
  one.length === other.length && one.every((place, at) => Math.abs(place[0] - (other[at]?.[0] ?? 0)) < 0.002 && Math.abs(place[1] - (other[at]?.[1] ?? 0)) < 0.002);

function thinned(points: readonly Point[]): readonly Point[] {
  const stride = Math.ceil(points.length / MOST_POINTS);
  return stride > 1 ? points.filter((_, at) => at % stride === 0) : points;
}

/** Corner and steps of an image's plane as Cornerstone was told them: mm, or pixels where there is no spacing. */
function plane(imageId: string): { origin: Point; across: Point; down: Point } {
  const told = metaData.get("imagePlaneModule", imageId);
  const by = (way: number[], step: number): Point => way.map((value) => value * step) as Point;
  return { origin: told.imagePositionPatient, across: by(told.rowCosines, told.columnPixelSpacing), down: by(told.columnCosines, told.rowPixelSpacing) };
}

function statistics(data: Drawing["data"]): Record<string, number> {
  const found = Object.values(data.cachedStats ?? {})[0] as Record<string, unknown> | undefined;
  const pick = { mean: found?.["mean"], sd: found?.["stdDev"], min: found?.["min"], max: found?.["max"] };
  return Object.fromEntries(Object.entries(pick).filter(([, value]) => typeof value === "number" && Number.isFinite(value)).map(([name, value]) => [name, round(value as number)]));
}

function add(uid: string, kind: Kind, world: Point[], imageId: string, label: string): void {
  const told = metaData.get("imagePlaneModule", imageId);
  const [row, column] = [told.rowCosines, told.columnCosines] as [Point, Point];
  const normal: Point = [row[1] * column[2] - row[2] * column[1], row[2] * column[0] - row[0] * column[2], row[0] * column[1] - row[1] * column[0]];
  const corner = [0, 0, 0];
  const made = {
    annotationUID: uid, highlighted: false, invalidated: true, isLocked: false, isVisible: true,
    metadata: { toolName: kind, FrameOfReferenceUID: told.frameOfReferenceUID, referencedImageId: imageId, viewPlaneNormal: normal, viewUp: column.map((value) => -value) },
    data: {
      label, cachedStats: {},
      ...(kind === "free" ? { contour: { polyline: world, closed: true } } : {}),
      handles: {
        points: kind === "free" ? [] : world, activeHandleIndex: null, ...(kind === "arrow" ? { arrowFirst: true } : {}),
        textBox: { hasMoved: false, worldPosition: corner, worldBoundingBox: { topLeft: corner, topRight: corner, bottomLeft: corner, bottomRight: corner } },
      },
    },
    ...(kind === "free" ? { interpolationUID: "", autoGenerated: false } : {}),
  };
  if (uid.endsWith(THORAX)) below(made as never, world);
  annotation.state.addAnnotation(made as never, told.frameOfReferenceUID);
}

/** The words of the ratio stand under its longer line; beside it there is seldom room, and on it they hide what they measure. */
function below(one: Drawing, world: readonly Point[]): void {
  const box = one.data.handles?.textBox;
  const [left] = [...world].sort((a, b) => a[0] - b[0]);
  if (box && left) Object.assign(box, { hasMoved: true, worldPosition: left });
}
