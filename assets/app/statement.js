// What somebody says of an answer, as one form for readers and reviewers: codes by number, severity, findings, words. Made for
// hands that stay on the keyboard: 1 to 9 toggle codes, S the severity, Enter keeps, Escape leaves.
import { get } from "./api.js";
import { fill, h, menu } from "./dom.js";

const SEVERITIES = [["minor", "Minor", "Wording; nothing would be done differently"], ["major", "Major", "What is done could change"], ["critical", "Critical", "Somebody could be harmed"]];

let offered = null;

/** What the form offers, asked once: {codes: [[code, words]], classes, overall}. */
export const offer = () => (offered ??= get("/api/feedback/form").catch((error) => { offered = null; throw error; }));

export const shortOf = (code) => (code[0].toUpperCase() + code.slice(1)).replaceAll("-", " ");

/** A statement in words, for a line: codes, severity, corrected findings. */
export function inWords(said) {
  const cells = Object.entries(said.cells ?? {}).map(([finding, name]) => `${finding === "overall" ? "as a whole" : finding}: ${name}`);
  return [...(said.codes ?? []).map(shortOf), said.severity, ...cells].filter(Boolean);
}

/**
 * `form` is what `offer` gave; `said` what stands. `findings` may be corrected; `places` are [words, mark] the statement may point at;
 * `rivals` are [version id, words] this answer may be better than; `judge` adds right or wrong, `more` stands beside
 * the buttons. `keep(value)` and `leave()` are told.
 */
