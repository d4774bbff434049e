// Where the images bear on an answer: a map laid over each image the model saw, off until it is asked for. Only transformers makes maps.
import { get } from "./api.js";
import { h, icon } from "./dom.js";
import { attempt } from "./toast.js";

const WARM = [255, 176, 32];
const STRONGEST = 217; // of 255: the image is always seen through

/** A button for the images in `tiles`; null for an answer of another engine. */
export function looked(base, engine, tiles) {
  if (engine !== "torch") return null;
  let found = null;
  const told = h("p.quiet", { hidden: true, role: "status", dataset: { testid: "looked-limits" } });
  const button = h("button.button.small", { type: "button", "aria-pressed": "false", onclick: () => toggle(), dataset: { testid: "looked" } }, icon("eye"), "Where it looked");
  const toggle = async () => {
    if (!found) {
      button.disabled = true;
      found = await attempt(() => get(`${base}/looked`));
      button.disabled = false;
      if (!found) return;
      const strongest = Math.max(...found.maps.flat(2));
      found.maps.forEach((map, at) => tiles[at]?.querySelector(".pixels").append(overlay(map, strongest, at + 1)));
      told.textContent = `${found.shares.map((share, at) => `Image ${at + 1}: ${Math.round(100 * share)} %`).join(", ")} of the map. ${found.limits}`;
    }
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    told.hidden = !on;
    for (const tile of tiles) tile.querySelectorAll(".heat").forEach((one) => { one.hidden = !on; });
  };
  return h("div.looked", {}, button, told);
}

/** One patch a pixel; the browser smooths it to the image's size. */
function overlay(map, strongest, number) {
  const canvas = h("canvas.heat", { width: map[0].length, height: map.length, role: "img", "aria-label": `Map of image ${number}`, dataset: { testid: "heat" } });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(map[0].length, map.length);
  map.flat().forEach((value, at) => picture.data.set([...WARM, Math.round((STRONGEST * value) / (strongest || 1))], 4 * at));
  context.putImageData(picture, 0, 0);
  return canvas;
}
