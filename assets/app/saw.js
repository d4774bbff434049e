// "What the model saw": exactly the pixels of one answer in order, the words around them, and how it was made.
import { get } from "./api.js";
import { unseen } from "./calibration.js";
import { fill, h, icon, moment, seconds } from "./dom.js";
import { looked } from "./looked.js";
import { state } from "./state.js";

const short = (digest) => (digest ? digest.slice(0, 12) : "none");

export async function saw(box, session, turn, version) {
  const base = `/api/sessions/${session}/turns/${turn}/versions/${version}`;
  const seen = await get(`${base}/saw`);
  const tiles = seen.images.map(tile);
  const told = state.turns.some((one) => one.id < turn && one.versions.some((each) => each.text && unseen(each) && seen.prompt.includes(each.text)));
  fill(box,
    h("ol.tiles", {}, tiles),
    looked(base, seen.engine, tiles),
    h("h3.caps", {}, "Prompt, as the model read it"),
    told ? h("p.quiet", { dataset: { testid: "prompt-withheld" } }, "The prompt repeats an earlier answer that is withheld: show that answer first.") : h("pre.prompt", { tabindex: "0", dataset: { testid: "prompt" } }, seen.prompt || "not kept"),
    h("dl.facts", {}, facts(seen).map(([name, value]) => [h("dt", {}, name), h("dd.number", {}, value)])));
}

function tile(image) {
  return h("li.tile", { dataset: { testid: "tile", same: String(image.same) } },
    h("div.pixels", {}, h("img", { src: image.url, draggable: "false", alt: `Image ${image.number} as the model was given it` }), h("span.place", {}, String(image.number))),
    h("p.role", {}, [image.role || "no role", image.when].filter(Boolean).join(", ")),
    h("p.quiet", {}, image.series),
    image.marks.length > 0 && h("p.drawn", {}, icon("edit"), `Drawn in: ${image.marks.join(", ")}`),
    h(`p.hash.${image.same ? "same" : "other"}`, { title: `SHA-256 ${image.sha256}` }, icon(image.same ? "check" : "warning"), image.same ? `same pixels, ${short(image.sha256)}` : "pixels differ from those kept"));
}

function encoded(now, all) {
  if (now === undefined) return null;
  return now >= all ? `${all} of ${all}` : `${now} of ${all}; ${all - now} kept from before`;
}

function facts(seen) {
  const { options, timings } = seen;
  const given = (name) => (options[name] === undefined ? null : String(options[name]));
  return [
    ["Model", seen.model],
    ["Engine", seen.engine],
    ["Model SHA-256", h("span", { title: seen.model_digest }, short(seen.model_digest))],
    ["Adapter SHA-256", h("span", { title: seen.adapter_digest }, short(seen.adapter_digest))],
    ["Made", h("span", { title: seen.made }, moment(seen.made))],
    ["Given as", seen.images[0]?.tile ? `${seen.images[0].tile} × ${seen.images[0].tile} pixels each` : null],
    ["Temperature", given("temperature")],
    ["Seed", given("temperature") && Number(options.temperature) > 0 ? String(seen.seed) : null],
    ["Longest answer", given("max_tokens") && `${given("max_tokens")} tokens`],
    ...seen.clinical.map(([name, text]) => [`Told: ${name.toLowerCase()}`, text]),
    ["Context used", timings.prompt_tokens ? `${timings.prompt_tokens + (timings.tokens ?? 0)} tokens, ${timings.reused_tokens ?? 0} kept from before` : null],
    ["Images encoded", encoded(timings.images_encoded, seen.images.length)],
    ["First word after", timings.first_token_s ? seconds(timings.first_token_s) : null],
    ["Whole answer", timings.total_s ? seconds(timings.total_s) : null],
    ["Mean log-probability of a token", seen.mean_probability ? `${Math.log(seen.mean_probability).toFixed(2)} (not calibrated)` : null],
  ].filter(([, value]) => value);
}
