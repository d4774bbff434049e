// The centre: a line that says how the images relate, and one to eight viewports in declared order.
import { fill, h, icon, iconButton } from "./dom.js";
import { addSlot, swap } from "./hang.js";
import { filled, on, state } from "./state.js";
import { Viewport } from "./viewport.js";

export const viewports = [];

const WORDS = { temporal: "Over time", views: "Views of one study", sides: "Left and right", unrelated: "Unrelated" };

export function stage() {
  const kind = h("strong.kind");
  const reason = h("span.reason.clip", { dataset: { testid: "reason" } });
  const warnings = h("ul.warnings", { role: "status", dataset: { testid: "relation-warnings" } });
  const exchange = iconButton("swap", "Swap the order (X)", () => swap(), { "data-testid": "swap" });
  const more = h("button.button.plain.small", { type: "button", onclick: addSlot, title: "Add a viewport for another time point", "data-testid": "add-slot" }, icon("plus"), "Time point");
  const reset = iconButton("reset", "Reset all views", () => viewports.forEach((one) => one.reset()));
  const bar = h("div.stagebar", {}, h("div.relation", {}, kind, reason), h("div.tools", {}, more, exchange, reset));
  const grid = h("div.grid", { dataset: { testid: "grid" } });
  const draw = () => {
    while (viewports.length > state.slots.length) viewports.pop().element.remove();
    while (viewports.length < state.slots.length) {
      const one = new Viewport(viewports.length);
      viewports.push(one);
      grid.append(one.element);
    }
    grid.dataset.count = state.slots.length;
    viewports.forEach((one, number) => one.show(state.slots[number], number === state.active && state.slots.length > 1));
    exchange.disabled = filled().length < 2;
    more.disabled = state.slots.length >= state.limits.max_images;
    reset.disabled = !filled().length;
  };
  const tell = () => {
    const { relation } = state;
    kind.textContent = filled().length > 1 && relation ? WORDS[relation.relationship] : "";
    reason.textContent = relation ? relation.reason : "";
    reason.title = reason.textContent;
    fill(warnings, (relation?.warnings ?? []).map((text) => h("li", {}, icon("warning"), h("span", {}, text))));
    warnings.hidden = !relation?.warnings.length;
  };
  for (const name of ["slots", "active", "limits"]) on(name, draw);
  on("relation", () => { tell(); draw(); });
  draw();
  tell();
  return h("main.stage", { "aria-label": "Images" }, bar, warnings, grid);
}
