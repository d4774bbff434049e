// What the layout tests measure on the page. Evaluates to an object of functions.
({
  /** Boxes of every control and every word that must not be covered, with its ancestors by number. */
  boxes() {
    const all = [...document.querySelectorAll("*")];
    const shown = (element) => {
      const style = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      return style.visibility !== "hidden" && style.display !== "none" && box.width > 0 && box.height > 0;
    };
    const inside = (element) => {
      const own = element.getBoundingClientRect();
      const middle = own.top + own.height / 2;
      for (let parent = element.parentElement; parent && !parent.matches(".iv"); parent = parent.parentElement) {
        const box = parent.getBoundingClientRect();
        if (getComputedStyle(parent).overflowY !== "visible" && (middle < box.top || middle > box.bottom)) return false;
      }
      return true;
    };
    const clipped = (element) => {
      const box = element.getBoundingClientRect();
      let [top, bottom] = [box.top, box.bottom];
      for (let parent = element.parentElement; parent && !parent.matches(".iv"); parent = parent.parentElement) {
        if (getComputedStyle(parent).overflowY === "visible") continue;
        const around = parent.getBoundingClientRect();
        [top, bottom] = [Math.max(top, around.top), Math.min(bottom, around.bottom)];
      }
      return { x: box.x, y: top, r: box.right, b: bottom };
    };
    const path = (element) => {
      const numbers = [];
      for (let one = element; one; one = one.parentElement) numbers.push(all.indexOf(one));
      return numbers;
    };
    const wanted = ".iv button, .iv select, .iv input, .iv textarea, .iv .corner > span, .iv .reason, .iv .question, .iv .words";
    return [...document.querySelectorAll(wanted)]
      .filter((element) => shown(element) && inside(element))
      .map((element) => ({
        name: (element.getAttribute("aria-label") || element.innerText || element.className).slice(0, 40),
        path: path(element),
        ...clipped(element),
      }));
  },

  /** Everything whose content is wider than itself and that would show a bar or spill for it. */
  wide() {
    return [...document.querySelectorAll(".iv, .iv *")]
      .filter((element) => {
        const style = getComputedStyle(element);
        const spills = element.scrollWidth > element.clientWidth + 1 && !["hidden", "clip"].includes(style.overflowX);
        return spills && style.display !== "inline" && element.tagName !== "SELECT" && !element.closest(".sr");
      })
      .map((element) => `${element.className} ${element.scrollWidth} > ${element.clientWidth}`);
  },

  /** Text whose contrast with its ground is below WCAG AA for small text. */
  faint() {
    const light = (colour) => {
      const [red, green, blue] = colour.map((value) => {
        const part = value / 255;
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const parts = (text) => text.match(/[\d.]+/g).map(Number);
    const ground = (element) => {
      for (let one = element; one; one = one.parentElement) {
        const [red, green, blue, alpha = 1] = parts(getComputedStyle(one).backgroundColor);
        if (alpha > 0.99) return [red, green, blue];
      }
      return [0, 0, 0];
    };
    const bad = [];
    for (const element of document.querySelectorAll(".iv *")) {
      const style = getComputedStyle(element);
      const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      const overPixels = element.closest(".area") && !element.closest("select");
      const skipped = element.closest(":disabled") || overPixels || element.tagName === "OPTION" || style.visibility === "hidden";
      if (!words || skipped || !element.getBoundingClientRect().width) continue;
      const [more, less] = [light(parts(style.color).slice(0, 3)), light(ground(element))].sort((one, other) => other - one);
      const ratio = (more + 0.05) / (less + 0.05);
      if (ratio < 4.5) bad.push(`${element.tagName}.${element.className}: ${ratio.toFixed(2)} '${element.textContent.slice(0, 30)}'`);
    }
    return bad;
  },
})
