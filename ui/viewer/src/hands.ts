// What the mouse does: window, pan, zoom and scroll. Small tools beside Cornerstone's, because the state is the view's own.
import { BaseTool } from "@cornerstonejs/tools";
import { dragged, gain, type Range } from "./grey.ts";
import { panned, zoomed } from "./camera.ts";
import type { View } from "./view.ts";

interface Drag {
  detail: { element: HTMLDivElement; startPoints: { canvas: [number, number] }; currentPoints: { canvas: [number, number] }; deltaPoints: { canvas: [number, number] } };
}

let find: (element: HTMLElement) => View | null = () => null;

/** Say how a tool finds the view of an element. */
export const seeks = (finder: (element: HTMLElement) => View | null): void => {
  find = finder;
};

abstract class Hand extends BaseTool {
  constructor(props = {}, defaults = { supportedInteractionTypes: ["Mouse", "Touch"] }) {
    super(props, defaults as never);
  }

  mouseDragCallback(event: Drag): void {
    const view = find(event.detail.element);
    if (view?.series && view.camera) this.drag(view, event.detail);
  }

  touchDragCallback(event: Drag): void {
    this.mouseDragCallback(event);
  }

  abstract drag(view: View, detail: Drag["detail"]): void;
}

/** Drag right to widen, down to darken; the pace is that of the window the drag began with. */
export class WindowHand extends Hand {
  static override toolName = "window";
  private began: { start: unknown; range: Range; gain: number } | null = null;

  drag(view: View, { startPoints, currentPoints }: Drag["detail"]): void {
    if (!view.range) return;
    const [x, y] = startPoints.canvas;
    const start = `${view.slot}/${x}/${y}`;
    if (this.began?.start !== start) {
      const all = view.whole();
      this.began = { start, range: view.range, gain: gain(view.range, [all.lower, all.upper]) };
    }
    view.setRange(dragged(this.began.range, currentPoints.canvas[0] - x, currentPoints.canvas[1] - y, this.began.gain), true);
  }

  /** The next drag begins anew, even at the same point. */
  preMouseDownCallback = (): boolean => {
    this.began = null;
    return false;
  };
}

export class PanHand extends Hand {
  static override toolName = "pan";

  drag(view: View, { deltaPoints }: Drag["detail"]): void {
    if (view.camera) view.setCamera(panned(view.plane, view.box, view.camera, deltaPoints.canvas[0], deltaPoints.canvas[1]), true);
  }
}

export class ZoomHand extends Hand {
  static override toolName = "zoom";

  drag(view: View, { deltaPoints, startPoints }: Drag["detail"]): void {
    if (view.camera) view.setCamera(zoomed(view.plane, view.box, view.camera, Math.exp(-deltaPoints.canvas[1] / 160), startPoints.canvas), true);
  }
}

/** A drag through the height of the viewport goes through the whole stack. */
export class ScrollHand extends Hand {
  static override toolName = "scroll";
  private rest = 0;

  drag(view: View, { deltaPoints }: Drag["detail"]): void {
    const frames = view.series?.frames.length ?? 1;
    this.rest += (deltaPoints.canvas[1] * frames) / Math.max(120, Math.min(view.box.height, frames * 12));
    const steps = Math.trunc(this.rest);
    this.rest -= steps;
    if (steps) void view.toFrame(view.next + steps, true);
  }
}

export const HANDS = [WindowHand, PanHand, ZoomHand, ScrollHand];

/** Turn the wheel: through the stack, or zoom where there is one image or Ctrl is held. A track pad's small steps add up. */
export function wheel(view: () => View, area: HTMLElement): void {
  let rolled = 0;
  area.addEventListener(
    "wheel",
    (event) => {
      const one = view();
      if (!one.series || !one.camera || (event.target as HTMLElement).closest("select")) return;
      event.preventDefault();
      const turned = event.deltaMode === 1 ? event.deltaY * 33 : event.deltaY;
      if (event.ctrlKey || one.series.frames.length < 2) {
        const box = one.surface.getBoundingClientRect();
        one.setCamera(zoomed(one.plane, one.box, one.camera, Math.exp(-turned / 500), [event.clientX - box.left, event.clientY - box.top]), true);
        return;
      }
      rolled += turned;
      const steps = Math.trunc(rolled / 50);
      rolled -= steps * 50;
      if (steps) void one.toFrame(one.next + steps, true);
    },
    { passive: false },
  );
}

