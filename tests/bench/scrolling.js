// Runs in the page (tests/bench/scrolling.py): one linked step of our two views against one step of two bare Cornerstone stack
// viewports of the same size, on the same kept images, taking turns. Evaluates to seconds of each, [ours, bare].
async ({ steps, cpu }) => {
  const bridge = await (await import("/app/stage.js")).viewer();
  if (cpu && !bridge.renderer.cpu) await bridge.onCpu("measured");
  const RENDERED = "CORNERSTONE_IMAGE_RENDERED";
  const count = bridge.meta(0).frames.length;
  const ids = [0, 1].map((slot) => Array.from({ length: count }, (_, n) => bridge.imageId(slot, n)));
  const surfaces = [0, 1].map((slot) => bridge.views[slot].surface);

  const painted = (element, done, what) => new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${what} was not painted within 30 s`)), 30000);
    const seen = () => {
      if (!done()) return;
      element.removeEventListener(RENDERED, seen);
      clearTimeout(late);
      resolve();
    };
    element.addEventListener(RENDERED, seen);
  });

  // Bare: an engine of its own over ours, nothing of this product on it.
  const engine = new bridge.engine.constructor("bare");
  const elements = surfaces.map((surface) => {
    const element = document.createElement("div");
    const box = surface.getBoundingClientRect();
    Object.assign(element.style, { position: "fixed", zIndex: "9999", left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
    document.body.append(element);
    return element;
  });
  const bare = [];
  for (const [at, element] of elements.entries()) {
    engine.enableElement({ viewportId: `bare-${at}`, type: "stack", element });
    bare[at] = engine.getViewport(`bare-${at}`);
    const first = painted(element, () => true, `bare view ${at}`);
    await bare[at].setStack(ids[at], 0);
    bare[at].render();
    await first;
  }
  // On the processor an image of ours brings our way of drawing; bare is Cornerstone's own, so its images bring none.
  const own = [[], []];
  if (cpu) {
    for (const [at, viewport] of bare.entries()) {
      for (let n = 0; n < count; n += 1) {
        await viewport.setImageIdIndex(n);
        own[at][n] = { ...viewport.getCornerstoneImage(), render: undefined };
      }
    }
  }
  const shows = (viewport, id) => viewport.getCornerstoneImage()?.imageId === id;
  const bareStep = async (n) => {
    const both = bare.map((viewport, at) => painted(elements[at], () => shows(viewport, ids[at][n]), `slice ${n} of bare view ${at}`));
    for (const [at, viewport] of bare.entries()) {
      if (!cpu) viewport.setImageIdIndex(n);
      else {
        viewport.renderImageObject(own[at][n]);
        viewport.render();
      }
    }
    await Promise.all(both);
  };
  const ourStep = async (n) => {
    const both = surfaces.map((surface, slot) => painted(surface, () => bridge.frame(slot) === n, `slice ${n} of view ${slot}`));
    bridge.toFrame(0, n, true);
    await Promise.all(both);
  };
  const raf = () => new Promise(requestAnimationFrame);
  const taken = [[], []];
  const middle = bridge.frame(0);
  for (let step = 0; step < steps + 5; step += 1) {
    const n = (middle + 1 + step) % count;
    for (const [side, work] of step % 2 ? [[1, bareStep], [0, ourStep]] : [[0, ourStep], [1, bareStep]]) {
      await raf(); // each begins right after a frame of the screen
      const began = performance.now();
      await work(n);
      if (step >= 5) taken[side].push((performance.now() - began) / 1000);
    }
  }
  engine.destroy();
  elements.forEach((element) => element.remove());
  return taken;
}
