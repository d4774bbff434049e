// The Train tab: dataset versions, runs, what is live, and where it came from. A list on the left, what is chosen beside it.
// Nothing is fetched before the tab is first looked at, and nothing is asked again while it is not.
import { get } from "./api.js";
import { fill, h, icon, plural } from "./dom.js";
import { on, state } from "./state.js";
import { say } from "./toast.js";
import { lineageView } from "./train_lineage.js";
import { buildForm, runForm } from "./train_new.js";
import { runView } from "./train_run.js";
import { versionView } from "./train_version.js";
import { gateTag, renew, STATES } from "./train_words.js";

const PACE = 2000; // milliseconds between looks at runs that are at work

const list = h("nav.trainlist", { "aria-label": "Versions and runs", dataset: { testid: "train-list" } });
const detail = h("main.traindetail", { tabindex: "-1", dataset: { testid: "train-detail" } });
let known = null; // what /api/train said
let chosen = { kind: "lineage", name: "" };
let shown = null; // {element, refresh?}
let timer = 0;

/** The whole tab, one element. */
export function train() {
  const page = h("div.page.train", { dataset: { testid: "train" } }, list, detail);
  on("place", () => (state.place === "train" ? look() : clearTimeout(timer)));
  if (state.place === "train") look();
  return page;
}

/** Fetch everything and draw it; while a run is at work, again and again. */
async function look() {
  clearTimeout(timer);
  const first = known === null;
  if (first) fill(detail, h("p.none.quiet", {}, "Loading versions and runs ..."));
  try {
    known = await get("/api/train");
    drawList();
    if (first) choose(startingWith());
    else await shown?.refresh?.();
  } catch (error) {
    if (first) fill(detail, h("div.trainempty", {}, icon("stack"), h("p", {}, error.message), h("button.button", { type: "button", onclick: look }, "Try again")));
    else say(error.message);
  }
  if (state.place === "train" && known?.runs.some((run) => run.state === "running")) timer = setTimeout(look, PACE);
}

/** What is looked at first: a run at work, else the newest run, else the newest version, else a new version. */
function startingWith() {
  const run = known.runs.find((one) => one.state === "running") ?? known.runs.at(-1);
  if (run) return { kind: "run", name: run.name };
  const version = known.versions.at(-1);
  return version ? { kind: "version", name: version.name } : { kind: "build", name: "" };
}

const hands = {
  known: () => known,
  choose,
  /** Fetch anew, then look at something. */
  async changed(next) {
    await look();
    if (next) choose(next);
  },
  again: look,
};

function choose(next) {
  chosen = next;
  shown?.close?.();
  const make = { run: runView, version: versionView, build: buildForm, order: runForm, lineage: lineageView }[next.kind];
  shown = make(next.name, hands);
  fill(detail, shown.element);
  detail.scrollTop = 0;
  drawList();
}

function drawList() {
  const live = known.live.map((entry) => h("p.livenow", { dataset: { testid: "live" } }, h("span.dot.finished", {}), h("span", {}, h("strong", {}, entry.run), ` answers for ${entry.base}`)));
  renew(list, [known, chosen], () => [
    h("div.trainhead", {},
      h("button.button.main", { type: "button", dataset: { testid: "new-run" }, disabled: !known.versions.length, title: known.versions.length ? "" : "Build a dataset version first", onclick: () => choose({ kind: "order", name: "" }) }, icon("play"), "Train"),
      h("button.button", { type: "button", dataset: { testid: "new-version" }, onclick: () => choose({ kind: "build", name: "" }) }, icon("plus"), "Build version")),
    section("Runs", known.runs.toReversed(), runRow, "No run yet."),
    section("Dataset versions", known.versions.toReversed(), versionRow, "No version yet."),
    h("section", {}, h("h2.caps", {}, "Live"), live.length ? live : h("p.none.quiet", {}, "Every model answers without an adapter."), row("lineage", "", "Lineage", [icon("link"), h("span.lines", {}, h("strong", {}, "Lineage"), h("span.quiet", {}, "base, data, run, gates, who"))])),
  ]);
}

function section(title, found, draw, none) {
  return h("section", {}, h("h2.caps", {}, title), found.length ? found.map(draw) : h("p.none.quiet", {}, none));
}

function row(kind, name, label, inside) {
  const current = chosen.kind === kind && chosen.name === name;
  return h("button.trainrow", { type: "button", "aria-current": current ? "true" : null, "aria-label": label, dataset: { testid: `${kind}-${name}` }, onclick: () => choose({ kind, name }) }, inside);
}

function runRow(run) {
  const progress = run.state === "finished" ? "" : ` · ${run.step} of ${run.steps} steps`;
  return row("run", run.name, `Run ${run.name}, ${STATES[run.state]}`, [
    h(`span.dot.${run.state}`, {}),
    h("span.lines", {}, h("strong.clip", {}, run.name), h("span.quiet.clip", {}, `${STATES[run.state]}${progress} · ${run.version}`)),
    run.live ? h("span.tag.live", {}, "live") : gateTag(run),
  ]);
}

function versionRow(version) {
  const counts = version.counts;
  return row("version", version.name, `Version ${version.name}`, [
    icon("stack"),
    h("span.lines", {}, h("strong.clip", {}, version.name), h("span.quiet.clip", {}, `${plural(counts.train, "example")} · ${plural(counts.preferences, "preference")}`)),
  ]);
}
