// The Review work space: the queue at the left, the case on the stage in the middle, what is said of it at the right. A case that is
// opened is held for this reviewer as long as it is looked at, and let go when they go elsewhere.
import { get, post } from "./api.js";
import { fill, h, icon, moment } from "./dom.js";
import { fateLine, flagList } from "./flags.js";
import { forecastMark } from "./forecast.js";
import { lend } from "./guest.js";
import { guidelines } from "./guidelines.js";
import { agreement } from "./agreement.js";
import { BLIND, judgesFirst, queue } from "./queue.js";
import { inWords, offer, statementForm } from "./statement.js";
import { on, state, update } from "./state.js";
import { attempt, say } from "./toast.js";
import { addCommand } from "./toolbar.js";

const RENEW = 60_000; // milliseconds between renewals of a hold, as long as its reviewer is at it
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { /* this tab alone knows */ } };

Object.assign(state, { me: null, case: null, wanted: state.wanted ?? null }); // wanted: the case that another work space asks to see here

/** The two parts of the work space beside the stage. */
export async function review() {
  update({ me: await get("/api/me") });
  if (!state.me.rights.includes("review")) return [notAllowed()];
  const desk = new Desk();
  addCommand({ id: "next-case", words: "Take the next case", group: "Review", keys: ["g"], run: () => desk.next(), enabled: () => state.place === "review" });
  addCommand({ id: "skip-case", words: "Leave this case to another", group: "Review", keys: ["Shift+s"], run: () => desk.decide("skipped"), enabled: () => state.place === "review" && desk.held });
  on("place", () => (state.place === "review" ? desk.enter() : desk.leave()));
  if (state.place === "review") desk.enter(); // whoever went on while this was loaded keeps their images
  return [desk.lists.element, desk.pane];
}

function notAllowed() {
  const { id, role } = state.me;
  return h("section.page.barred", { "aria-label": "Review", dataset: { testid: "review-refused" } }, h("div.nothing", {},
    h("h2", {}, "Reviewing needs the role annotator"),
    h("p", {}, `You are reader ${id} with the role ${role}. Whoever looks after Interval can change that at its terminal:`),
    h("code.command", {}, `python app.py users role ${id} annotator`),
    h("p.quiet", {}, "Then reload this page. A reader's own feedback is always judged by somebody else.")));
}

class Desk {
  constructor() {
    this.lists = queue((id) => this.open(id), () => this.next());
    this.body = h("div.casebody");
    this.rest = h("div.caserest");
    this.pane = h("section.casepane", { "aria-label": "Case under review", dataset: { testid: "case-pane" } }, this.body, this.rest);
    this.beside = "guidelines"; // what stands below the case, also below the next one
    this.number = null; // item id
    this.held = false;
    this.asked = null; // the case that was asked for last
    this.opening = Promise.resolve();
    this.deciding = false;
    this.looked = new Set(); // cases whose voices were seen
    this.folded = null; // the case that is drawn with what others said folded; it stays so until that is asked for
    this.drawn = ""; // the case as it is drawn; where it is still that, what is typed into its form stays
    this.seen = ""; // when the case that is open was last changed, as far as this reviewer has seen
    this.timer = 0;
    this.stirred = false; // whether somebody was at this page since the last renewal
    for (const kind of ["pointermove", "keydown", "wheel"]) addEventListener(kind, () => { this.stirred = true; }, { capture: true, passive: true });
    addEventListener("pagehide", () => { if (this.held) fetch("/api/review/release", { method: "POST", keepalive: true, headers: { "content-type": "application/json" }, body: "{}" }); });
  }

  enter() {
    const number = state.wanted ?? this.number;
    state.wanted = null;
    if (number === null) {
      lend();
      this.nothing();
    } else this.open(number);
    this.lists.draw();
  }

  leave() {
    clearInterval(this.timer);
    if (this.held) this.release();
  }

  release() {
    this.held = false;
    return attempt(() => post("/api/review/release"));
  }

