// What the page imports of comparing: values in, values out; no drawing, no Cornerstone.
export * from "./geometry.ts";
export * from "./keymap.ts";
export * from "./link.ts";
export * from "./marks.ts";
export * from "./merge.ts";
export * from "./pairing.ts";
export * from "./presets.ts";
export * from "./timeline.ts";
export * from "./undo.ts";
