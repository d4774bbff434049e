// Grey levels: windows as DICOM writes them, the range a renderer wants, how far a drag goes, and the presets of a modality.
import type { WindowSpec } from "./frames.ts";

export interface Range {
  lower: number;
  upper: number;
}

/** The values that become black and white (PS3.3 C.11.2.1.2 and C.11.2.1.3); the same formulas as the server's `shade`. */
export function range(window: WindowSpec): Range {
  const { center, width } = window;
  if (window.function === "LINEAR") {
    const half = Math.max(width - 1, 1e-6) / 2;
    return { lower: center - 0.5 - half, upper: center - 0.5 + half };
  }
  return { lower: center - width / 2, upper: center + width / 2 };
}

/** The window of a range; what a drag leaves behind is exact. */
export function windowOf({ lower, upper }: Range): WindowSpec {
  return { name: "", center: (lower + upper) / 2, width: upper - lower, function: "LINEAR_EXACT" };
}

/** A drag by canvas pixels: right widens, down darkens... as everywhere. `least` keeps the width above nothing. */
export function dragged(from: Range, dx: number, dy: number, gain: number): Range {
  const least = gain / 4;
  const center = (from.lower + from.upper) / 2 + dy * gain;
  const width = Math.max(least, from.upper - from.lower + dx * gain);
  return { lower: center - width / 2, upper: center + width / 2 };
}

/** Units per pixel of a drag: 500 pixels go through the width the drag began with, or a fifth of the whole range if that is finer. */
export function gain(from: Range, values: readonly [number, number] | null): number {
  const width = Math.max(from.upper - from.lower, 1e-6);
  const whole = values ? Math.max(values[1] - values[0], 1e-6) : width;
  return Math.min(Math.max(width, whole / 200), whole * 2) / 500;
}

const CT: WindowSpec[] = [
  { name: "Soft tissue", center: 40, width: 400, function: "LINEAR" },
  { name: "Lung", center: -600, width: 1500, function: "LINEAR" },
  { name: "Mediastinum", center: 40, width: 350, function: "LINEAR" },
  { name: "Bone", center: 400, width: 1800, function: "LINEAR" },
  { name: "Brain", center: 40, width: 80, function: "LINEAR" },
  { name: "Liver", center: 60, width: 160, function: "LINEAR" },
];

/** Windows on the number keys, in order: those the server offers for the series, then what its modality lacks; nine at most. */
export function presets(modality: string, offered: readonly WindowSpec[]): WindowSpec[] {
  const known = [...offered];
  if (modality === "CT") for (const one of CT) if (!known.some((other) => other.name.toLowerCase() === one.name.toLowerCase())) known.push(one);
  return known.slice(0, 9);
}

/** Numbers for people: no more digits than the width gives meaning to. */
export function words(value: number, width: number): string {
  const digits = width >= 20 ? 0 : width >= 2 ? 1 : width >= 0.2 ? 2 : 4;
  const text = value.toFixed(digits);
  return Object.is(Number(text), -0) ? text.replace("-", "") : text;
}
