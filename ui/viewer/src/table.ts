// The VOI lookup table that a file brings (PS3.3 C.11.2.1.1), drawn as it is: a bend no window can show.
export interface LutSpec {
  /** The value that maps to the first entry; below it the first entry holds, beyond the end the last. */
  first: number;
  /** The entry that is white. */
  top: number;
  entries: number[];
}

/** A point of a transfer function as vtk.js keeps it. */
export interface Node {
  x: number;
  r: number;
  g: number;
  b: number;
  midpoint: number;
  sharpness: number;
}

/** Points a renderer's transfer function takes at most; longer tables are thinned evenly, which no 8-bit screen shows. */
const MOST = 4096;

/** Value in the modality's units -> brightness 0..1, as the server's own display looks it up. */
export const lookUp = ({ first, top, entries }: LutSpec): ((value: number) => number) => {
  const last = entries.length - 1;
  return (value) => Math.min(1, entries[Math.max(0, Math.min(last, Math.floor(value) - first))] / top);
};

/** The table as points for the renderer, the first and the last entry always among them. */
export function nodes(lut: LutSpec, inverse: boolean): Node[] {
  const bright = lookUp(lut);
  const last = lut.entries.length - 1;
  const count = Math.max(2, Math.min(MOST, lut.entries.length));
  return Array.from({ length: count }, (_, at) => {
    const x = lut.first + (last ? Math.round((at * last) / (count - 1)) : at);
    const level = inverse ? 1 - bright(x) : bright(x);
    return { x, r: level, g: level, b: level, midpoint: 0.5, sharpness: 0 };
  });
}
