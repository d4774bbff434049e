// The top bar: the name, what this is for, the engine, light or dark, keys. And the notice below it, until it is read.
import { post } from "./api.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { engineChip } from "./engine.js";
import { tabs } from "./tabs.js";
import { attempt } from "./toast.js";

const READ = "interval.notice";
const keptIn = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const keepIn = (name, value) => { try { localStorage.setItem(name, value); } catch { /* private mode keeps nothing */ } };

export function top(showKeys, toggleRail) {
  const theme = iconButton("sun", "Light or dark", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"), { "data-testid": "theme" });
  const setTheme = (name) => {
    document.documentElement.dataset.theme = name;
    document.body.classList.toggle("dark", name === "dark");
    keepIn("interval.theme", name);
    fill(theme, icon(name === "dark" ? "sun" : "moon"));
  };
  setTheme(document.documentElement.dataset.theme || "dark");
  const details = notice();
  const research = h("p.research", { dataset: { testid: "research" } }, icon("info"), h("span", {}, "Research and teaching use", h("span.long", {}, ", not a medical device")), h("button", { type: "button", onclick: () => { details.hidden = !details.hidden; } }, "Details"));
  const bar = h("header.top", {}, iconButton("rail", "Show or hide the list ([)", toggleRail), h("div.brand", {}, mark(), "Interval"), tabs(), research, h("div.end", {}, engineChip(), theme, iconButton("keyboard", "Keyboard shortcuts (?)", showKeys)));
  return [bar, details];
}

const mark = () => h("img", { src: "/app/icon.svg", alt: "", draggable: "false", width: "22", height: "22" });

function notice() {
  const close = () => {
    box.hidden = true;
    keepIn(READ, "1");
    attempt(() => post("/api/notice", { action: "notice-dismissed" }));
  };
  const box = h("div.notice", { hidden: keptIn(READ) === "1", role: "note", dataset: { testid: "notice" } },
    h("p", {}, h("strong", {}, "For research and teaching. "), "Interval is not a medical device. Its answers are made by a language model that can be wrong, and must not be used for diagnosis or treatment. Studies are de-identified when they are imported and stay on this machine."),
    h("button.button.small", { type: "button", onclick: close, dataset: { testid: "notice-read" } }, "Understood"));
  return box;
}
