// Grey-level windows on the number keys, per modality: known windows in Hounsfield units for CT, shares of the image's own
// grey values where the units of two exams do not agree.

/** A window: in units (`center`, `width`), or as shares of the pixels below which its ends lie (`low`, `high`, 0..1). */
export type Preset =
  | { readonly name: string; readonly center: number; readonly width: number }
  | { readonly name: string; readonly low: number; readonly high: number };

const CT: readonly Preset[] = [
  { name: "Lung", center: -600, width: 1500 },
  { name: "Mediastinum", center: 40, width: 400 },
  { name: "Bone", center: 400, width: 1800 },
  { name: "Brain", center: 40, width: 80 },
  { name: "Abdomen", center: 60, width: 350 },
  { name: "Liver", center: 90, width: 150 },
];
const SHARES: readonly Preset[] = [
  { name: "Full range", low: 0, high: 1 },
  { name: "1 to 99 %", low: 0.01, high: 0.99 },
  { name: "5 to 95 %", low: 0.05, high: 0.95 },
];
const AUTO: readonly Preset[] = [{ name: "Auto", low: 0.005, high: 0.995 }, ...SHARES];

/** Presets of a modality for keys 2 to 7; key 1 is always the file's own window. */
export function presets(modality: string): readonly Preset[] {
  if (modality === "CT") return CT;
  return modality === "MR" ? AUTO : SHARES;
}

/** Lower and upper grey value of a preset; `quantiles` of the image as `link.quantiles` gives them. */
export function range(preset: Preset, quantiles: readonly number[]): { lower: number; upper: number } {
  if ("center" in preset) return { lower: preset.center - preset.width / 2, upper: preset.center + preset.width / 2 };
  const at = (share: number): number => quantiles[Math.round(share * (quantiles.length - 1))] ?? 0;
  const [lower, upper] = [at(preset.low), at(preset.high)];
  return { lower, upper: upper > lower ? upper : lower + 1 };
}
