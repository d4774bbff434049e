// Drawing on the processor, where there is no WebGL. Cornerstone's own way looks values up in a table indexed by the value,
// which floats do not have and which knows no SIGMOID; an image may bring its own `render`, and this is ours. It also puts the
// centre of the first pixel at (0, 0), where WebGL has it; Cornerstone's own way is half a pixel off.
import type { Types } from "@cornerstonejs/core";
import { type LutSpec, lookUp } from "./table.ts";

interface Enabled {
  canvas: HTMLCanvasElement;
  image: Types.IImage & { interval?: Drawn };
  viewport: { voi: { windowWidth: number; windowCenter: number }; invert: boolean; pixelReplication: boolean; sigmoid?: boolean; table?: LutSpec | null };
  transform: { getMatrix(): number[] };
}

interface Drawn {
  canvas: HTMLCanvasElement;
  data: ImageData;
  look: string;
  table?: LutSpec | null;
}

let scratch: { key: unknown; drawn: Drawn }[] = [];
const KEPT = 8;

/** Draw `enabled.image` through its window with the transform that the view has set. */
export function drawGrey(enabled: Enabled): void {
  const { canvas, image, viewport } = enabled;
  const context = canvas.getContext("2d");
  if (!context) return;
  const picture = drawn(enabled);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const [a, b, c, d, e, f] = enabled.transform.getMatrix();
  context.setTransform(a, b, c, d, e, f);
  context.imageSmoothingEnabled = !viewport.pixelReplication;
  context.drawImage(picture.canvas, -0.5, -0.5, image.width, image.height);
}

/** The image in grey or colour at its own size, made anew when the window changed; one canvas for each canvas shown. */
function drawn({ canvas, image, viewport }: Enabled): Drawn {
  const { windowWidth, windowCenter } = viewport.voi;
  const look = `${image.imageId}|${windowWidth}|${windowCenter}|${viewport.invert}|${viewport.sigmoid}`;
  let kept = scratch.find((one) => one.key === canvas)?.drawn;
  if (!kept || kept.data.width !== image.width || kept.data.height !== image.height) {
    const made = document.createElement("canvas");
    made.width = image.width;
    made.height = image.height;
    kept = { canvas: made, data: new ImageData(image.width, image.height), look: "" };
    scratch = [{ key: canvas, drawn: kept }, ...scratch.filter((one) => one.key !== canvas)].slice(0, KEPT);
  }
  if (kept.look === look && kept.table === viewport.table) return kept;
  const values = image.voxelManager?.getScalarData() as unknown as ArrayLike<number>;
  if (image.color) paintColour(values, kept.data.data);
  else paintGrey(values, new Uint32Array(kept.data.data.buffer), shader(viewport), image.minPixelValue, image.maxPixelValue);
  kept.canvas.getContext("2d")?.putImageData(kept.data, 0, 0);
  Object.assign(kept, { look, table: viewport.table });
  return kept;
}

function paintColour(values: ArrayLike<number>, out: Uint8ClampedArray): void {
  for (let at = 0, to = 0; at < values.length; at += 3, to += 4) {
    out[to] = values[at];
    out[to + 1] = values[at + 1];
    out[to + 2] = values[at + 2];
    out[to + 3] = 255;
  }
}

/** Value -> opaque grey, through the same formulas as the server's `shade`. */
function shader({ voi, invert, sigmoid, table }: Enabled["viewport"]): (value: number) => number {
  const width = Math.max(voi.windowWidth - 1, 1e-9);
  const lower = voi.windowCenter - 0.5 - width / 2;
  const bright = table ? lookUp(table) : sigmoid ? (value: number) => 1 / (1 + Math.exp((-4 * (value - lower - width / 2)) / width)) : (value: number) => Math.max(0, Math.min(1, (value - lower) / width));
  return (value) => {
    const level = Math.floor((invert ? 1 - bright(value) : bright(value)) * 255 + 0.5);
    return (0xff000000 | (level << 16) | (level << 8) | level) >>> 0;
  };
}

function paintGrey(values: ArrayLike<number>, out: Uint32Array, shade: (value: number) => number, least: number, most: number): void {
  if (values instanceof Float32Array) {
    for (let at = 0; at < values.length; at += 1) out[at] = shade(values[at]);
    return;
  }
  const table = new Uint32Array(most - least + 1);
  for (let value = least; value <= most; value += 1) table[value - least] = shade(value);
  for (let at = 0; at < values.length; at += 1) out[at] = table[values[at] - least];
}
