// The draft report of the open case: findings, comparison and impression to change, exported as text, PDF or DICOM structured report.
// What it rests on, and that a machine drafted it, is not the reader's to change here.
import { call, get, post } from "./api.js";
import { fill, h, icon, moment, plural } from "./dom.js";
import { isShown, panel } from "./panels.js";
import { on, state } from "./state.js";
import { attempt } from "./toast.js";

const PARTS = [["comparison", "Comparison", 2], ["findings", "Findings", 8], ["impression", "Impression", 4]];
/** Where a session's report is, without the answers that this reader has withheld. */
const path = (session, kind = "") => `/api/sessions/${session}/report${kind}?at_least=${state.at_least}`;
const REST = 800; // milliseconds without a letter until what was written is saved
const KINDS = [["txt", "Text"], ["pdf", "PDF"], ["dcm", "DICOM SR"]];

export function report() {
  let report = null; // ReportOut of the open session
  let of = null; // the session it is of
  let busy = Promise.resolve();
  let resting = 0;
  const told = h("span.quiet", { role: "status", dataset: { testid: "report-saved" } });
  const fields = Object.fromEntries(PARTS.map(([name, words, rows]) => [name, h("textarea", { rows: String(rows), "aria-label": words, spellcheck: "true", dataset: { testid: `report-${name}` } })]));
  const mark = h("p.draftmark", { dataset: { testid: "report-mark" } });
  const again = h("button.button.plain.small", { type: "button", onclick: () => redraft(), dataset: { testid: "report-again" } }, icon("again"), "Draft again");
  const about = h("details.about", { dataset: { testid: "report-about" } });
  const exports = KINDS.map(([kind, words]) => h("button.button.small", { type: "button", onclick: () => download(kind), title: `Export: ${words}`, dataset: { testid: `report-${kind}` } }, icon("save"), words));
  const nothing = h("p.quiet.none", { hidden: true }, "Ask about the images first: the draft is made of the answers, and of nothing else.");
  const inside = h("div.reportbody", {}, mark, h("div.parts", {}, PARTS.map(([name, words]) => h("div.part", { dataset: { part: name } }, h("span.caps", {}, words), fields[name]))), about,
    h("div.exports", { role: "group", "aria-label": "Export" }, exports, h("span.gap"), again));

  /** Show what the server has; a part that has another text than `before` stays as the reader has it. */
  const show = (found, before) => {
    report = found;
    for (const [name] of PARTS) if (fields[name].value === before[name] && fields[name].value !== found.words[name]) fields[name].value = found.words[name];
    draw();
  };
  const draw = () => {
    inside.hidden = !report;
    nothing.hidden = Boolean(of);
    if (!report) { told.textContent = ""; return; }
    told.textContent = report.saved ? `saved ${moment(report.saved)}` : "not changed yet";
    fill(mark, icon("warning"), h("span", {}, `${report.mark}.`));
    again.hidden = !report.edited;
    const rests = report.answers ? `Rests on ${plural(report.answers, "answer")} of ${of === state.unjudged ? "models you have not judged yet" : report.models.join(", ")}` : "Rests on no answer yet";
    fill(about, h("summary", {}, rests), h("ul", {}, report.cautions.map((text) => h("li", {}, text))));
    const sr = exports.at(-1);
    sr.disabled = Boolean(report.refusal);
    sr.title = report.refusal ? `${report.refusal[0].toUpperCase()}${report.refusal.slice(1)}.` : "A DICOM structured report that references the images";
  };
  const words = () => Object.fromEntries(PARTS.map(([name]) => [name, fields[name].value]));
  const changed = () => report && PARTS.some(([name]) => fields[name].value !== report.words[name]);
  const load = async () => {
    const wanted = state.session?.id ?? null;
    if (wanted !== of) {
      save(); // of the session before, whose words are in the fields
      [of, report] = [wanted, null];
      for (const [name] of PARTS) fields[name].value = "";
      draw();
    }
    if (!wanted) return;
    const before = report?.words ?? words();
    const found = await attempt(() => get(path(wanted)));
    if (found && wanted === of) show(found, before);
  };
  /** Keep what was written; one saving after the other, and only what changed. */
  const save = () => {
    clearTimeout(resting);
    if (!changed()) return busy;
    const [session, sent] = [of, words()];
    busy = busy.then(async () => {
      if (session === of) told.textContent = "saving";
      const found = await attempt(() => post(path(session), sent));
      if (session !== of) return;
      if (found) show(found, sent);
      else told.textContent = "not saved";
    });
    return busy;
  };
  const redraft = async () => {
    for (const [name] of PARTS) fields[name].value = report.draft[name];
    await save();
  };
  const download = async (kind) => {
    const session = of;
    await save();
    if (session !== of || changed()) return;
    const response = await attempt(() => call("GET", path(session, `.${kind}`)));
    if (!response) return;
    const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? `report.${kind}`;
    const link = h("a", { href: URL.createObjectURL(await response.blob()), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  for (const [name] of PARTS) {
    fields[name].addEventListener("change", save);
    fields[name].addEventListener("input", () => {
      told.textContent = changed() ? "not saved yet" : "";
      clearTimeout(resting);
      resting = setTimeout(save, REST);
    });
  }
  addEventListener("pagehide", () => { if (changed()) call("POST", path(of), words(), { keepalive: true }).catch(() => undefined); });
  on("session", () => { if (isShown("report") && (state.session?.id ?? null) !== of) load(); });
  on("unjudged", draw);
  for (const name of ["turns", "at_least"]) on(name, () => { if (isShown("report") && !changed()) load(); });
  draw();
  return panel("report", "Report", [nothing, inside], load, told);
}