  nothing() {
    this.drawn = "";
    fill(this.body, h("div.nothing", {}, h("h2", {}, "Nothing is open"), h("p", {}, "Choose a case of the queue, or take the next one. It is yours for some minutes; nobody else can change it meanwhile."), h("button.button.main", { type: "button", onclick: () => this.next(), dataset: { testid: "take-next" } }, "Take the next case")));
    fill(this.rest, this.tabs());
  }

  async next() {
    const found = await attempt(() => post("/api/review/next", this.lists.filters()));
    if (found) return this.open(found.id);
    return found === null && say("No case of these filters is free for you now.", "good");
  }

  /** Show a case, one after the other: of those asked for meanwhile the last. */
  open(id) {
    this.asked = id;
    const opened = this.opening.then(() => (this.asked === id ? this.show(id) : undefined));
    this.opening = opened.catch(() => undefined);
    return opened;
  }

  /** Show a case; hold it when it is this reviewer's to judge. */
  async show(id) {
    const found = await attempt(() => get(`/api/review/items/${id}`));
    const form = await attempt(offer);
    if (!found || !form || this.asked !== id) return;
    clearInterval(this.timer);
    const had = this.held && this.number !== id;
    this.number = id;
    this.held = false;
    const why = this.barred(found.case);
    if (!why) {
      try {
        found.case.item = { ...found.case.item, ...(await post(`/api/review/items/${id}/take`)) };
        this.held = true;
        this.seen = found.case.item.updated;
        this.timer = setInterval(() => this.renew(id), RENEW);
      } catch (error) {
        found.barred = error.message;
      }
    } else found.barred = why;
    if (state.place !== "review") { // the reviewer went elsewhere meanwhile
      clearInterval(this.timer);
      this.release();
      return;
    }
    if (had && !this.held) await this.release();
    if (state.place !== "review") return;
    const blind = this.blind(found.case.item);
    const said = blind ? null : found.case.said.at(-1)?.mark;
    const marks = [...(said ? [said] : []), ...found.case.turn.marks];
    lend(found.slots, found.relation, drawnOn(marks, found.case.turn));
    found.lost.forEach((text) => say(text));
    update({ case: id });
    const drawn = JSON.stringify([id, found.case.item.updated, this.held, found.barred]);
    if (drawn !== this.drawn) this.draw(found, form);
    this.drawn = drawn;
    this.lists.draw(found.case.item);
  }

  /** Hold the case longer; one whose reviewer went away is free for others when its time is over. */
  async renew(id) {
    if (!this.stirred) return;
    this.stirred = false;
    try {
      await post(`/api/review/items/${id}/take`);
    } catch (error) {
      clearInterval(this.timer);
      this.held = false;
      say(error.message);
    }
  }

  /** Keep a decision; where the time was over, nobody else came and nothing changed, the case is taken again. */
  async keep(decision, value, blind) {
    const path = `/api/review/items/${this.number}`;
    const judge = () => post(`${path}/decision`, { decision, ...value, blind });
    try {
      return await judge();
    } catch (error) {
      if (error.status !== 409) throw error;
      if ((await post(`${path}/take`)).updated !== this.seen) throw error;
      return judge();
    }
  }

  /** Why this reviewer may not judge a case; '' when they may. */
  barred({ item, reviews }) {
    if (item.reader === state.me.id) return "This is what you said yourself; another reader must judge it.";
    if (["submitted", "adjudicated"].includes(item.state)) return item.accepted ? "Decided: it may train." : "Decided: it does not train.";
    if (reviews.some((one) => one.user === state.me.id)) return item.state === "disputed" ? "You judged this case; a third decides." : "You judged this case; another must confirm what you added.";
    if (item.state === "disputed" && !state.me.rights.includes("adjudicate")) return "Reader and reviewer contradict each other; an adjudicator decides.";
    return "";
  }

  /** Whether what others said of a case is folded: asked for before it was drawn, and not looked at. */
  blind(item) {
    return this.held && item.state !== "disputed" && !this.looked.has(item.id) && (judgesFirst() || this.folded === item.id);
  }

