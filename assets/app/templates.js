// A reader's own wordings of questions, one list for each ability, edited in a dialog and kept on the server.
import { get, put } from "./api.js";
import { fill, h, icon, iconButton } from "./dom.js";
import { state, update } from "./state.js";
import { attempt } from "./toast.js";

Object.assign(state, { templates: 0 }); // counts the changes, so that what is suggested is asked for anew

/** Open the templates of an ability. */
export async function editTemplates(ability, words) {
  const all = await attempt(() => get("/api/templates"));
  if (!all) return;
  let texts = [...all[ability].texts];
  const list = h("ol.rows");
  const draw = (focus = -1) => {
    fill(list, texts.map((text, at) => {
      const field = h("input", { type: "text", maxlength: "400", value: text, "aria-label": `Question ${at + 1}`, oninput: () => { texts[at] = field.value; }, dataset: { testid: "template" } });
      return h("li", {}, field,
        iconButton("up", "Further up", () => { texts = texts.toSpliced(at, 1).toSpliced(at - 1, 0, text); draw(at - 1); }, { classes: "plain small", disabled: at === 0 }),
        iconButton("close", "Take this question away", () => { texts = texts.toSpliced(at, 1); draw(Math.max(0, at - 1)); }, { classes: "plain small" }));
    }));
    if (focus >= 0) list.querySelectorAll("input")[focus]?.focus();
  };
  const keep = async (wanted) => {
    const kept = await attempt(() => put(`/api/templates/${ability}`, { texts: wanted }));
    if (!kept) return;
    dialog.close();
    update({ templates: state.templates + 1 });
  };
  const save = () => keep(texts.map((text) => text.trim()).filter(Boolean));
  const dialog = h("dialog.templates", { "aria-label": `Suggested questions, ${words}`, dataset: { testid: "templates" } },
    h("header", {}, h("h2", {}, `Suggested questions, ${words.toLowerCase()}`), iconButton("close", "Close", () => dialog.close(), { classes: "plain" })),
    h("p.quiet", {}, "{finding} becomes one that these images can show, {mark} each of your marks, {images} their number. A question whose place cannot be filled is not offered."),
    list,
    h("div.row", {},
      h("button.button.plain.small", { type: "button", onclick: () => { texts.push(""); draw(texts.length - 1); }, dataset: { testid: "template-add" } }, icon("plus"), "Question"),
      h("span.gap"),
      h("button.button.small", { type: "button", onclick: () => keep([]), disabled: !all[ability].own, dataset: { testid: "templates-reset" } }, "Interval's own"),
      h("button.button.main.small", { type: "button", onclick: save, dataset: { testid: "templates-save" } }, "Keep")));
  dialog.addEventListener("close", () => dialog.remove());
  document.querySelector(".iv.app").append(dialog);
  draw();
  dialog.showModal();
}
