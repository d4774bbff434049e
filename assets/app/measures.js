// What was measured, as a table: one row each, pairs with what changed, the sum by RECIST 1.1 on request, and as a file.
import { fill, h, icon, iconButton } from "./dom.js";
import { record } from "./kept.js";
import { on, state } from "./state.js";
import { days, jump, pair, reading, remove, side, slotOf } from "./tools.js";
import { addAction } from "./toolbar.js";
import * as compare from "./viewer/compare.js";

const KINDS = { length: "Length", bidirectional: "Diameters", angle: "Angle", ctr: "Cardiothoracic ratio", ellipse: "Ellipse", rectangle: "Rectangle", point: "Point", arrow: "Arrow", box: "Box", free: "Free shape" };

let open = null; // null: open while there is something to show and room for it
const room = matchMedia("(min-width: 1181px) and (min-height: 800px)");
let recist = false;

const place = (seriesId) => {
  const index = slotOf(seriesId);
  const slot = state.slots[index];
  return slot ? slot.role || `Image ${index + 1}` : "not open";
};
const slice = (seriesId, frame) => (state.slots[slotOf(seriesId)]?.series.frames > 1 ? `slice ${frame + 1}` : "");
const words = (mark) => reading(mark)?.words.join(" · ") ?? "";
const changed = (one) => compare.changeOf(one, state.drawn, reading, days);

/** Rows in the order they were drawn, a pair as one row. */
function rows() {
  const seen = new Set();
  return state.drawn.marks.flatMap((mark) => {
    if (seen.has(mark.id)) return [];
    const one = state.drawn.pairs.find((each) => each.prior === mark.id || each.current === mark.id);
    if (!one) return [{ marks: [mark], pair: null }];
    const both = [one.prior, one.current].map((id) => state.drawn.marks.find((each) => each.id === id));
    both.forEach((each) => seen.add(each.id));
    return [{ marks: both, pair: one }];
  });
}

export function measures() {
  const body = h("tbody");
  const table = h("table.measures", {}, h("thead", {}, h("tr", {}, ["", "What", "Where", "Value", "Change", ""].map((name, at) => h("th", { scope: "col" }, at === 5 ? h("span.sr", {}, "Actions") : name)))), body);
  const sum = h("p.sum", { role: "status", dataset: { testid: "recist" } });
  const keys = h("ul.keyimages", { "aria-label": "Key images", dataset: { testid: "key-images" } });
  const byRecist = h("button.button.small", { type: "button", "aria-pressed": "false", onclick: () => { recist = !recist; draw(); }, title: "Category of the sum of all paired diameters by RECIST 1.1", dataset: { testid: "recist-switch" } }, "RECIST 1.1");
  const count = h("strong.number");
  const kept = h("span.quiet", { role: "status", dataset: { testid: "saved" } });
  const save = h("button.button.small", { type: "button", onclick: download, dataset: { testid: "csv" } }, icon("save"), "CSV");
  const drawer = h("section.drawer", { "aria-label": "Measurements and marks", dataset: { testid: "drawer" } },
    h("header", {}, h("h2", {}, "Measurements and marks "), count, kept, h("span.gap"), sum, byRecist, save, iconButton("close", "Close this table", () => { open = false; draw(); }, { classes: "plain small" })),
    h("div.scroll", { tabindex: "0", role: "group", "aria-label": "Table of measurements and marks" }, table, keys));
  const draw = () => {
    const all = rows();
    const { key_images: images } = state.drawn;
    drawer.hidden = open === false || (open === null && (!room.matches || (!all.length && !images.length)));
    count.textContent = all.length ? String(state.drawn.marks.length) : "";
    kept.textContent = !all.length && !images.length ? "Draw a measurement or a mark on an image." : state.saved ? "saved" : "saving";
    table.hidden = !all.length;
    fill(body, all.map(row));
    save.disabled = !all.length;
    byRecist.setAttribute("aria-pressed", String(recist));
    byRecist.hidden = !state.drawn.pairs.length;
    sum.textContent = recist ? response() : "";
    sum.title = sum.textContent;
    fill(keys, images.map((one) => h("li", {}, h("button.button.small", { type: "button", onclick: () => jump(one.series_id, one.frame) }, icon("star"), [place(one.series_id), slice(one.series_id, one.frame)].filter(Boolean).join(", ")),
      iconButton("close", "Take this key image out", () => drop(one), { classes: "plain small" }))));
    keys.hidden = !images.length;
  };
  const drop = (one) => record(compare.toggleKeyImage(state.drawn, one.series_id, one.frame)); // whatever is shown of its series
  addAction({ name: "table", label: "Table of measurements", icon: "table", key: "Shift+t", group: "history", run: () => { open = drawer.hidden; draw(); }, pressed: () => !drawer.hidden });
  for (const name of ["drawn", "slots", "shown", "chosen_mark", "saved"]) on(name, draw);
  on("chosen_mark", () => body.querySelector('[aria-current="true"]')?.scrollIntoView({ block: "nearest" }));
  room.addEventListener("change", draw);
  on("drawn", () => { if (open === false && state.drawn.marks.length === 1) open = null; });
  draw();
  return drawer;
}

