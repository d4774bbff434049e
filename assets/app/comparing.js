// Everything about comparing, put into the places the stage has for it: one row above the images, a table below them.
import { align } from "./align.js";
import { h } from "./dom.js";
import { links } from "./links.js";
import { measures } from "./measures.js";
import { mixing } from "./mixing.js";
import { modes } from "./modes.js";
import { filled, on } from "./state.js";
import { strip } from "./strip.js";
import { tools } from "./tools.js";

/** Fill the stage's row, its drawer and the cover over its grid. */
export function comparing(stage) {
  tools();
  const { group, status } = links();
  const row = h("div.comparebar", { dataset: { testid: "compare-bar" } }, strip(), group, modes(), align());
  stage.querySelector("#iv-strip").append(row);
  stage.querySelector(".relation").append(status);
  stage.querySelector("#iv-drawer").append(measures());
  stage.append(mixing());
  const draw = () => { row.hidden = filled().length < 2; };
  on("slots", draw);
  draw();
}
