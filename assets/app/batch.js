// Many pairs as a table that fills while it is looked at, or not: the batch runs on the server. Pairs come from the library, or from a
// CSV as `predict` reads it with the folder its paths are relative to. A row of the library opens its pair.
import { call, get, post, upload } from "./api.js";
import { fill, h, icon, iconButton, menu, plural, seconds } from "./dom.js";
import { hangStudies } from "./hang.js";
import { filled, on, state } from "./state.js";
import { attempt, say } from "./toast.js";

const WAIT = 700;
const SHOWN = ["worse", "stable", "improved"];
const BUSY = ["waiting", "running"];

export function batch() {
  let now = null; // BatchOut with all its rows
  let timer = 0;
  let sending = null;
  const scope = menu("Which studies", [], "all", () => draw(), { classes: "small", "data-testid": "batch-scope" });
  const which = menu("Which pairs", [["newest", "newest study with its prior"], ["every", "every study with its prior"]], "newest", () => draw(), { classes: "small" });
  const begin = h("button.button.main.small", { type: "button", onclick: () => library(), dataset: { testid: "batch-library" } }, icon("play"), "Read");
  const csv = h("input", { type: "file", accept: ".csv,text/csv", hidden: true, dataset: { testid: "batch-file" } });
  const folder = h("input", { type: "file", webkitdirectory: true, multiple: true, hidden: true, dataset: { testid: "batch-folder" } });
  const chosen = h("span.quiet.clip");
  const files = h("div.files", {},
    h("button.button.small", { type: "button", title: "A CSV with the columns prior_path and current_path", onclick: () => csv.click() }, icon("table"), "Pair file"),
    h("button.button.small", { type: "button", title: "The folder that its paths are relative to", onclick: () => folder.click() }, icon("upload"), "Images"), chosen,
    h("button.button.main.small", { type: "button", onclick: () => send(), dataset: { testid: "batch-send" } }, icon("play"), "Read"), csv, folder);
  const bar = h("progress", { max: "1", value: "0", "aria-label": "Progress" });
  const told = h("span.told", { role: "status", dataset: { testid: "batch-told" } });
  const halt = h("button.button.small", { type: "button", onclick: () => stop(), dataset: { testid: "batch-stop" } }, icon("stop"), "Stop");
  const save = h("button.button.small", { type: "button", onclick: () => download(), dataset: { testid: "batch-csv" } }, icon("save"), "CSV");
  const run = h("div.run", {}, bar, told, h("span.gap"), halt, save);
  const head = h("tr");
  const named = (findings) => fill(head, ["", "Patient", "Prior", "Current", "As a whole", ...findings].map((name) => h("th", { scope: "col" }, name)));
  named([]);
  const body = h("tbody", { dataset: { testid: "batch-rows" } });
  const nothing = h("p.quiet.none", {}, "Each pair is read both ways: as it is, and with prior and current exchanged. The class of a finding is shown where it clearly leads; all figures go into the CSV. Nothing uploaded here is imported.");
  const table = h("div.scroll", { tabindex: "0", role: "group", "aria-label": "Pairs" }, h("table.pairs", {}, h("thead", {}, head), body), nothing);
  const dialog = h("dialog.batch", { "aria-label": "Many pairs", dataset: { testid: "batch" } },
    h("header", {}, h("h2", {}, "Many pairs"), h("span.quiet", {}, "the progression of each, in a table"), h("span.gap"), iconButton("close", "Close; a running batch goes on", () => dialog.close(), { "data-testid": "batch-close" })),
    h("div.sources", {}, h("div.source", {}, h("span.caps", {}, "From the library"), scope, which, begin), h("div.source", {}, h("span.caps", {}, "From a file"), files)),
    run, table);
  const chip = h("button.button.small.batchchip", { type: "button", hidden: true, title: "Show the table", onclick: () => open(), dataset: { testid: "batch-chip" } }, "Many pairs");

  const busy = () => Boolean(now && BUSY.includes(now.state));
  const mine = () => state.patients.filter((patient) => patient.studies.length > 1 && !patient.studies.every((study) => state.cases.some((one) => one.study_ids.includes(study.id))));
  const several = () => state.patients.filter((patient) => patient.studies.length > 1);
  const here = () => several().filter((patient) => filled().some((slot) => slot.series.pseudonym === patient.pseudonym));
  const scopes = () => [["all", `all patients (${several().length})`, several()], ["mine", `without demo cases (${mine().length})`, mine()], ["here", `patient on the screen (${here().length})`, here()]];
  const draw = () => {
    const kept = scope.value || "all";
    fill(scope, scopes().map(([value, words]) => h("option", { value, selected: value === kept }, words)));
    begin.disabled = busy() || Boolean(sending) || !scopes().find(([value]) => value === scope.value)?.[2].length;
    files.querySelectorAll("button").forEach((button) => { button.disabled = busy() || Boolean(sending); });
    files.querySelector(".main").disabled ||= !csv.files.length || !folder.files.length;
    chosen.textContent = [csv.files[0]?.name, folder.files.length && plural(folder.files.length, "file")].filter(Boolean).join(" · ");
    bar.hidden = !busy() && !sending;
    halt.hidden = !busy();
    save.hidden = !now?.done;
    run.hidden = !now && !sending;
    nothing.hidden = Boolean(now?.total);
    table.firstChild.hidden = !now?.total;
    if (sending) { told.textContent = sending; return; }
    bar.value = now?.total ? now.done / now.total : 0;
    told.textContent = now ? words() : "";
    chip.hidden = !busy();
    fill(chip, h("span.pulse", { "aria-hidden": "true" }), now ? `${now.done} of ${now.total}` : "");
  };
  const words = () => {
    const each = now.done ? now.seconds / now.done : 0;
    const left = each ? `, about ${seconds(each * (now.total - now.done))} left` : "";
    const failed = now.failed ? `, ${now.failed} not read` : "";
    if (now.state === "waiting") return now.stage || "waiting";
    if (now.state === "running") return `${now.done} of ${plural(now.total, "pair")}${failed}${left}${now.stage ? ` (${now.stage})` : ""}`;
    if (now.state === "failed") return now.error;
    return `${now.state === "stopped" ? `Stopped after ${now.done} of ` : ""}${plural(now.total, "pair")}${failed}, ${seconds(now.seconds)}, read by ${now.model}`;
  };
  const rows = (from) => {
    named(now.findings);
    while (body.children.length > from) body.lastChild.remove();
    body.append(...now.rows.slice(from).map(row));
  };
  const row = (one) => {
    const opens = one.studies.length > 0;
    const name = opens ? h("button.link.clip", { type: "button", title: "Open this pair", onclick: () => { dialog.close(); hangStudies(one.studies, "temporal"); } }, one.patient) : h("span.clip", {}, one.patient);
    const notes = [...one.warnings, one.error].filter(Boolean).join(" ");
    const cells = one.state === "failed"
      ? [h("td.failed", { colspan: String(1 + now.findings.length) }, icon("warning"), one.error)]
      : [whole(one), ...now.findings.map((finding) => klass(one, finding))];
    return h("tr", { dataset: { state: one.state, pair: one.number } }, h("td.number", { title: notes || null }, String(one.number), one.warnings.length ? icon("info") : null), h("td", {}, name), h("td.clip", { title: one.prior }, one.prior), h("td.clip", { title: one.current }, one.current), cells);
  };
  const whole = (one) => {
    if (!one.progression || one.state !== "done") return h("td.quiet", {}, one.state === "reading" ? h("span.pulse", { title: "reading" }) : "");
    const shares = SHOWN.map((name) => h("span", { dataset: { name }, style: { "--share": one.overall[name] } }));
    return h("td.whole", { title: told3(one.overall), dataset: { class: one.clear.overall || "undecided" } }, h("span.name", {}, one.clear.overall || "undecided"), h("span.shares", { "aria-hidden": "true" }, shares));
  };
  const klass = (one, finding) => (one.state === "done" ? h("td.class", { title: `${finding}: ${told3(one.progression[finding])}`, dataset: { class: one.clear[finding] || "undecided" } }, one.clear[finding] || "–") : h("td"));
  const told3 = (shares) => Object.entries(shares).map(([name, share]) => `${name} ${share.toFixed(2)}`).join(", ");

  const take = (found) => {
    if (!found) return;
    if (found.first && now?.id !== found.id) { // begun in another tab: what was read of it before is asked for too
      now = null;
      return void watch();
    }
    if (found.first) now = { ...found, rows: [...now.rows.slice(0, found.first), ...found.rows] };
    else now = found;
    rows(found.first);
    draw();
    clearTimeout(timer);
    if (busy()) timer = setTimeout(watch, WAIT);
  };
  const watch = async () => {
    const found = await get(`/api/batch?after=${now ? now.done : 0}`).catch(() => null);
    if (found) return take(found);
    timer = setTimeout(watch, 4 * WAIT);
    return undefined;
  };
  const start = async (work) => {
    const found = await attempt(work);
    sending = null;
    take(found);
    draw();
  };
  const library = () => {
    const patients = scopes().find(([value]) => value === scope.value)[2].map((patient) => patient.id);
    return start(() => post("/api/batch/library", { patients, every: which.value === "every" }));
  };
  /** The pair file, and of the folder only what it speaks of; paths are relative to the folder that was chosen. */
  const send = async () => {
    const text = await csv.files[0].text().catch(() => null);
    if (text === null) {
      csv.value = "";
      draw();
      return say("The pair file was changed or moved since it was chosen; choose it again.");
    }
    const inside = (file) => file.webkitRelativePath.split("/").slice(1).join("/");
    const named = (path) => text.includes(path) || path.split("/").slice(0, -1).some((_, at, all) => text.includes(all.slice(0, at + 1).join("/")));
    const images = [...folder.files].filter((file) => named(inside(file))).map((file) => ({ file, name: `images/${inside(file)}` }));
    sending = "sending the images";
    draw();
    let answer = null;
    const sent = upload("/api/batch/files", [{ file: csv.files[0], name: "pairs.csv" }, ...images], (done, total) => { bar.value = done / total; }, (line) => { answer = line; });
    return start(async () => { await sent.done; return answer; });
  };
  const stop = async () => {
    halt.disabled = true;
    await attempt(() => post(`/api/runs/${now.id}/stop`));
    halt.disabled = false;
    return watch();
  };
  const download = async () => {
    const response = await attempt(() => call("GET", `/api/batch/${now.id}.csv`));
    if (!response) return;
    const link = h("a", { href: URL.createObjectURL(await response.blob()), download: "interval-pairs.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const open = async () => {
    draw();
    if (!dialog.open) dialog.showModal();
    if (!busy()) await watch1();
  };
  const watch1 = async () => take(await get("/api/batch").catch(() => null));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  csv.addEventListener("change", draw);
  folder.addEventListener("change", draw);
  for (const name of ["patients", "cases", "slots"]) on(name, () => dialog.open && draw());
  watch1();
  return { dialog, chip, open };
}
