// Frames fetched ahead, nearest first, never while something the reader waits for is under way.
import { cache } from "@cornerstonejs/core";
import { obtain, under } from "./loader.ts";
import type { View } from "./view.ts";

const TOGETHER = 3;
const SHARE = 0.4;

export class Ahead {
  private running = 0;
  private held = 0;
  private readonly bad = new Set<string>();
  private readonly views: () => View[];

  constructor(views: () => View[]) {
    this.views = views;
  }

  /** Something the reader waits for began (1) or ended (-1). */
  hold(by: number): void {
    this.held += by;
    this.go();
  }

  go(): void {
    while (!this.held && this.running < TOGETHER) {
      const id = this.pick();
      if (!id) return;
      this.running += 1;
      obtain(id)
        .catch(() => this.bad.add(id))
        .finally(() => {
          this.running -= 1;
          this.go();
        });
    }
  }

  /** The nearest frame that is not there yet, views in turn by distance. */
  private pick(): string | null {
    const open = this.views().filter((view) => view.series && view.frame !== null && view.series.frames.length > 1);
    let best: { id: string; far: number } | null = null;
    for (const view of open) {
      const frames = view.series?.frames ?? [];
      const size = frames.length ? frames[0].rows * frames[0].columns * (frames[0].dtype === "float32" ? 4 : 2) : 0;
      const reach = Math.floor((cache.getMaxCacheSize() * SHARE) / Math.max(1, size) / open.length);
      for (let far = 1; far <= Math.min(reach, frames.length) && (!best || far < best.far); far += 1) {
        const id = [view.next + far, view.next - far].map((n) => view.imageId(n)).find((one) => one && !this.bad.has(one) && !under(one));
        if (id) best = { id, far };
      }
    }
    return best?.id ?? null;
  }
}