  draw(found, form) {
    const { item, turn, said, reviews, proposed, conflicts, rival } = found.case;
    const version = turn.versions[0];
    const blind = this.blind(item);
    this.folded = blind ? item.id : null;
    const before = h("div.voices", { dataset: { testid: "voices" } });
    let saw = !blind;
    const reveal = () => {
      saw = true;
      this.looked.add(item.id);
      fill(before, voices(item, said, reviews, conflicts), found.fate && h("p.fate", { dataset: { testid: "fate" } }, fateLine(found.fate)), rival && h("p.quiet", {}, "Preferred over: ", rival));
    };
    if (saw) reveal();
    else fill(before, h("button.button.small", { type: "button", onclick: () => { reveal(); if (untouched()) put(proposed); }, dataset: { testid: "show-voices" } }, icon("eye"), "Show what was said"));
    const place = h("div");
    let untouched = () => true;
    const put = (standing) => {
      if (!this.held) return;
      const others = [
        h("button.button.plain.small", { type: "button", onclick: () => this.decide("unusable", made.value(), !saw), title: "The images allow no judgement; say why in the comment", dataset: { testid: "unusable" } }, "Unusable"),
        h("button.button.plain.small", { type: "button", onclick: () => this.decide("skipped"), title: "Leave it to another (Shift S)", dataset: { testid: "skip" } }, "Skip"),
        h("label.blind", { title: "The form begins empty, and what others said stays folded until you ask for it; agreement counts such judgements apart" }, blindBox(), "Judge first")];
      const made = statementForm({ form, said: standing, findings: Object.keys(version.progression), overall: Boolean(version.checks.overall), answer: version.text, judge: true, words: item.state === "disputed" ? "Decide" : "Submit", comment: "Comment on this case", more: others, keep: (value) => this.decide("judged", value, !saw) });
      fill(place, saw && found.suggestion.answer !== standing.corrected_answer && suggested(found.suggestion, made), made.element);
      const empty = JSON.stringify(made.value());
      untouched = () => JSON.stringify(made.value()) === empty;
      made.focus();
    };
    fill(this.body,
      h("header.casehead", {}, h("h2", {}, `Case ${item.id}`), h("span.casestate", { dataset: { state: this.held ? "in work" : item.state, testid: "case-state" } }, this.held ? "yours" : item.state), h("span.quiet", {}, [turn.ability, item.modality, item.model].filter(Boolean).join(" · "))),
      h("p.question", {}, turn.question),
      forecastMark(turn.forecast),
      h("p.words", { dataset: { testid: "case-answer" } }, version.text || "The answer is empty."),
      before,
      found.barred && h("p.note", { role: "status", dataset: { testid: "barred" } }, icon("info"), found.barred),
      place);
    put(blind ? {} : proposed);
    fill(this.rest, this.tabs(blind ? undefined : proposed.codes[0]));
    this.body.scrollTop = 0;
  }

  /** Guidelines, agreement, and what became of one's own flags, below the case. */
  tabs(code) {
    const body = h("div");
    const make = {
      guidelines: () => guidelines(code),
      agreement: () => agreement(() => this.lists.narrow({ state: "disputed" })),
      flags: () => flagList((flag) => this.open(flag.item)),
    };
    const show = (name) => {
      this.beside = name;
      for (const one of bar.children) one.setAttribute("aria-selected", String(one.dataset.name === name));
      fill(body, make[name]());
    };
    const bar = h("div.resttabs", { role: "tablist", "aria-label": "Beside the case" }, [["guidelines", "Guidelines"], ["agreement", "Agreement"], ["flags", "Your flags"]].map(([name, words]) => h("button.kind", { type: "button", role: "tab", onclick: () => show(name), dataset: { name, testid: `rest-${name}` } }, words)));
    show(this.beside);
    return [bar, body];
  }

