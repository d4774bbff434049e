// Pixels and metadata for Cornerstone, from our own routes alone: no DICOM and no codec in the browser.
// An image's values are in the modality's units (HU, or as stored where there are none): 16-bit integers where that is
// exact, 32-bit floats otherwise, so that every statistic drawn from them is a real one.
import { type Types, cache, imageLoader, metaData, utilities } from "@cornerstonejs/core";
import { drawGrey } from "./cpu.ts";
import { Failure, type FrameSpec, type SeriesSpec, described, fetched, pixelsUrl } from "./frames.ts";
import { parts, values as reformatted } from "./reformat.ts";

const SCHEME = "interval";
const MEMORY = 768 * 1024 * 1024;

type Values = Int16Array | Uint16Array | Uint8Array | Float32Array;

interface Entry {
  series: SeriesSpec;
  source: string;
  frame: FrameSpec;
}

const entries = new Map<string, Entry>();
const images = new Map<string, string[]>();

/** Cornerstone's names for the frames of a source, in order; the same for the same source and frame. */
export function imageIds(source: string, series: SeriesSpec): string[] {
  const made = images.get(source);
  if (made && made.length === series.frames.length && entries.get(made[0])?.series === series) return made;
  const ids = series.frames.map((frame) => {
    const id = `${SCHEME}:${source}#${frame.n}`;
    entries.set(id, { series, source, frame });
    return id;
  });
  images.set(source, ids);
  return ids;
}

/** Which source and frame an image is. */
export function sourceOf(imageId: string): { source: string; n: number } | null {
  const entry = entries.get(imageId);
  return entry ? { source: entry.source, n: entry.frame.n } : null;
}

export function register(): void {
  imageLoader.registerImageLoader(SCHEME, load as never);
  metaData.addProvider(provide, 10000);
  cache.setMaxCacheSize(MEMORY);
}

/** The spacing of a frame, [row, column] in mm; null where "mm" would be a guess. */
export const spacingOf = (series: SeriesSpec, frame: FrameSpec): [number, number] | null => (series.spacing_known ? frame.spacing : null);

/** What Cornerstone asks about an image. An image without spacing says so: `usingDefaultValues: false` would label its pixels "mm". */
function provide(type: string, id: unknown): unknown {
  const entry = typeof id === "string" ? entries.get(id) : undefined;
  if (!entry) return undefined;
  const { series, source, frame } = entry;
  const spacing = spacingOf(series, frame);
  const aspect = frame.spacing ?? [1, 1];
  const orientation = frame.orientation ?? [1, 0, 0, 0, 1, 0];
  switch (type) {
    case "imagePlaneModule":
      return {
        frameOfReferenceUID: frame.frame_of_reference || source,
        rows: frame.rows,
        columns: frame.columns,
        imageOrientationPatient: orientation,
        rowCosines: orientation.slice(0, 3),
        columnCosines: orientation.slice(3, 6),
        imagePositionPatient: frame.position ?? [0, 0, frame.n],
        pixelSpacing: aspect,
        rowPixelSpacing: aspect[0],
        columnPixelSpacing: aspect[1],
        sliceLocation: frame.location ?? undefined,
        ...(spacing ? {} : { usingDefaultValues: true }),
      };
    case "imagePixelModule":
      // Always MONOCHROME2: inversion is the view's own, see View.paintGrey.
      return { pixelRepresentation: frame.dtype === "int16" ? 1 : 0, bitsAllocated: frame.dtype === "uint8" ? 8 : 16, bitsStored: 16, highBit: 15, samplesPerPixel: frame.channels, photometricInterpretation: frame.channels === 3 ? "RGB" : "MONOCHROME2" };
    case "generalSeriesModule":
      return { modality: series.modality, seriesInstanceUID: source };
    case "modalityLutModule":
      return { rescaleSlope: 1, rescaleIntercept: 0, rescaleType: series.units };
    case "sopCommonModule":
      return { sopInstanceUID: frame.key };
    case "generalImageModule":
      return { sopInstanceUID: frame.key, instanceNumber: frame.n + 1 };
    default:
      return undefined;
  }
}

const coming = new Map<string, Promise<Types.IImage>>();
const here = new Map<string, Types.IImage>();