export function statementForm({ form, said = {}, findings = [], overall = false, answer = "", places = [], rivals = [], judge = false, words = "Keep", comment = "Comment", leaves = "Cancel", more = [], keep, leave }) {
  const chosen = { verdict: said.verdict ?? "", codes: new Set(said.codes ?? []), severity: said.severity ?? "", cells: { ...said.cells } };
  const codes = h("div.codes", { role: "group", "aria-label": "What is wrong", dataset: { testid: "codes" } });
  const severity = h("div.severity", { role: "group", "aria-label": "Severity", dataset: { testid: "severity" } });
  const verdicts = h("div.severity", { role: "group", "aria-label": "The answer is", dataset: { testid: "verdicts" } });
  const cells = h("div.recasts", { role: "group", "aria-label": "Corrected findings", dataset: { testid: "cells" } });
  const corrected = h("textarea", { rows: "2", maxlength: "8000", "aria-label": "Corrected answer", placeholder: "What should it have said? (optional)", "data-testid": "corrected" });
  corrected.value = said.corrected_answer ?? "";
  const remark = h("textarea", { rows: "1", maxlength: "10000", "aria-label": comment, placeholder: "Anything else? (optional)", "data-testid": "remark" });
  remark.value = said.comment ?? "";
  const place = menu("Place in an image", [["", "No place"], ["keep", said.mark ? `As it is: image ${said.mark.image + 1}` : ""], ...places.map(([text], number) => [String(number), text])].filter(([key]) => key !== "keep" || said.mark), said.mark ? "keep" : "", () => undefined, { classes: "small", "data-testid": "place" });
  const better = menu("Better than", [["", "No preference"], ...rivals.map(([id, text]) => [String(id), text])], String(said.preferred_over ?? ""), () => undefined, { classes: "small", "data-testid": "better-than" });
  const toggle = (code) => {
    if (chosen.codes.has(code)) chosen.codes.delete(code);
    else chosen.codes.add(code);
    if (judge && chosen.codes.size) chosen.verdict = "disagree";
    draw(code);
  };
  const weigh = (name) => {
    chosen.severity = chosen.severity === name ? "" : name;
    draw();
  };
  const held = () => document.activeElement?.dataset?.key;
  const draw = () => {
    const at = held();
    fill(verdicts, judge && [["agree", "Right"], ["disagree", "Wrong"]].map(([name, text]) => h("button.level", { type: "button", "aria-pressed": String(chosen.verdict === name), onclick: () => { chosen.verdict = name; if (name === "agree") chosen.codes.clear(); draw(); }, dataset: { key: name, verdict: name } }, text)));
    verdicts.hidden = !judge;
    fill(codes, form.codes.map(([code, text], number) => h("button.code", { type: "button", title: text, "aria-pressed": String(chosen.codes.has(code)), onclick: () => toggle(code), dataset: { code, key: code } }, h("kbd", {}, String(number + 1)), h("span", {}, shortOf(code)))));
    fill(severity, h("span.caps", {}, "Severity"), SEVERITIES.map(([name, text, help]) => h("button.level", { type: "button", title: `${help} (S: the next)`, "aria-pressed": String(chosen.severity === name), onclick: () => weigh(name), dataset: { severity: name, key: name } }, text)));
    if (at) element.querySelector(`[data-key="${at}"]`)?.focus();
  };
  const cell = (finding) => {
    const options = [["", "as answered"], ...(finding === "overall" ? form.overall : form.classes).map((name) => [name, name])];
    const pick = menu(finding === "overall" ? "As a whole" : finding, options, chosen.cells[finding] ?? "", (name) => { chosen.cells[finding] = name; pick.dataset.set = String(Boolean(name)); }, { classes: "small", dataset: { finding, set: String(Boolean(chosen.cells[finding])) } });
    return h("label.recast", {}, h("span", {}, finding === "overall" ? "as a whole" : finding), pick);
  };
  const listed = [...new Set([...findings, ...Object.keys(chosen.cells).filter((name) => name !== "overall"), ...(overall || chosen.cells.overall ? ["overall"] : [])])];
  fill(cells, listed.map(cell));
  const opened = Object.values(chosen.cells).some(Boolean);
  const folded = h("details.findings", { open: opened, ontoggle: () => { cells.hidden = !folded.open; } }, h("summary", {}, "Findings"), cells);
  cells.hidden = !opened; // what is folded away is not there for anything that looks at places
  const value = () => ({
    verdict: chosen.verdict,
    codes: form.codes.map(([code]) => code).filter((code) => chosen.codes.has(code)),
    severity: chosen.severity,
    corrected_answer: corrected.value.trim(),
    cells: Object.fromEntries(listed.map((finding) => [finding, chosen.cells[finding] ?? ""]).filter(([finding, name]) => name || said.cells?.[finding])),
    comment: remark.value.trim(),
    ...(places.length || said.mark ? (place.value === "keep" ? {} : { mark: place.value === "" ? "" : places[Number(place.value)][1] }) : {}),
    ...(rivals.length ? { preferred_over: Number(better.value) || 0 } : {}),
  });
  const element = h("form.statement", { "aria-label": "Feedback", dataset: { testid: "statement" }, onsubmit: (event) => { event.preventDefault(); keep(value()); } },
    verdicts, codes, severity,
    listed.length > 0 && folded,
    corrected,
    answer && h("button.button.plain.small.start", { type: "button", onclick: () => { corrected.value = answer; corrected.focus(); } }, "Start from the answer"),
    remark,
    (places.length > 0 || said.mark || rivals.length > 0) && h("div.row", {}, (places.length > 0 || said.mark) && place, rivals.length > 0 && better),
    h("div.row.ends", {}, h("button.button.main.small", { type: "submit", "data-testid": "keep" }, words), leave && h("button.button.plain.small", { type: "button", onclick: () => leave() }, leaves), more));
  element.addEventListener("keydown", (event) => {
    const writing = event.target.closest("textarea");
    if (event.key === "Escape" && leave) {
      event.stopPropagation();
      leave();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing && (writing || event.ctrlKey || event.metaKey || event.target.closest(".code, .level"))) {
      event.preventDefault();
      keep(value());
    } else if (!writing && !event.target.closest("select") && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const number = Number(event.key);
      if (number >= 1 && number <= form.codes.length) toggle(form.codes[number - 1][0]);
      else if (event.key.toLowerCase() === "s" && !event.shiftKey) weigh(SEVERITIES[(SEVERITIES.findIndex(([name]) => name === chosen.severity) + 1) % SEVERITIES.length][0]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }
  });
  draw();
  return { element, value, focus: () => element.querySelector(".code").focus() };
}
