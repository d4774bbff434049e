// Charts by Plotly, which is large: it is fetched from this server when the first chart is looked at, and not before.
// Colours are the page's own and follow its theme.

let loading = null;

/** The library, fetched once. Rejects with a sentence when it cannot be. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/app/plotly.js";
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => {
      loading = null;
      script.remove();
      reject(new Error("The charts could not be loaded; the figures are there as numbers."));
    };
    document.head.append(script);
  });
  return loading;
}

/** A colour of the page's theme by its name in tokens.css, such as `accent`. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const drawn = new Map(); // element -> what to draw in it, drawn again when the theme changes

/** Draw `make()` ({data, layout, config}) in the element, now and whenever the theme changes. Resolves once it is there. */
export async function draw(element, make) {
  const library = await plotly();
  if (!element.isConnected) return;
  drawn.set(element, make);
  const { data, layout, config } = make();
  const font = { family: getComputedStyle(element).fontFamily, size: 11, color: colour("text-2") };
  await library.react(element, data, { paper_bgcolor: "transparent", plot_bgcolor: "transparent", autosize: true, font, ...layout }, { displayModeBar: false, responsive: true, ...config });
}

/** Take a chart away; its listeners go with it. */
export function clear(element) {
  if (drawn.delete(element)) globalThis.Plotly?.purge(element);
}

new MutationObserver(() => {
  for (const [element, make] of drawn) {
    if (element.isConnected) draw(element, make);
    else clear(element);
  }
}).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
