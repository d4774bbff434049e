// Where each adapter comes from, drawn: bases and data on the left, runs in the middle, adapters on the right, and the decisions below.
import { get } from "./api.js";
import { fill, h, moment } from "./dom.js";
import { attempt } from "./toast.js";
import { STATES } from "./train_words.js";

const COLUMNS = [[["base", "version"], "Base and data"], [["run"], "Run"], [["adapter"], "Adapter"]];
const WIDE = 236;
const GAP = 90;
const TALL = 46;
const STEP = 60;
const SVG = "http://www.w3.org/2000/svg";

export function lineageView(_, hands) {
  const drawing = h("div.lineage", { dataset: { testid: "lineage" } });
  const decisions = h("section.block", {});
  const element = h("article.trainview", {}, h("header.viewhead", {}, h("div", {}, h("h1", {}, "Lineage"), h("p.quiet", {}, "What each adapter was made of, which gates it passed, and who let it answer."))), drawing, decisions);

  async function refresh() {
    const found = await attempt(() => get("/api/train/lineage"));
    if (!found) return;
    fill(drawing, found.nodes.length ? graph(found, hands) : h("p.quiet", {}, "No run yet. A run, its data and its base stand here as soon as it is ordered."));
    const history = hands.known().history;
    fill(decisions, h("h2", {}, "Decisions"), history.length ? h("table.plain", { dataset: { testid: "decisions" } },
      h("thead", {}, h("tr", {}, ["When", "Who", "What", "Why"].map((words) => h("th", { scope: "col" }, words)))),
      h("tbody", {}, history.toReversed().map((entry) => h("tr", {}, h("td", {}, moment(entry.at)), h("td", {}, entry.who), h("td", {}, said(entry)), h("td", {}, entry.reason))))) : h("p.quiet", {}, "Nothing was promoted yet."));
  }

  refresh();
  return { element, refresh };
}

const said = (entry) => (entry.action === "promote" ? `promoted ${entry.run} for ${entry.base}` : `rolled ${entry.base} back to ${entry.run || "the model alone"}`);

function graph({ nodes, edges }, hands) {
  const columns = COLUMNS.map(([kinds]) => kinds.flatMap((kind) => nodes.filter((node) => node.kind === kind)));
  const places = new Map(columns.flatMap((found, column) => found.map((node, row) => [node.id, { x: column * (WIDE + GAP), y: 26 + row * STEP }])));
  const width = COLUMNS.length * (WIDE + GAP) - GAP;
  const height = 26 + Math.max(1, ...columns.map((found) => found.length)) * STEP;
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" })) svg.setAttribute(key, String(value));
  for (const { from, to } of edges) {
    const [start, end] = [places.get(from), places.get(to)];
    if (!start || !end) continue;
    const back = start.x > end.x; // a run that went on from an adapter: the sides that face each other
    const [x1, y1, x2, y2] = [start.x + (back ? 0 : WIDE), start.y + TALL / 2 + (back ? 10 : 0), end.x + (back ? WIDE : 0), end.y + TALL / 2 + (back ? 10 : 0)];
    const path = document.createElementNS(SVG, "path");
    if (back) path.setAttribute("class", "back");
    path.setAttribute("d", `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`);
    svg.append(path);
  }
  return h("div.graph", { style: { width: `${width}px`, height: `${height}px` } }, svg,
    COLUMNS.map(([, title], column) => h("span.caps.column", { style: { left: `${column * (WIDE + GAP)}px` } }, title)),
    nodes.map((node) => box(node, places.get(node.id), hands)));
}

function box(node, place, hands) {
  const opens = node.kind === "run" || node.kind === "version";
  const told = { base: "model", version: "dataset version", run: [node.method?.toUpperCase(), STATES[node.state], node.gated && `gates ${node.gated}`].filter(Boolean).join(" · "), adapter: `${node.live ? "live, " : ""}signed by ${node.who || "nobody named"}` }[node.kind];
  const inside = [h("strong.clip", {}, node.label), h("span.quiet.clip", {}, told)];
  const props = { style: { left: `${place.x}px`, top: `${place.y}px` }, title: [node.label, told, node.reason].filter(Boolean).join("\n"), dataset: { kind: node.kind, live: String(Boolean(node.live)), gated: node.gated || "" } };
  return opens && hands.known()[`${node.kind}s`].some((one) => one.name === node.label) ? h("button.node", { type: "button", onclick: () => hands.choose({ kind: node.kind, name: node.label }), ...props }, inside) : h("div.node", props, inside);
}
