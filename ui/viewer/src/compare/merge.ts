// Two tabs, or two machines, drew on the same session: their documents become one, and nothing that either drew is lost.
import { type Drawn, type Mark, nextLabel } from "./marks.ts";

const alike = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);

/**
 * Things by key, three ways: what only one side changed is as that side has it; what both changed is as `mine` has it; what
 * one side took away and the other changed stays, changed. Theirs come first, in their order.
 */
function threeWays<T>(key: (one: T) => string, base: readonly T[], mine: readonly T[], theirs: readonly T[]): T[] {
  const by = (all: readonly T[]): Map<string, T> => new Map(all.map((one) => [key(one), one]));
  const [before, here, there] = [by(base), by(mine), by(theirs)];
  const kept = (name: string): T | undefined => {
    const [was, own, other] = [before.get(name), here.get(name), there.get(name)];
    if (own === undefined) return was !== undefined && (other === undefined || alike(other, was)) ? undefined : other;
    if (other === undefined) return was !== undefined && alike(own, was) ? undefined : own;
    return was !== undefined && alike(own, was) ? other : own;
  };
  return [...new Set([...there.keys(), ...here.keys()])].flatMap((name) => {
    const one = kept(name);
    return one === undefined ? [] : [one];
  });
}

/** Marks that `theirs` does not know and whose label is taken there get the next free one. */
function labelled(marks: readonly Mark[], theirs: readonly Mark[]): Mark[] {
  const known = new Set(theirs.map((one) => one.id));
  return marks.reduce<Mark[]>((done, mark) => {
    const taken = done.some((one) => one.label === mark.label && one.label !== "");
    return [...done, !known.has(mark.id) && taken ? { ...mark, label: nextLabel(marks.concat(done), mark.kind) } : mark];
  }, []);
}

/** What `mine` and `theirs` make together, both having begun at `base`. */
export function merge(base: Drawn, mine: Drawn, theirs: Drawn): Drawn {
  const marks = labelled(threeWays((one) => one.id, base.marks, mine.marks, theirs.marks), theirs.marks);
  const there = new Set(marks.map((one) => one.id));
  const used = new Set<string>();
  const pairs = threeWays((one) => `${one.prior}:${one.current}`, base.pairs, mine.pairs, theirs.pairs).filter(({ prior, current }) => {
    if (!there.has(prior) || !there.has(current) || used.has(prior) || used.has(current)) return false;
    used.add(prior).add(current);
    return true;
  });
  return { marks, pairs, key_images: threeWays((one) => `${one.series_id}/${one.frame}`, base.key_images, mine.key_images, theirs.key_images) };
}
