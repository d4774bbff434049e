// What the server says of a series before its pixels: `frames.json`. Its address is the SOURCE of everything shown from it.
// `/api/series/{id}/frames.json` is a series; the results of an alignment have the same shape under their own address.
import type { LutSpec } from "./table.ts";

export interface WindowSpec {
  name: string;
  center: number;
  width: number;
  /** LUT stands for the table the frame names; centre and width are then the straight window closest to it. */
  function: "LINEAR" | "LINEAR_EXACT" | "SIGMOID" | "LUT";
}

export interface FrameSpec {
  n: number;
  key: string;
  rows: number;
  columns: number;
  spacing: [number, number] | null;
  position: [number, number, number] | null;
  orientation: [number, number, number, number, number, number] | null;
  location: number | null;
  frame_of_reference: string;
  dtype: "uint8" | "uint16" | "int16" | "float32";
  channels: 1 | 3;
  slope: number;
  intercept: number;
  inverse: boolean;
  /** A key of the series' `luts`: the VOI lookup table of this frame's file; '' when it brings none. */
  lut: string;
  range: [number, number] | null;
  error: string;
}

export interface SeriesSpec {
  series_id: number;
  modality: string;
  number: number | null;
  description: string;
  body_part: string;
  laterality: string;
  view: string;
  plane: string;
  units: string;
  kind: string;
  color: boolean;
  lossy: boolean;
  spacing_known: boolean;
  spacing_note: string;
  windows: WindowSpec[];
  warnings: string[];
  study: { id: number; uid: string; date: string | null; description: string; pseudonym: string; relative: string; ordinal: number | null; of: number | null };
  luts: Record<string, LutSpec>;
  urls: { pixels: string; reduced?: string };
  frames: FrameSpec[];
  derived?: { kind: string; words: string } | null;
}

/** One sentence for the reader. */
export class Failure extends Error {}

const LOST = "The server cannot be reached; what is on the screen is kept. Is Interval still running?";

/** GET one of our own addresses, or a Failure with the server's own sentence. */
export async function fetched(url: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...init });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new Failure(LOST);
  }
  if (response.ok) return response;
  const said = await response.json().then((body: { error?: string }) => body.error, () => undefined);
  throw new Failure(said ?? `The server answered ${response.status}.`);
}

const known = new Map<string, Promise<SeriesSpec>>();
const makers = new Map<string, (source: string) => Promise<SeriesSpec>>();

/** Sources under a scheme of their own are made in the browser. */
export const maker = (scheme: string, make: (source: string) => Promise<SeriesSpec>): unknown => makers.set(scheme, make);

/** The description of a source, asked once. A failure is forgotten, so that a second try asks again. */
export function described(source: string): Promise<SeriesSpec> {
  const found = known.get(source);
  if (found) return found;
  const make = [...makers].find(([scheme]) => source.startsWith(scheme))?.[1];
  const asked = make ? make(source) : fetched(source).then((response) => response.json() as Promise<SeriesSpec>);
  known.set(source, asked);
  asked.catch(() => known.delete(source));
  return asked;
}

/** Forget a source, so that it is asked again (an alignment that was made anew, a time point that got a neighbour). */
export const forget = (source: string): boolean => known.delete(source);

export const pixelsUrl = (series: SeriesSpec, n: number): string => series.urls.pixels.replace("{n}", String(n));

export const reducedUrl = (series: SeriesSpec, n: number): string | null => series.urls.reduced?.replace("{n}", String(n)) ?? null;
