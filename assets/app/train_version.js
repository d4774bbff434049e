// One dataset version: what it holds, what it shares with gates and benchmark, what was left out and why.
import { h, icon, moment, plural } from "./dom.js";

const GROUPS = [["source", "Source"], ["kind", "How it came about"], ["label", "Label"], ["ability", "Ability"], ["modality", "Modality"], ["code", "Preferences by code"]];

export function versionView(name, hands) {
  const version = hands.known().versions.find((one) => one.name === name);
  const counts = version.counts;
  const left = Object.entries(version.left_out ?? {});
  const element = h("article.trainview", { dataset: { testid: "version" } },
    h("header.viewhead", {},
      h("div", {}, h("h1", {}, version.name), h("p.quiet", {}, `Built ${moment(version.created)}, never changed since. `, h("span.hash", { title: version.sha256 }, version.sha256.slice(0, 16)))),
      h("button.button.main", { type: "button", dataset: { testid: "train-on" }, onclick: () => hands.choose({ kind: "order", name }) }, icon("play"), "Train on it")),
    h("dl.figures", {},
      figure("To learn from", counts.train), figure("Held back", counts.held), figure("Preferences", counts.preferences),
      figure("Patients", counts.patients), figure("Images", version.images.count)),
    h("section.block", {}, h("h2", {}, "Composition"), h("div.bars", {}, GROUPS.map(([key, words]) => bars(words, counts[key] ?? {})))),
    leakage(version),
    left.length > 0 && h("section.block", {}, h("h2", {}, "Left out"),
      h("table.plain.short", {}, h("tbody", {}, left.map(([cause, count]) => h("tr", {}, h("th", { scope: "row" }, cause), h("td.number", {}, count))))),
      version.missing_images > 0 && h("p.quiet", {}, `${plural(version.missing_images, "image")} under no folder; the version's manifest.json lists them.`)),
    h("section.block", {}, h("h2", {}, "Made from"),
      h("table.plain.short", {}, h("tbody", {}, (version.sources ?? []).map((one) => h("tr", {}, h("th", { scope: "row" }, one.name), h("td.number", {}, plural(one.items, "item")), h("td.hash", { title: one.sha256 }, one.sha256.slice(0, 12)))))),
      h("p.quiet", {}, `${Math.round(100 * (version.held_share ?? 0))} % of patients held back by the hash of their name, ${version.quota ? `at most ${plural(version.quota, "item")}` : "as many items as there are"} of one reader${version.checked_against ? `, every item fits ${version.checked_against}` : ""}.`)));
  return { element };
}

const figure = (words, value) => h("div", {}, h("dt", {}, words), h("dd.number", {}, value.toLocaleString("en")));

/** Counts as bars, the largest first. */
function bars(title, counts) {
  const found = Object.entries(counts).sort((one, other) => other[1] - one[1]);
  if (!found.length) return null;
  const most = Math.max(...found.map(([, count]) => count));
  return h("figure.countbars", {}, h("figcaption", {}, title),
    found.map(([name, count]) => h("div.countbar", {}, h("span.clip", { title: name }, name), h("span.bar", {}, h("span", { style: { width: `${(100 * count) / most}%` } })), h("span.number", {}, count.toLocaleString("en")))));
}

function leakage(version) {
  const reports = [...(version.gates ?? []).map((one) => [one, true]), ...(version.compared ?? []).map((one) => [one, false])];
  if (!reports.length) return h("section.block", {}, h("h2", {}, "Leakage"), h("p.quiet", {}, "Compared with no benchmark file. Examples and held-back items share no patient and no image."));
  const rows = reports.flatMap(([report, gate]) => report.rows.map((row) => ({ ...row, file: report.file, gate })));
  return h("section.block", {}, h("h2", {}, "Leakage"),
    h("table.plain.leaks", { dataset: { testid: "leakage" } },
      h("thead", {}, h("tr", {}, ["File", "Collection", "Items", "Same pair", "Same patient", "Same image"].map((words) => h("th", { scope: "col" }, words)))),
      h("tbody", {}, rows.map((row) => h("tr", {},
        h("td", {}, row.file.replace(/^Med_MIM_benchmark_|\.json$/g, "").replaceAll("_", " "), row.gate && h("span.tag.good", {}, "gate")), h("td", {}, row.collection), h("td.number", {}, row.items),
        [row.pair, row.patient, row.image].map((count) => h("td.number", { "data-bad": count ? "true" : null }, count)))))));
}
