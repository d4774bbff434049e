// Upload: files, folders or an archive, by drop anywhere or by choice, with progress and the outcome of every file.
import { get, upload } from "./api.js";
import { fill, h, icon, iconButton, plural, sentence } from "./dom.js";
import { show } from "./hang.js";
import { filled, state, update } from "./state.js";
import { attempt, say } from "./toast.js";

const MARKS = { imported: "check", duplicate: "copy", skipped: "minus", refused: "warning" };
const MEGA = 1024 * 1024;

export function uploader() {
  const files = h("input", { type: "file", multiple: true, hidden: true, dataset: { testid: "files" } });
  const folder = h("input", { type: "file", webkitdirectory: true, hidden: true, dataset: { testid: "folder" } });
  const status = h("p.status", { role: "status", dataset: { testid: "upload-status" } });
  const track = h("div.track", { role: "progressbar", "aria-label": "Upload", "aria-valuemin": "0", "aria-valuemax": "100" }, h("div.fill"));
  const outcomes = h("ul.outcomes", { dataset: { testid: "outcomes" } });
  const halt = h("button.button.small", { type: "button", hidden: true, onclick: () => running?.abort(), dataset: { testid: "stop-upload" } }, icon("stop"), "Stop");
  const close = iconButton("close", "Close this list", () => { report.hidden = true; }, { classes: "plain small" });
  const each = h("button.button.plain.small", { type: "button", hidden: true, onclick: () => unfold(outcomes.hidden) });
  const unfold = (wide) => {
    outcomes.hidden = !wide;
    each.textContent = wide ? "Hide" : "Each file";
    each.setAttribute("aria-expanded", String(wide));
  };
  const report = h("div.report", { hidden: true, dataset: { testid: "report" } }, h("div.head", {}, status, each, halt, close), track, outcomes);
  const chosen = (input) => {
    send([...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    input.value = "";
  };
  files.addEventListener("change", () => chosen(files));
  folder.addEventListener("change", () => chosen(folder));
  let busy = false;
  let running = null;
  let lost = [];
  let before = "";

  const bar = (part) => {
    track.hidden = part === null;
    track.setAttribute("aria-valuenow", String(Math.round(100 * (part ?? 0))));
    track.firstChild.style.width = `${100 * (part ?? 0)}%`;
  };
  const send = async (offered, unread = []) => {
    if (!offered.length && !unread.length) return undefined;
    if (busy) return say("An upload is on its way; the next can begin when it is read.");
    busy = true;
    close.hidden = true; // at once: the list that is shown is the last upload's
    try {
      await sent(offered, unread);
    } finally {
      busy = close.hidden = false;
    }
    return undefined;
  };
  const sent = async (offered, unread) => {
    before = doing();
    const { list, failed } = await readable(offered);
    lost = [...unread, ...failed].map((name) => ({ path: name, outcome: "refused", reason: "could not be read by the browser" }));
    const bytes = list.reduce((sum, { file }) => sum + file.size, 0);
    if (bytes > state.limits.max_upload_mb * MEGA) return say(`The upload is over the limit of ${state.limits.max_upload_mb.toLocaleString("en")} MB; send it in parts, or raise INTERVAL_MAX_UPLOAD_MB.`);
    report.hidden = false;
    each.hidden = true;
    fill(outcomes);
    if (list.length) await carry(list);
    else tell([]);
    halt.hidden = true;
    if (!outcomes.children.length) report.hidden = true;
    return undefined;
  };
  const carry = async (list) => {
    status.textContent = `Sending ${plural(list.length, "file")}`;
    bar(0);
    halt.hidden = false;
    const onSent = (done, total) => {
      bar((0.6 * done) / total);
      halt.hidden = done >= total;
    };
    const told = [];
    running = upload("/api/upload", list, onSent, (line) => told.push(heard(line)));
    try {
      await running.done;
      await Promise.all(told); // the list of studies too
    } catch (error) {
      say(error.name === "AbortError" ? "The upload was stopped; nothing of it was kept." : error.message, error.name === "AbortError" ? "good" : "bad");
    }
    running = null;
  };
  const heard = (line) => {
    if (line.error) return say(line.error);
    if (line.report) return finished(line);
    status.textContent = `Reading ${line.done} of ${plural(line.total, "file")}`;
    bar(0.6 + (0.4 * line.done) / Math.max(1, line.total));
    return undefined;
  };
  const tell = (read) => {
    bar(null);
    const files = [...lost, ...read];
    const count = (outcome) => files.filter((file) => file.outcome === outcome).length;
    status.textContent = ["imported", "duplicate", "skipped", "refused"].filter(count).map((outcome) => `${count(outcome)} ${outcome}`).join(", ") || "Nothing was in it";
    const order = ["refused", "skipped", "duplicate", "imported"];
    const sorted = files.sort((a, b) => order.indexOf(a.outcome) - order.indexOf(b.outcome));
    fill(outcomes, sorted.slice(0, 400).map(outcome), sorted.length > 400 && h("li.quiet", {}, `and ${sorted.length - 400} more`));
    each.hidden = false;
    unfold(count("refused") + count("skipped") > 0);
  };
  const finished = async ({ report: done, hang }) => {
    tell(done.files);
    const open = () => show(hang.slots, hang.relation);
    if (hang && !state.running && state.place === "read" && (!filled().length || doing() === before)) open();
    else if (hang) say("The upload is read; what you have open stays.", "good", ["Open", open]);
    const found = await attempt(() => get("/api/library"));
    if (found) update({ patients: found.patients, cases: found.cases });
  };
  dropAnywhere(send);
  return h("section.uploader", { "aria-label": "Upload" },
    h("div.zone", {}, h("p", {}, icon("upload"), h("strong", {}, "Drop studies here"), h("span.quiet", {}, "DICOM, NIfTI, PNG, JPEG, TIFF, zip")),
      h("button.button.small", { type: "button", onclick: () => files.click() }, "Files"), h("button.button.small", { type: "button", onclick: () => folder.click() }, "Folder"), files, folder),
    report);
}

/** What the reader is at; an upload that ends opens itself only when this is what it was. */
const doing = () => JSON.stringify([
  filled().map((slot) => [slot.series.id, slot.frame, slot.role, slot.window]),
  state.session?.id,
  state.drawn,
  document.querySelector(".talk.covered") !== null,
  state.turns.map((turn) => turn.versions.length),
  document.getElementById("iv-question")?.value,
]);

/** Files the browser can read, and the names of those that it cannot: one of them would break off the whole upload. */
async function readable(list) {
  const tried = await Promise.allSettled(list.map(({ file }) => file.slice(0, 1).arrayBuffer()));
  const could = (_, at) => tried[at].status === "fulfilled";
  return { list: list.filter(could), failed: list.filter((one, at) => !could(one, at)).map(({ name }) => name) };
}

function outcome(file) {
  const name = file.path.split("/").at(-1);
  const reason = file.reason.startsWith(`${file.path}: `) ? file.reason.slice(file.path.length + 2) : file.reason;
  return h(`li.outcome.${file.outcome}`, { dataset: { outcome: file.outcome } }, icon(MARKS[file.outcome]), h("div", {}, h("p.clip", { title: file.path }, h("strong", {}, name), h("em", {}, file.outcome)), reason && h("span", {}, sentence(reason))));
}

function dropAnywhere(send) {
  const veil = h("div.veil", { hidden: true }, h("p", {}, icon("upload"), "Drop to import"));
  let depth = 0;
  let inside = false; // a drag that began in this page, whatever it carries
  const ours = (event) => !inside && event.dataTransfer?.types.includes("Files");
  const end = () => {
    inside = false;
    depth = 0;
    veil.hidden = true;
  };
  addEventListener("dragstart", () => {
    inside = true;
    addEventListener("pointermove", end, { once: true });
  }, true);
  addEventListener("dragend", end, true);
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
    const { found, lost } = await dropped(event.dataTransfer);
    send(found, lost);
  });
  addEventListener("drop", () => {
    veil.hidden = true;
    depth = 0;
  }, true);
}

/** Every file of a drop, folders walked through, named by their path; `lost` are the entries the browser could not read. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return { found: [...transfer.files].map((file) => ({ file, name: file.name })), lost: [] };
  const found = [];
  const lost = [];
  const named = (entry) => entry.fullPath.replace(/^\//, "");
  const tried = (entry) => walk(entry).catch(() => lost.push(named(entry)));
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => { entry.file(resolve, reject); });
      found.push({ file, name: named(entry) });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
      if (!some.length) return;
      for (const one of some) await tried(one);
    }
  };
  for (const entry of entries) await tried(entry);
  return { found, lost };
}
