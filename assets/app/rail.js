// The left rail: upload, studies by patient, demo cases, sessions.
import { day, fill, h, icon, iconButton, plural, redraw } from "./dom.js";
import { hangStudies, openPatient, place } from "./hang.js";
import { sessions } from "./sessions.js";
import { filled, on, state, update } from "./state.js";
import { uploader } from "./upload.js";

const opened = new Set();
let wanted = "";

export function rail() {
  const list = h("div.list", { dataset: { testid: "studies" } });
  const search = h("input", { type: "search", placeholder: "Find a patient or study", "aria-label": "Find a patient or study", oninput: () => { wanted = search.value.trim().toLowerCase(); draw(); } });
  const shown = () => filled().map((slot) => `${slot.series.id}:${slot.role}`).join();
  let drawn = "";
  const draw = () => {
    drawn = shown();
    const patients = state.patients.filter(fits);
    const rank = (patient) => state.cases.indexOf(caseOf(patient));
    const demo = patients.filter(caseOf).sort((a, b) => rank(a) - rank(b));
    const real = patients.filter((patient) => !demo.includes(patient));
    search.parentElement?.toggleAttribute("hidden", state.patients.length < 7 && !wanted);
    redraw(list, () => {
      const held = [...list.querySelectorAll("button")].indexOf(document.activeElement);
      fill(list, group("Your studies", real, state.patients.length > demo.length ? "Nothing fits." : "None yet. Drop files here or anywhere on the page."), demo.length > 0 && group("Demo cases, synthetic", demo));
      if (held >= 0) list.querySelectorAll("button")[held]?.focus({ preventScroll: true });
    });
  };
  on("cases", draw);
  on("patients", () => {
    draw();
    list.querySelector(".mark")?.closest(".patient")?.scrollIntoView({ block: "nearest" });
  });
  on("slots", () => {
    if (shown() === drawn) return;
    draw();
    list.querySelector(".mark")?.closest(".patient")?.scrollIntoView({ block: "nearest" });
  });
  const element = h("aside.rail", { "aria-label": "Studies and sessions" }, uploader(), h("section.studies", { "aria-label": "Studies" }, h("div.find", {}, search), list), sessions());
  draw();
  return element;
}

/** The demo case a patient is, if it is one. */
const caseOf = (patient) => state.cases.find((one) => patient.studies.some((study) => one.study_ids.includes(study.id)));

function fits(patient) {
  if (!wanted) return true;
  const words = [patient.pseudonym, caseOf(patient)?.title, ...patient.studies.flatMap((study) => [study.description, day(study.acquired), ...study.modalities, ...study.series.map((one) => one.description)])];
  return words.some((word) => (word ?? "").toLowerCase().includes(wanted));
}

function group(title, patients, none) {
  return h("div.group", {}, h("h2.caps", {}, title), patients.length ? h("ul", {}, patients.map(patientItem)) : h("p.quiet.none", {}, none));
}

function patientItem(patient) {
  const { studies } = patient;
  const shown = new Map(filled().map((slot) => [slot.series.id, slot.role]));
  const made = caseOf(patient);
  const about = [patient.sex, patient.birth_year && `born ${patient.birth_year}`].filter(Boolean).join(", ");
  const many = studies.length > 1 ? plural(studies.length, "time point") : studies[0]?.modalities.join(", ");
  const all = () => hangStudies((made?.study_ids ?? studies.map((study) => study.id)).slice(-state.limits.max_images), made?.ability);
  const open = () => (made ? all() : openPatient(patient.id));
  const title = made ? `Compare ${plural(studies.length, "time point")}, oldest first` : studies.length > 1 ? "Compare the newest study with its most relevant prior" : "Open";
  return h("li.patient", { dataset: { testid: "patient", pseudonym: patient.pseudonym } },
    h("button.case", { type: "button", title, onclick: open },
      h(made ? "span.name.made" : "span.name.clip", { title: patient.pseudonym }, made?.title ?? patient.pseudonym), !made && h("span.quiet.clip", {}, [about, many].filter(Boolean).join(" · ")), (made || studies.length === 2) && icon("case")),
    !made && studies.length > 2 && iconButton("grid", `All ${plural(studies.length, "time point")}, oldest first`, all, { classes: "plain small every", "data-testid": "every" }),
    h("ul", {}, studies.map((study) => studyItem(study, shown))));
}

function studyItem(study, shown) {
  const open = opened.has(study.id);
  const first = study.series[0];
  const role = study.series.map((series) => shown.get(series.id)).find((value) => value !== undefined);
  const several = study.series.length > 1;
  const click = () => {
    if (!several) return place(first.id);
    if (opened.has(study.id)) opened.delete(study.id);
    else opened.add(study.id);
    return update({ patients: state.patients });
  };
  const row = h("button.study", { type: "button", onclick: click, disabled: !first, draggable: several ? null : "true", ondragstart: drag(first), "aria-expanded": several ? String(open) : null, title: several ? "Show its series" : "Put it into the marked viewport", dataset: { testid: "study", study: study.id } },
    first && h("img.thumb", { src: `/pixels/${first.id}/${Math.floor(first.frames / 2)}.jpg?size=96`, alt: "", draggable: "false", loading: "lazy", width: "34", height: "34" }),
    h("span.lines", {}, h("span.number", {}, day(study.acquired)), h("span.quiet.clip", {}, [study.modalities.join(", "), (study.description || first?.description || "").replace(/^SYNTHETIC /, ""), several && plural(study.series.length, "series", "series")].filter(Boolean).join(" · "))),
    role !== undefined && h("span.mark", { dataset: { role: role.startsWith("time") ? "time" : role }, title: `On the screen${role ? ` as ${role}` : ""}` }));
  return h("li", {}, row, several && open && h("ul.series", {}, study.series.map((series) => seriesItem(series, shown))));
}

function seriesItem(series, shown) {
  const words = [series.description || series.view || series.body_part || series.modality, series.plane, series.frames > 1 && plural(series.frames, "image")].filter(Boolean).join(" · ");
  return h("li", {}, h("button.one", { type: "button", draggable: "true", ondragstart: drag(series), onclick: () => place(series.id), title: "Put it into the marked viewport", dataset: { testid: "series", series: series.id } },
    h("span.number.quiet", {}, series.number === null ? "·" : String(series.number)), h("span.clip", {}, words), shown.has(series.id) && h("span.mark", { dataset: { role: shown.get(series.id) } })));
}

const drag = (series) => (event) => {
  event.dataTransfer.setData("application/x-interval-series", String(series.id));
  event.dataTransfer.effectAllowed = "copy";
};
