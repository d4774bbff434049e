// Two forms: a version of what reviewers let through, and a run on a version, with what it will take told before it starts.
import { get, post } from "./api.js";
import { fill, h, icon, menu, plural, setOptions } from "./dom.js";
import { attempt, say } from "./toast.js";
import { lasting } from "./train_words.js";

const METHODS = { sft: "learn the right answers (SFT)", dpo: "prefer the right answer to the wrong one (DPO)", kto: "wanted and unwanted answers (KTO)" };
const number = (label, value, extra) => h("input", { type: "text", inputmode: "decimal", "aria-label": label, value: String(value), ...extra });
const field = (words, control, help) => h("label.field", {}, h("span", {}, words), control, help && h("span.quiet", {}, help));

export function buildForm(_, hands) {
  const name = h("input", { type: "text", "aria-label": "Name", placeholder: "the next of v1, v2 ...", autocomplete: "off", dataset: { testid: "version-name" } });
  const generated = number("Generated pairs", 100, { "data-testid": "version-generated" });
  const reviewed = h("p.field", {}, h("span", {}, "Reviewed feedback"), h("span.quiet", {}, "counting ..."));
  attempt(async () => {
    const { items } = await get("/api/train/reviewed");
    fill(reviewed, h("span", {}, "Reviewed feedback"), h("strong.number", { dataset: { testid: "reviewed" } }, items), h("span.quiet", {}, items ? "corrections, cells and agreement that a second reader confirmed; nothing else goes in" : "nothing yet: corrections arrive here once a second reader confirmed them in Review"));
  });
  const held = number("Held back, per cent of patients", 10, {});
  const quota = number("Most items of one reader", 200, {});
  const button = h("button.button.main", { type: "submit", dataset: { testid: "build" } }, icon("stack"), "Build");
  const form = h("form.trainform", { onsubmit: build },
    field("Name", name),
    reviewed,
    field("Generated pairs", generated, "synthetic pairs with known change keep what the model knew; 30 to 50 % of a version is usual"),
    field("Held back, % of patients", held, "measured on, never trained on; the same patients in every version"),
    field("Most items of one reader", quota, "so that nobody alone decides what is learnt"),
    h("div.actions", {}, button, h("span.quiet", {}, "Med-MIM files and gates: python app.py finetune build --help")));

  async function build(event) {
    event.preventDefault();
    button.disabled = true;
    fill(button, icon("stack"), "Building ...");
    const made = await attempt(() => post("/api/train/versions", { name: name.value.trim(), generated: Number(generated.value) || 0, held: (Number(held.value) || 0) / 100, quota: Number(quota.value) || 0 }));
    button.disabled = false;
    fill(button, icon("stack"), "Build");
    if (!made) return;
    say(`Version ${made.version.name} is there: ${plural(made.version.counts.train, "example")}, ${plural(made.version.counts.preferences, "preference")}.`, "good");
    await hands.changed(element.isConnected ? { kind: "version", name: made.version.name } : null);
  }

  const element = h("article.trainview", { dataset: { testid: "build-form" } }, h("header.viewhead", {}, h("div", {}, h("h1", {}, "Build a dataset version"), h("p.quiet", {}, "Split by patient, temporal labels mirrored, every item checked. It is written once and never changed."))), form);
  return { element };
}

