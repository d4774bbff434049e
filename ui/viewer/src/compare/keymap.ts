// Keys and what they do: a command has its own keys, a reader may give it others, and no key does two things.

/** Something a key can do. `keys` are its defaults, as `keyOf` spells them. */
export interface Command {
  readonly id: string;
  readonly words: string;
  readonly group: string;
  readonly keys: readonly string[];
  /** Keys that stay as they are (Escape, Tab). */
  readonly fixed?: boolean;
}

/** What the reader chose instead; [] = no key. */
export type Chosen = Readonly<Record<string, readonly string[]>>;

interface Pressed {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

const ALONE = new Set(["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead", "Process", "Unidentified"]);

/** One spelling for a key press: "x", "?", "Shift+X", "Ctrl+z", "ArrowUp", or "" for a modifier alone. ⌘ counts as Ctrl. */
export function keyOf(event: Pressed): string {
  if (ALONE.has(event.key)) return "";
  const letter = /^\p{L}$/u.test(event.key);
  const key = letter ? event.key.toLowerCase() : event.key === " " ? "Space" : event.key;
  const shift = event.shiftKey && (letter || event.key.length > 1) ? "Shift+" : "";
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${shift}${key}`;
}

/** Keys of a command as they are now. */
export const keysOf = (command: Command, chosen: Chosen): readonly string[] => (command.fixed ? command.keys : (chosen[command.id] ?? command.keys));

/** The command of a key, or null. */
export const commandOf = (commands: readonly Command[], chosen: Chosen, key: string): Command | null =>
  (key && commands.find((one) => keysOf(one, chosen).includes(key))) || null;

/** Give `key` to command `id`; another command that had it loses it and is named. Fixed keys are refused. */
export function remap(commands: readonly Command[], chosen: Chosen, id: string, key: string): { chosen: Chosen; lost: string; refused: string } {
  const holder = commandOf(commands, chosen, key);
  const wanted = commands.find((one) => one.id === id);
  if (!wanted || wanted.fixed) return { chosen, lost: "", refused: "That key is fixed." };
  if (holder?.fixed) return { chosen, lost: "", refused: `${spoken(key)} is kept for “${holder.words}”.` };
  const next: Record<string, readonly string[]> = { ...chosen };
  if (holder && holder.id !== id) next[holder.id] = keysOf(holder, chosen).filter((one) => one !== key);
  next[id] = [key];
  return { chosen: next, lost: holder && holder.id !== id ? holder.words : "", refused: "" };
}

/** Keys that two commands claim: [key, first, second]. Defaults must have none. */
export function conflicts(commands: readonly Command[], chosen: Chosen): [string, string, string][] {
  const seen = new Map<string, string>();
  const found: [string, string, string][] = [];
  for (const one of commands) {
    for (const key of keysOf(one, chosen)) {
      const other = seen.get(key);
      if (other !== undefined) found.push([key, other, one.id]);
      else seen.set(key, one.id);
    }
  }
  return found;
}

/** What was kept, with whatever is not a list of keys of a known command left out. */
export function restored(commands: readonly Command[], text: string | null): Chosen {
  let found: unknown;
  try {
    found = JSON.parse(text ?? "{}");
  } catch {
    return {};
  }
  if (typeof found !== "object" || found === null) return {};
  const known = new Set(commands.filter((one) => !one.fixed).map((one) => one.id));
  const good = (keys: unknown): keys is string[] => Array.isArray(keys) && keys.every((key) => typeof key === "string" && key.length < 32);
  return Object.fromEntries(Object.entries(found).filter(([id, keys]) => known.has(id) && good(keys)));
}

const NAMES: Readonly<Record<string, string>> = {
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓", Delete: "Del",
};

/** A key for the eye: "Shift X", "Ctrl Z", "↑". */
export function spoken(key: string): string {
  const held = /^(?:(?:Ctrl|Alt|Shift)\+)*/.exec(key)?.[0] ?? "";
  const last = key.slice(held.length);
  return [...held.split("+").filter(Boolean), NAMES[last] ?? (last.length === 1 ? last.toUpperCase() : last)].join(" ");
}
