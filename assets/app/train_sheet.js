// The score sheet of a run: each gate before and after, red where it failed, the items behind each number, and what became of every flag.
import { get } from "./api.js";
import { h, icon, iconButton, moment, plural } from "./dom.js";
import { state } from "./state.js";
import { go } from "./tabs.js";
import { attempt } from "./toast.js";

const MARKS = { true: ["good", "check", "passed"], false: ["bad", "close", "failed"], null: ["quiet", "minus", "not asked"] };
const STATES = [["fixed", "good"], ["still right", "quiet"], ["still wrong", "warn"], ["newly broken", "bad"]];

export function sheetView(sheet) {
  const failed = [...new Set(sheet.gates.filter((gate) => gate.passed === false).map((gate) => gate.gate))];
  const asked = Object.values(sheet.cases ?? {}).reduce((sum, count) => sum + count, 0);
  return [
    h(`p.outcomeline.${sheet.passed ? "good" : "bad"}`, { dataset: { testid: "sheet-verdict" } }, icon(sheet.passed ? "check" : "warning"), sheet.passed ? "Every gate passed; somebody with a name decides whether it goes live." : `${failed.length ? failed.join(", ") : "Something that must be asked"} ${failed.length ? "failed" : "was not asked"}, so it cannot go live.`),
    h("p.quiet", {}, `${sheet.run} against ${sheet.incumbent || "the model alone"}${asked ? `, ${plural(asked, "case")} asked of both` : ""}${sheet.made ? `, ${moment(sheet.made)}` : ""}`),
    h("table.plain.gates", {},
      h("thead", {}, h("tr", {}, ["", "Gate", "Before", "After", "Difference", "Interval", "Bound"].map((words) => h("th", { scope: "col" }, words)))),
      h("tbody", {}, sheet.gates.map(gateRows))),
    replayed(sheet.replayed ?? []),
  ];
}

function gateRows(gate) {
  const [kind, picture, word] = MARKS[String(gate.passed)];
  const items = gate.items ?? [];
  const more = h("tr.behind", { hidden: true }, h("td", { colspan: "7" }, itemsView(items)));
  const opener = items.length > 0 && h("button.button.plain.small", { type: "button", "aria-expanded": "false", onclick: () => { more.hidden = !more.hidden; opener.setAttribute("aria-expanded", String(!more.hidden)); } }, `${plural(items.length, "case")} behind it`);
  const apart = gate.low === null || gate.low === undefined ? "" : `${value(gate.low)} to ${value(gate.high)}`;
  return [h(`tr.gate.${kind}`, { dataset: { testid: `gate-${gate.gate}` } },
    h("td", {}, h(`span.mark.${kind}`, { title: word, "aria-label": word, role: "img" }, icon(picture))),
    h("th", { scope: "row" }, h("div", {}, h("strong", {}, `${gate.gate} ${gate.name}`), h("span.quiet", {}, gate.what), h("span.quiet.why", {}, gate.reason), opener)),
    h("td.number", {}, value(gate.before)), h("td.number", {}, value(gate.after)), h("td.number", {}, signed(gate.difference)), h("td.number", {}, apart), h("td.number", {}, signed(gate.bound))), more];
}

/** The cases a number was made of: what was asked, what is right, what was answered before and after. */
function itemsView(items) {
  const shown = items.slice(0, 50);
  return [h("table.plain", {}, h("thead", {}, h("tr", {}, ["Question", "Right", "Before", "After", "Patient"].map((words) => h("th", { scope: "col" }, words)))),
    h("tbody", {}, shown.map((item) => h("tr", {}, h("td", {}, item.question), ["truth", "before", "after"].map((name) => h("td", { "data-wrong": name !== "truth" && item[name] !== item.truth ? "true" : null }, value(item[name]))), h("td.quiet", {}, item.patient, item.item && look(item.item)))))),
    items.length > 50 && h("p.quiet", {}, `and ${items.length - 50} more in gates.json`)];
}

function replayed(cases) {
  if (!cases.length) return h("p.quiet", {}, "No flagged case to replay.");
  const groups = STATES.map(([state, kind]) => [state, kind, cases.filter((one) => one.state === state)]).filter(([, , found]) => found.length);
  return h("div.replayed", { dataset: { testid: "replayed" } }, h("h2", {}, "Flags, asked again"), h("p.tags", {}, groups.map(([state, kind, found]) => h(`span.tag.${kind}`, {}, `${found.length} ${state}`))),
    h("table.plain", {}, h("thead", {}, h("tr", {}, ["", "Question", "Before", "After", "Right"].map((words) => h("th", { scope: "col" }, words)))),
      h("tbody", {}, groups.flatMap(([state, kind, found]) => found.slice(0, 50).map((one) => h("tr", {}, h("td", {}, h(`span.tag.${kind}`, {}, state)), h("td", {}, one.question, look(one.feedback)), h("td", {}, one.before), h("td", {}, one.after), h("td", {}, one.gold)))))));
}

/** A button that hangs a flagged case in Review, with its images and what was said of it. */
function look(feedback) {
  return iconButton("eye", "Look at this case in Review", () => attempt(async () => {
    state.wanted = (await get(`/api/review/statements/${feedback}`)).item;
    go("review");
  }), { classes: "plain small", "data-testid": "look-at-case" });
}

function value(found) {
  if (found === null || found === undefined || found === "") return "–";
  if (typeof found === "number") return (Number.isInteger(found) ? String(found) : found.toFixed(3)).replace("-", "−");
  return typeof found === "object" ? JSON.stringify(found) : String(found);
}

const signed = (found) => (typeof found === "number" ? `${found > 0 ? "+" : ""}${value(found)}` : "–");