export function runForm(given, hands) {
  const { versions, bases, recipes, runs, live } = hands.known();
  const names = versions.map((one) => one.name).toReversed();
  const free = (stem) => { for (let index = 1; ; index += 1) if (!runs.some((run) => run.name === `${stem}-${index}`)) return `${stem}-${index}`; };
  const version = menu("Dataset version", names.map((one) => [one, one]), given || names[0], () => { rename(); reckon(); }, { "data-testid": "run-version" });
  const base = menu("Base model", bases.map((one) => [one, one]), bases[0], () => { goesOn(); reckon(); }, { "data-testid": "run-base" });
  const first = menu("Starts from", [], "live", reckon, { "data-testid": "run-start" });
  const starts = field("Starts from", first, "the adapter that answers now keeps what it learnt before");
  const recipe = menu("Recipe", recipes.map((one) => [one.name, METHODS[one.name] ?? one.name]), recipes[0].name, () => { explain(); rename(); reckon(); }, { "data-testid": "run-recipe" });
  const name = h("input", { type: "text", "aria-label": "Name", autocomplete: "off", dataset: { testid: "run-name" }, onchange: reckon });
  const epochs = number("Times each example is read", "", { onchange: reckon, "data-testid": "run-epochs" });
  const told = h("div.estimate", { role: "status", dataset: { testid: "estimate" } });
  const about = h("span.quiet", {});
  const command = h("code.command", {});
  const button = h("button.button.main", { type: "submit", dataset: { testid: "start-run" } }, icon("play"), "Start");
  let typed = false;
  let asked = 0;
  name.addEventListener("input", () => { typed = true; });

  const body = () => ({ name: name.value.trim(), base: base.value, version: version.value, recipe: recipe.value, start: first.value || "live", epochs: Number(epochs.value) || null });

  /** What a run of this model goes on from, where there is a choice. */
  function goesOn() {
    const now = live.find((entry) => entry.base === base.value);
    setOptions(first, now ? [["live", `${now.adapter}, which answers now`], ["none", `${base.value} alone`]] : [["none", `${base.value} alone`]], now ? "live" : "none");
    starts.hidden = !now;
  }

  function rename() {
    if (!typed) name.value = free(`${version.value}-${recipe.value}`);
  }

  function explain() {
    const found = recipes.find((one) => one.name === recipe.value);
    epochs.value = String(found.epochs);
    about.textContent = `LoRA of rank ${found.rank} on the language model, rate ${found.rate}, ${found.batch} examples a step`;
  }

  /** What the run will take; the last answer that was asked for counts. */
  async function reckon() {
    const mine = ++asked;
    const order = body();
    fill(command, `python app.py finetune train ${order.name} --version ${order.version} --base ${order.base} --recipe ${order.recipe}${order.epochs ? ` --epochs ${order.epochs}` : ""}${order.start === "none" && !starts.hidden ? " --start none" : ""}`.split(" ").flatMap((word) => [h("span.word", {}, word), " "])); // an option is not broken in two
    if (!bases.length) return fill(told, h("p", {}, "No model here can learn: the bundled model needs its transformers weights (python app.py models build bundled)."));
    fill(told, h("p.quiet", {}, "Reckoning time and memory ..."));
    try {
      const found = await post("/api/train/estimate", order);
      if (mine !== asked) return undefined;
      return fill(told, h("dl.figures", {},
        one("About", lasting(found.seconds)), one("Memory", `${(found.memory_mb / 1000).toFixed(1)} GB`), one("Steps", found.steps), one("Examples", found.examples), one("Tokens each", found.tokens)), h("p.quiet", {}, `Reckoned from ${found.basis}.`));
    } catch (error) {
      if (mine === asked) fill(told, h("p.bad", {}, error.message));
      return undefined;
    }
  }

  const one = (words, value) => h("div", {}, h("dt", {}, words), h("dd.number", {}, value));

  async function start(event) {
    event.preventDefault();
    button.disabled = true;
    const run = await attempt(() => post("/api/train/runs", body()));
    button.disabled = false;
    if (run) await hands.changed({ kind: "run", name: run.name });
  }

  const form = h("form.trainform", { onsubmit: start },
    field("Base model", base), starts, field("Dataset version", version), field("Recipe", recipe, about), field("Times each example is read", epochs), field("Name", name),
    told, h("div.actions", {}, button, h("span.quiet", {}, "It runs with low priority; questions are answered meanwhile.")), h("p.quiet.same", {}, "The same from a terminal: ", command));
  explain();
  rename();
  goesOn();
  reckon();
  const element = h("article.trainview", { dataset: { testid: "run-form" } }, h("header.viewhead", {}, h("div", {}, h("h1", {}, "Train"), h("p.quiet", {}, "A new adapter on top of a model; nothing goes live before it passed the gates and somebody signed."))), form);
  return { element };
}