function row({ marks, pair: one }) {
  const change = one && changed(one);
  const chosen = marks.some((mark) => mark.id === state.chosen_mark);
  const cells = (each) => marks.map((mark) => h("button.cell", { type: "button", onclick: () => jump(mark.series_id, mark.frame, mark.id), "aria-label": `Go to ${KINDS[mark.kind]} ${mark.label}, ${place(mark.series_id)}` }, each(mark)));
  const paired = compare.isMark(marks[0].kind) ? null : iconButton("pair", one ? "Part this pair" : "Pair with the other date (J)", () => pair(marks[0].id), { classes: "plain small", "aria-pressed": String(Boolean(one)) });
  return h("tr", { "aria-current": chosen ? "true" : null, dataset: { testid: "measure", kind: marks[0].kind, paired: String(Boolean(one)) } },
    h("td.label", {}, marks.map((mark) => h("span.tag", {}, mark.label))),
    h("td", {}, KINDS[marks[0].kind]),
    h("td.where", {}, cells((mark) => [h(`span.role.${side(mark.series_id) || "none"}`, {}, place(mark.series_id)), " ", slice(mark.series_id, mark.frame)])),
    h("td.value.number", {}, cells((mark) => words(mark) || "—")),
    h("td.change.number", { dataset: { testid: "change" } }, change ? compare.inWords(change) : ""),
    h("td.acts", {}, paired, iconButton("bin", `Remove ${KINDS[marks[0].kind]} ${marks.map((mark) => mark.label).join(" and ")}`, () => remove(...marks.map((mark) => mark.id)), { classes: "plain small" })));
}

function response() {
  const found = compare.response(state.drawn, reading);
  if (!found) return "RECIST 1.1: pair diameters in mm first.";
  const of = found.percentOfBaseline === null ? "" : `, ${compare.signed(found.percentOfBaseline)} %`;
  return `Sum ${found.baseline.toFixed(1)} → ${found.current.toFixed(1)} mm${of}: ${found.category}, ${compare.RESPONSES[found.category]}${found.notes.length ? ` (${found.notes.join("; ")})` : ""}`;
}

/** Everything in the table, one line a mark, as a file that spreadsheets open. */
function download() {
  const lines = state.drawn.marks.map((mark) => {
    const found = reading(mark);
    const slot = state.slots[slotOf(mark.series_id)];
    const one = state.drawn.pairs.find((each) => each.prior === mark.id || each.current === mark.id);
    const change = one && changed(one);
    const number = (value, digits = 3) => (value === null || value === undefined || Number.isNaN(value) ? null : Number(value.toFixed(digits)));
    const { mean, sd, min, max } = mark.values;
    return [mark.label, mark.kind, slot?.series.pseudonym ?? "", slot?.role ?? "", slot?.series.acquired?.slice(0, 10) ?? "", mark.series_id, mark.frame + 1,
      number(found?.value), found?.unit ?? "", found?.words[0] ?? "", number(mean), number(sd), number(min), number(max),
      one ? state.drawn.marks.find((each) => each.id === (one.prior === mark.id ? one.current : one.prior))?.label ?? "" : "", number(change?.delta), number(change?.percent), change?.days ?? null, number(change?.perDay, 5),
      mark.points.slice(0, 8).map((point) => point.map((value) => value.toFixed(2)).join(" ")).join("; ")];
  });
  const head = ["label", "kind", "patient", "role", "date", "series", "slice", "value", "unit", "text", "mean", "sd", "min", "max", "paired_with", "delta", "percent", "days", "per_day", "points_column_row"];
  const file = new Blob([compare.csv([head, ...lines, [], ["Research use only; not a medical device."]])], { type: "text/csv" });
  const link = h("a", { href: URL.createObjectURL(file), download: "measurements.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
