// The reviewers' queue: what waits, narrowed by what it is, the most instructive first.
import { get, post } from "./api.js";
import { h, icon, menu, moment, refill, setOptions } from "./dom.js";
import { shortOf } from "./statement.js";
import { on, state } from "./state.js";
import { attempt } from "./toast.js";

const STATES = [["", "All"], ["pending", "Pending"], ["in work", "In work"], ["submitted", "Submitted"], ["disputed", "Disputed"], ["adjudicated", "Adjudicated"], ["skipped", "Skipped"]];
const ORDERS = [["smart", "Smart order"], ["oldest", "Oldest first"], ["newest", "Newest first"]];
const PAGE = 50;
const AGAIN = 15_000; // milliseconds until a queue that is looked at is asked for again

export const BLIND = "interval.blind";
/** Whether this reviewer judges before they see what others said. */
export const judgesFirst = () => { try { return localStorage.getItem(BLIND) === "1"; } catch { return false; } };

/** `open(id)` is called for a line, `next()` for the button; returns its element, `draw(item)`, told of the case that is open now, and
 * what it is narrowed to. A case that is held stands in the list whatever that is narrowed to: taking it moved it to "in work". */
export function queue(open, next) {
  let chosen = { state: "pending", ability: "", modality: "", model: "", code: "", reader: 0, order: "smart", mine: true };
  let offset = 0;
  let asked = 0;
  let opened = null;
  const list = h("ol.caselines", { dataset: { testid: "queue" } });
  const foot = h("div.queuefoot");
  const states = h("div.narrow", { role: "group", "aria-label": "State", dataset: { testid: "queue-states" } });
  const narrow = (changes) => {
    chosen = { ...chosen, ...changes };
    offset = 0;
    return draw();
  };
  const pick = (label, name, options, number = false) => menu(label, options, String(chosen[name]), (value) => narrow({ [name]: number ? Number(value) : value }), { classes: "small", dataset: { filter: name } });
  const picks = {
    order: pick("Order", "order", ORDERS),
    ability: pick("Ability", "ability", [["", "Any ability"]]),
    modality: pick("Modality", "modality", [["", "Any modality"]]),
    model: pick("Model", "model", [["", "Any model"]]),
    code: pick("Error code", "code", [["", "Any error"]]),
    reader: pick("Reader", "reader", [["0", "Any reader"]], true),
  };
  const mine = h("input", { type: "checkbox", checked: chosen.mine, "data-testid": "mine", onchange: () => narrow({ mine: mine.checked }) });
  const facets = async () => {
    const found = await get("/api/review/facets").catch(() => null);
    if (!found) return;
    setOptions(picks.ability, [["", "Any ability"], ...found.abilities.map((one) => [one, one])], chosen.ability);
    setOptions(picks.modality, [["", "Any modality"], ...found.modalities.map((one) => [one, one])], chosen.modality);
    setOptions(picks.model, [["", "Any model"], ...found.models.map((one) => [one, one])], chosen.model);
    setOptions(picks.code, [["", "Any error"], ...found.codes.map((one) => [one, shortOf(one)])], chosen.code);
    setOptions(picks.reader, [["0", "Any reader"], ...found.readers.map(([id, name]) => [String(id), name || `Reader ${id}`])], String(chosen.reader));
  };
  const draw = async (item) => {
    opened = item ?? opened;
    const turn = (asked += 1);
    const page = await attempt(() => post(`/api/review/queue?offset=${offset}&limit=${PAGE}`, chosen));
    if (turn !== asked) return;
    clearTimeout(timer);
    if (state.place === "review") timer = setTimeout(() => draw(), AGAIN);
    if (!page) return;
    if (offset && offset >= page.total) { // others took what stood there
      offset = Math.max(0, Math.ceil(page.total / PAGE) - 1) * PAGE;
      return void draw();
    }
    const all = Object.values(page.counts).reduce((sum, count) => sum + count, 0);
    refill(states, STATES.map(([name, words]) => h("button.narrowing", { type: "button", "aria-pressed": String(chosen.state === name), onclick: () => narrow({ state: name }), dataset: { state: name, key: name || "all" } }, h("span", {}, words), h("span.number", {}, String(name ? (page.counts[name] ?? 0) : all)))));
    const apart = opened?.id === state.case && opened.holder === state.me.id && !page.items.some((one) => one.id === opened.id) ? [opened] : [];
    refill(list, page.items.length + apart.length ? [...apart, ...page.items].map(line) : h("li.quiet.none", {}, all ? "Nothing of these filters." : "Nothing waits. Feedback that readers give on answers stands here."));
    const last = Math.min(offset + PAGE, page.total);
    refill(foot, page.total > PAGE && [
      h("button.button.plain.small", { type: "button", disabled: offset === 0, onclick: () => { offset = Math.max(0, offset - PAGE); draw(); }, dataset: { key: "before" } }, "Before"),
      h("span.number.quiet", {}, `${offset + 1} – ${last} of ${page.total}`),
      h("button.button.plain.small", { type: "button", disabled: last >= page.total, onclick: () => { offset += PAGE; draw(); }, dataset: { testid: "queue-on", key: "next" } }, "Next")]);
  };
  let timer = 0;
  const line = (item) => {
    const own = item.reader === state.me.id;
    const who = own ? "you" : item.reader_name || `reader ${item.reader}`;
    const badge = item.holder ? "in work" : item.state;
    const untold = judgesFirst() && !own && ["pending", "skipped"].includes(item.state);
    const words = item.holder ? (item.holder === state.me.id ? "yours" : `held by ${item.holder_name || `reader ${item.holder}`}`) : item.state;
    return h("li", {}, h("button.caseline", { type: "button", "aria-current": state.case === item.id ? "true" : null, onclick: () => open(item.id), dataset: { item: item.id, key: item.id, state: badge, testid: "queue-line" } },
      h("span.first", {}, h("strong.clip", {}, untold ? `Case ${item.id}` : item.codes.length ? item.codes.map(shortOf).join(", ") : item.verdict === "agree" ? "Agreed" : item.verdict === "disagree" ? "Wrong, not said how" : "Corrected"), h("span.casestate", { dataset: { state: badge } }, words)),
      h("span.question-line.clip", {}, item.question),
      h("span.quiet.clip.number", {}, [item.ability, item.modality, who, moment(item.created)].filter(Boolean).join(" · "))));
  };
  on("case", () => {
    for (const one of list.querySelectorAll(".caseline")) {
      if (one.dataset.item === String(state.case)) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
  });
  on("place", () => { if (state.place === "review") facets(); else clearTimeout(timer); });
  facets();
  const element = h("aside.queue", { "aria-label": "Queue of cases" },
    h("header.queuehead", {}, h("h2", {}, "Review"), h("button.button.main.small", { type: "button", onclick: next, title: "Take the next free case (G)", dataset: { testid: "next-case" } }, icon("right"), "Next case")),
    states,
    h("details.filters", { dataset: { testid: "filters" } }, h("summary", {}, "Order and filters"), h("div.picks", {}, Object.values(picks)), h("label.mine", {}, mine, "Only what I may judge")),
    list, foot);
  return { element, draw, narrow, filters: () => ({ ...chosen }) };
}
