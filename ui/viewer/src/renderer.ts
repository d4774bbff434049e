// Which renderer draws, and why, in words a reader can be shown. A choice kept under this name forces either one.

const KEPT = "interval.renderer";

/** WebGL where the browser has it, else the processor; `cpu` in localStorage forces the processor. */
export function chosen(): { cpu: boolean; reason: string } {
  let kept: string | null = null;
  try {
    kept = localStorage.getItem(KEPT);
  } catch {
    // private mode keeps nothing
  }
  if (kept === "cpu") return { cpu: true, reason: "the processor was chosen in this browser" };
  return webgl() ? { cpu: false, reason: "the browser has WebGL" } : { cpu: true, reason: "the browser has no WebGL" };
}

function webgl(): boolean {
  try {
    const context = document.createElement("canvas").getContext("webgl2");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  } catch {
    return false;
  }
}