  async decide(decision, value = {}, blind = false) {
    if (this.deciding) return;
    this.deciding = true;
    const { number } = this;
    const done = await attempt(() => this.keep(decision, value, blind));
    this.deciding = false;
    if (!done) return;
    const words = { submitted: "Reader and reviewer agree; it may train.", pending: "Kept. What only you said waits for another.", disputed: "You contradict the reader; an adjudicator decides.", adjudicated: done.accepted ? "Decided; it may train." : "Decided; it does not train.", skipped: "Left to another." };
    say(words[done.state], "good");
    if (this.number !== number) return void this.lists.draw(); // another case is open by now
    clearInterval(this.timer);
    this.held = false;
    this.number = null;
    if (state.place !== "review") return;
    const found = await attempt(() => post("/api/review/next", this.lists.filters()));
    if (found) await this.open(found.id);
    else if (state.place === "review") {
      lend();
      update({ case: null });
      this.nothing();
    }
    this.lists.draw();
  }
}

function blindBox() {
  const box = h("input", { type: "checkbox", checked: judgesFirst(), "data-testid": "blind" });
  box.addEventListener("change", () => keep(BLIND, box.checked ? "1" : ""));
  return box;
}

/** Everybody who spoke of a case, in turn; what contradicts is marked. */
function voices(item, said, reviews, conflicts) {
  const line = (who, role, one, when, decision = "judged") => h("li.voice", { dataset: { role } },
    h("p", {}, h("strong", {}, who), " ", h("span.quiet", {}, `${role}, ${moment(when)}`)),
    h("p", {}, decision === "unusable" ? "Unusable" : one.verdict === "agree" ? "The answer is right" : one.verdict === "disagree" ? "The answer is wrong" : "Corrected", inWords(one).length > 0 && `: ${inWords(one).join(", ")}`),
    one.corrected_answer && h("p.corrected", {}, one.corrected_answer), one.comment && h("p.quiet", {}, one.comment));
  const name = (id, text) => (id === state.me.id ? "You" : text || `Reader ${id}`);
  const newest = said.at(-1);
  return [
    h("ol", {}, newest && line(name(item.reader, item.reader_name), "reader", newest, newest.created),
      reviews.map((one) => line(name(one.user, one.name), one.adjudicates ? "adjudicator" : one.blind ? "reviewer, before looking" : "reviewer", one.statement, one.created, one.decision))),
    said.length > 1 && h("details", {}, h("summary", {}, `${said.length - 1} earlier by the reader`), h("ol.history", {}, said.slice(0, -1).map((one) => h("li", {}, `${moment(one.created)}: ${[one.verdict, ...inWords(one), one.corrected_answer, one.comment].filter(Boolean).join(" · ")}`)))),
    conflicts.length > 0 && h("p.note", { dataset: { testid: "conflicts" } }, icon("warning"), `They contradict each other: ${conflicts.map((part) => (part === "codes" ? "what is wrong" : part === "answer" ? "the corrected answer" : part)).join(", ")}.`),
  ];
}

function suggested(found, made) {
  if (!found.answer) return null;
  const take = () => {
    const field = made.element.querySelector('[data-testid="corrected"]');
    field.value = found.answer;
    for (const [finding, name] of Object.entries(found.cells)) {
      const pick = made.element.querySelector(`select[data-finding="${CSS.escape(finding)}"]`);
      if (pick) {
        pick.value = name;
        pick.dispatchEvent(new Event("change"));
      }
    }
    field.focus();
  };
  return h("div.suggestion", { dataset: { testid: "suggestion" } }, h("p", {}, h("span.caps", {}, `Suggested, ${found.why}`), h("span", {}, found.answer)), h("button.button.small", { type: "button", onclick: take, dataset: { testid: "use-suggestion" } }, "Use it"));
}

/** Marks of a question or statement as the viewer draws them, on the slots of the case. */
function drawnOn(marks, turn) {
  return marks.flatMap((mark, number) => {
    const slot = turn.slots[mark.image];
    return slot ? [{ id: `shown-${number}`, kind: mark.kind, series_id: slot.series_id, frame: slot.frame, points: mark.points, label: mark.label, text: "", values: {} }] : [];
  });
}

