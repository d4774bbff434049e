// One stack played at a time, at the reader's pace; a slow machine shows fewer frames, never late ones.

export const PACES = [4, 8, 12, 16, 24];

export const cine = {
  slot: null,
  pace: 8,
  run: 0,

  toggle(bridge, slot, told) {
    const same = this.slot === slot;
    stopCine();
    if (same) return told();
    Object.assign(this, { slot, told });
    this.play(bridge);
    return told();
  },

  async play(bridge) {
    const { slot } = this;
    const run = (this.run += 1);
    let due = performance.now();
    while (this.run === run && this.slot === slot && bridge.source(slot)) {
      await bridge.turnOver(slot, 1);
      due = Math.max(due + 1000 / this.pace, performance.now() + 4);
      await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
    }
    if (this.run === run) stopCine();
  },
};

export function stopCine() {
  if (cine.slot === null) return;
  cine.slot = null;
  cine.told?.();
}
