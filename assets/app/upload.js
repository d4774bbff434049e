// Upload: files, folders or an archive, by drop anywhere or by choice, with progress and the outcome of every file.
import { get, upload } from "./api.js";
import { fill, h, icon, iconButton, plural, sentence } from "./dom.js";
import { leave } from "./ask.js";
import { show } from "./hang.js";
import { state, update } from "./state.js";
import { attempt, say } from "./toast.js";

const MARKS = { imported: "check", duplicate: "copy", skipped: "minus", refused: "warning" };
const MEGA = 1024 * 1024;

export function uploader() {
  const files = h("input", { type: "file", multiple: true, hidden: true, dataset: { testid: "files" } });
  const folder = h("input", { type: "file", webkitdirectory: true, hidden: true, dataset: { testid: "folder" } });
  const status = h("p.status", { role: "status", dataset: { testid: "upload-status" } });
  const track = h("div.track", { role: "progressbar", "aria-label": "Upload", "aria-valuemin": "0", "aria-valuemax": "100" }, h("div.fill"));
  const outcomes = h("ul.outcomes", { dataset: { testid: "outcomes" } });
  const close = iconButton("close", "Close this list", () => { report.hidden = true; }, { classes: "plain small" });
  const each = h("button.button.plain.small", { type: "button", hidden: true, onclick: () => unfold(outcomes.hidden) });
  const unfold = (wide) => {
    outcomes.hidden = !wide;
    each.textContent = wide ? "Hide" : "Each file";
    each.setAttribute("aria-expanded", String(wide));
  };
  const report = h("div.report", { hidden: true, dataset: { testid: "report" } }, h("div.head", {}, status, each, close), track, outcomes);
  const chosen = (input) => {
    send([...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    input.value = "";
  };
  files.addEventListener("change", () => chosen(files));
  folder.addEventListener("change", () => chosen(folder));
  let running = null;

  const bar = (part) => {
    track.hidden = part === null;
    track.setAttribute("aria-valuenow", String(Math.round(100 * (part ?? 0))));
    track.firstChild.style.width = `${100 * (part ?? 0)}%`;
  };
  const send = async (list) => {
    if (!list.length) return;
    if (running) return say("An upload is on its way; the next can begin when it is read.");
    const bytes = list.reduce((sum, { file }) => sum + file.size, 0);
    if (bytes > state.limits.max_upload_mb * MEGA) return say(`The upload is over the limit of ${state.limits.max_upload_mb.toLocaleString("en")} MB; send it in parts, or raise INTERVAL_MAX_UPLOAD_MB.`);
    report.hidden = false;
    close.hidden = each.hidden = true;
    fill(outcomes);
    status.textContent = `Sending ${plural(list.length, "file")}`;
    bar(0);
    running = upload("/api/upload", list, (done, total) => bar((0.6 * done) / total), (line) => heard(line));
    const before = running;
    await attempt(() => before.done);
    running = null;
    close.hidden = false;
    if (!outcomes.children.length) report.hidden = true;
    return undefined;
  };
  const heard = (line) => {
    if (line.error) return say(line.error);
    if (line.report) return finished(line);
    status.textContent = `Reading ${line.done} of ${plural(line.total, "file")}`;
    bar(0.6 + (0.4 * line.done) / Math.max(1, line.total));
    return undefined;
  };
  const finished = async ({ report: done, hang }) => {
    bar(null);
    const count = (outcome) => done.files.filter((file) => file.outcome === outcome).length;
    status.textContent = ["imported", "duplicate", "skipped", "refused"].filter(count).map((outcome) => `${count(outcome)} ${outcome}`).join(", ") || "Nothing was in it";
    const order = ["refused", "skipped", "duplicate", "imported"];
    const sorted = [...done.files].sort((a, b) => order.indexOf(a.outcome) - order.indexOf(b.outcome));
    fill(outcomes, sorted.slice(0, 400).map(outcome), sorted.length > 400 && h("li.quiet", {}, `and ${sorted.length - 400} more`));
    each.hidden = false;
    unfold(count("refused") + count("skipped") > 0);
    if (hang) {
      leave();
      show(hang.slots, hang.relation);
    }
    const found = await attempt(() => get("/api/library"));
    if (found) update({ patients: found.patients, cases: found.cases });
  };
  dropAnywhere(send);
  return h("section.uploader", { "aria-label": "Upload" },
    h("div.zone", {}, h("p", {}, icon("upload"), h("strong", {}, "Drop studies here"), h("span.quiet", {}, "DICOM, NIfTI, PNG, JPEG, TIFF, zip")),
      h("button.button.small", { type: "button", onclick: () => files.click() }, "Files"), h("button.button.small", { type: "button", onclick: () => folder.click() }, "Folder"), files, folder),
    report);
}

function outcome(file) {
  const name = file.path.split("/").at(-1);
  const reason = file.reason.startsWith(`${file.path}: `) ? file.reason.slice(file.path.length + 2) : file.reason;
  return h(`li.outcome.${file.outcome}`, { dataset: { outcome: file.outcome } }, icon(MARKS[file.outcome]), h("div", {}, h("p.clip", { title: file.path }, h("strong", {}, name), h("em", {}, file.outcome)), reason && h("span", {}, sentence(reason))));
}

function dropAnywhere(send) {
  const veil = h("div.veil", { hidden: true }, h("p", {}, icon("upload"), "Drop to import"));
  let depth = 0;
  const ours = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!ours(event)) return;
    depth += 1;
    if (!veil.isConnected) document.querySelector(".iv.app").append(veil);
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (ours(event) && (depth -= 1) <= 0) veil.hidden = true;
  });
  addEventListener("dragover", (event) => ours(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!ours(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    send(await dropped(event.dataTransfer));
  });
}

/** Every file of a drop, folders walked through, named by their path. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
      found.push({ file, name: entry.fullPath.replace(/^\//, "") });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}
