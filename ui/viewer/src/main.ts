// Entry of the bundle: one viewer for the page. See bridge.ts for everything the page may say to it and hear from it.
import { Bridge } from "./bridge.ts";

let made: Bridge | null = null;

/** The viewer of this page; the same one at every call. */
export function mount(): Bridge {
  made ??= new Bridge();
  return made;
}

export { Bridge } from "./bridge.ts";
export { Annotations } from "./compare/annotations.ts";