/** An image, fetched once and kept by Cornerstone. A failure stays ours: Cornerstone would leave it as an unhandled rejection. */
export async function obtain(imageId: string): Promise<Types.IImage> {
  const kept = cache.getImage(imageId);
  if (kept) return kept;
  if (!coming.has(imageId)) {
    coming.set(imageId, image(imageId).finally(() => coming.delete(imageId)));
  }
  const made = await (coming.get(imageId) as Promise<Types.IImage>);
  if (!cache.getImageLoadObject(imageId)) here.set(imageId, made);
  try {
    return (await imageLoader.loadAndCacheImage(imageId)) as Types.IImage;
  } finally {
    here.delete(imageId);
  }
}

/** Whether an image is kept or on its way. */
export const under = (imageId: string): boolean => coming.has(imageId) || cache.getImageLoadObject(imageId) !== undefined;

function load(imageId: string): { promise: Promise<Types.IImage> } {
  const made = here.get(imageId);
  return { promise: made ? Promise.resolve(made) : image(imageId) };
}

async function image(imageId: string): Promise<Types.IImage> {
  const entry = entries.get(imageId);
  if (!entry) throw new Failure("This image is not open any more.");
  const { series, frame } = entry;
  if (frame.error) throw new Failure(frame.error);
  const began = performance.now();
  const values = await valuesOf(entry);
  if (values.length !== frame.rows * frame.columns * frame.channels) throw new Failure("The pixels of this image arrived incomplete; load it again.");
  const [least, most] = extent(values);
  const aspect = frame.spacing ?? [1, 1];
  const voxelManager = utilities.VoxelManager.createImageVoxelManager({ scalarData: values as never, width: frame.columns, height: frame.rows, numberOfComponents: frame.channels });
  return {
    imageId,
    voxelManager,
    getPixelData: () => values,
    dataType: values.constructor.name,
    minPixelValue: least,
    maxPixelValue: most,
    slope: 1,
    intercept: 0,
    windowCenter: [(least + most) / 2],
    windowWidth: [Math.max(most - least, 1e-6)],
    voiLUTFunction: "LINEAR_EXACT",
    rows: frame.rows,
    columns: frame.columns,
    height: frame.rows,
    width: frame.columns,
    color: frame.channels === 3,
    rgba: false,
    numberOfComponents: frame.channels,
    invert: false,
    photometricInterpretation: frame.channels === 3 ? "RGB" : "MONOCHROME2",
    rowPixelSpacing: aspect[0],
    columnPixelSpacing: aspect[1],
    sizeInBytes: values.byteLength,
    FrameOfReferenceUID: frame.frame_of_reference || entry.source,
    loadTimeInMS: performance.now() - began,
    preScale: { enabled: true, scaled: true, scalingParameters: { rescaleSlope: 1, rescaleIntercept: 0, modality: series.modality } },
    getCanvas: undefined,
    render: drawGrey,
  } as unknown as Types.IImage;
}

/** From the server, or for a reformat from the slices of its series. */
async function valuesOf({ series, source, frame }: Entry): Promise<Values> {
  const made = parts(source);
  if (!made) return units(await (await fetched(pixelsUrl(series, frame.n))).arrayBuffer(), frame);
  const base = await described(made.base);
  return reformatted(base, made.plane, await Promise.all(imageIds(made.base, base).map(obtain)), frame.n) as Values;
}

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, int16: Int16Array, float32: Float32Array };

/** Stored values -> the modality's units; integers stay integers where slope, intercept and range allow it exactly. */
export function units(buffer: ArrayBuffer, frame: Pick<FrameSpec, "dtype" | "slope" | "intercept" | "channels">): Values {
  const stored = new TYPES[frame.dtype](buffer);
  const { slope, intercept } = frame;
  if (frame.channels === 3 || (slope === 1 && intercept === 0)) return stored;
  const [low, high] = extent(stored).map((value) => value * slope + intercept).sort((one, other) => one - other);
  const whole = Number.isInteger(slope) && Number.isInteger(intercept) && frame.dtype !== "float32";
  const Result = whole && low >= -32768 && high <= 32767 ? Int16Array : whole && low >= 0 && high <= 65535 ? Uint16Array : Float32Array;
  const result = new Result(stored.length);
  for (let at = 0; at < stored.length; at += 1) result[at] = stored[at] * slope + intercept;
  return result;
}

function extent(values: Values): [number, number] {
  let [least, most] = [Infinity, -Infinity];
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at];
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return Number.isFinite(least) && Number.isFinite(most) ? [least, most] : [0, 1];
}
