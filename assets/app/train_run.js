// One run: live curves, log, score sheet before and after, and the decisions that belong to it. While it is at work it is looked at again.
import { get, post } from "./api.js";
import { clear, colour, draw } from "./charts.js";
import { fill, h, icon, moment, sentence } from "./dom.js";
import { attempt, say } from "./toast.js";
import { sign } from "./train_sign.js";
import { sheetView } from "./train_sheet.js";
import { gateTag, lasting, renew, STATES } from "./train_words.js";

const CURVES = [["loss", "Loss"], ["rate", "Learning rate"], ["samples_s", "Samples a second"], ["accuracy", "Preferred rightly, share"], ["margin", "Margin of the preference"]]; // the last two of DPO and KTO alone
const FROM_NOTHING = ["rate", "samples_s", "accuracy"];
const PACE = 2000;

export function runView(name, hands) {
  const head = h("header.viewhead", {});
  const figures = h("dl.figures", { dataset: { testid: "run-figures" } });
  const track = h("div.track", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" }, h("div.fill", {}));
  const trouble = h("p.trouble", { role: "alert", hidden: true });
  const charts = CURVES.map(([key, words]) => [key, words, h("div.chart", { role: "img", "aria-label": words, dataset: { testid: `curve-${key}` } })]);
  const log = h("pre.log", { tabindex: "0", "aria-label": "End of the log", dataset: { testid: "log" } });
  const sheet = h("section.block", { dataset: { testid: "sheet" } });
  const element = h("article.trainview", { dataset: { testid: "run" } }, head, track, figures, trouble,
    h("section.block.curves", {}, charts.map(([, words, box]) => h("figure", {}, h("figcaption", {}, words), box))),
    sheet,
    h("section.block", {}, h("h2", {}, "Log"), log));
  let timer = 0;
  let closed = false;
  let measuring = false;

  async function refresh() {
    clearTimeout(timer);
    const found = await attempt(() => get(`/api/train/runs/${encodeURIComponent(name)}`));
    if (!found || closed) return;
    show(found);
    if (found.measuring) timer = setTimeout(refresh, PACE);
    else if (measuring) hands.again(); // the list tells what the gates said
    measuring = found.measuring;
  }

  function show(found) {
    const { run, curve } = found;
    const last = curve.at(-1);
    const done = run.steps ? Math.round((100 * run.step) / run.steps) : 0;
    renew(head, [run, found.measuring, found.sheet?.passed], () => [h("div", {},
      h("h1", {}, run.name, h(`span.state.${run.state}`, {}, h(`span.dot.${run.state}`, {}), STATES[run.state]), gateTag(run), run.live && h("span.tag.live", {}, "live")),
      h("p.quiet", {}, `${run.base} on ${run.version}, ${run.method.toUpperCase()}, ${run.order.start ? `from ${run.order.start} on, ` : ""}ordered by ${run.by || "nobody named"} ${moment(run.order.created)}`)), h("div.buttons", {}, buttons(found))]);
    track.firstChild.style.width = `${done}%`;
    track.setAttribute("aria-valuenow", String(done));
    fill(figures,
      figure("Step", `${run.step} of ${run.steps || "?"}`), figure("Loss", last?.loss?.toFixed(3) ?? "–"), figure("Samples a second", last?.samples_s?.toFixed(2) ?? "–"),
      figure(run.state === "running" ? "To go" : "Took", run.state === "running" ? (run.eta_s === null ? "–" : lasting(run.eta_s)) : run.seconds ? lasting(run.seconds) : "–"),
      figure("Estimate", run.estimate?.seconds ? `${lasting(run.estimate.seconds)}, ${(run.estimate.memory_mb / 1000).toFixed(1)} GB` : "–"));
    trouble.hidden = !run.error;
    trouble.textContent = sentence(run.error);
    plot(curve);
    if (log.textContent !== found.log) {
      const below = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
      log.textContent = found.log || "Nothing yet.";
      if (below) log.scrollTop = log.scrollHeight;
    }
    renew(sheet, [found.sheet, found.measuring, found.measured, run.state], () => measuredView(found));
  }

  function buttons({ run, measuring, sheet: known }) {
    const act = (words, picture, path, main = false) => h(`button.button${main ? ".main" : ""}`, { type: "button", dataset: { testid: `act-${path}` }, onclick: () => attempt(async () => {
      await post(`/api/train/runs/${encodeURIComponent(name)}/${path}`);
      await hands.again();
    }) }, icon(picture), words);
    if (run.state === "running") return [act("Stop", "stop", "stop")];
    if (run.state !== "finished") return [act(run.step ? "Resume" : "Start", "play", "start", true)];
    if (measuring) return [act("Stop measuring", "stop", "gate/stop")];
    const measure = act(known ? "Measure again" : "Measure", "table", "gate", !known);
    if (run.live) return [measure, h("button.button", { type: "button", dataset: { testid: "act-rollback" }, onclick: back }, icon("undo"), "Roll back")];
    return [measure, known && h("button.button.main", { type: "button", dataset: { testid: "act-promote" }, disabled: !known.passed, title: known.passed ? "" : "A gate failed; the sheet says which items", onclick: () => forward(known) }, icon("check"), "Promote")];

    async function back() {
      const reason = await sign("Roll back", `${run.base} goes back to what answered before ${run.name}, from the next question on.`);
      if (reason && (await attempt(() => post("/api/train/rollback", { base: run.base, reason })))) {
        say(`${run.base} answers as it did before ${run.name}.`, "good");
        await hands.again();
      }
    }
  }

  async function forward(known) {
    const reason = await sign("Promote", `${name} answers for everybody from the next question on. ${known.gates.filter((gate) => gate.passed).length} gates passed; your name and reason are kept for good.`);
    if (reason && (await attempt(() => post("/api/train/promote", { run: name, reason })))) {
      say(`${name} is live.`, "good");
      await hands.again();
    }
  }

  function plot(curve) {
    for (const [key, , box] of charts) {
      const rows = curve.filter((row) => Number.isFinite(row[key]));
      box.parentElement.hidden = !rows.length;
      if (!rows.length) continue;
      draw(box, () => ({
        data: [{ x: rows.map((row) => row.step), y: rows.map((row) => row[key]), mode: rows.length < 40 ? "lines+markers" : "lines", line: { color: colour("accent"), width: 2 }, marker: { size: 4 }, hovertemplate: "step %{x}: %{y:.4g}<extra></extra>" }],
        layout: { margin: { l: 46, r: 8, t: 6, b: 28 }, height: 170, showlegend: false, xaxis: axis(), yaxis: { ...axis(), rangemode: FROM_NOTHING.includes(key) ? "tozero" : "normal", tickformat: key === "rate" ? ".1e" : "", nticks: 5 } },
      })).catch((error) => fill(box, h("p.quiet", {}, error.message)));
    }
  }

  refresh();
  return { element, refresh, close: () => { closed = true; clearTimeout(timer); for (const [, , box] of charts) clear(box); } };
}

const axis = () => ({ gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line-strong"), fixedrange: true });
const figure = (words, value) => h("div", {}, h("dt", {}, words), h("dd.number", {}, value));

function measuredView(found) {
  const parts = [h("h2", {}, "Before and after")];
  if (found.measuring) parts.push(h("p.status", { role: "status" }, h("span.dot.running", {}), `Measuring: ${found.measured || "starting"}`));
  if (found.sheet) parts.push(sheetView(found.sheet));
  else if (!found.measuring) parts.push(h("p.quiet", {}, found.run.state === "finished" ? `Not measured yet. Measuring compares it with what is live, gate by gate, and replays every flag.${found.measured ? ` The last try ended with: ${found.measured}` : ""}` : "A finished run is measured against what is live, gate by gate, before anybody can promote it."));
  return parts;
}
