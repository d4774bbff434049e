// What a case offers beside its conversation, put into the conversation's head.
import { batch } from "./batch.js";
import { duel } from "./duel.js";
import { flagPanel } from "./flags.js";
import { ledger } from "./ledger.js";
import { panels } from "./panels.js";
import { report } from "./report.js";

export function forCase(talk) {
  report();
  duel();
  flagPanel();
  ledger();
  const many = batch();
  panels(talk, [
    { name: "report", words: "Draft report", help: "Findings, comparison, impression; text, PDF, DICOM", picture: "report", key: "Shift+d" },
    { name: "duel", words: "Two models", help: "One question, both answers side by side, blind", picture: "beside", key: "Shift+m" },
    { name: "batch", words: "Many pairs", help: "The progression of each in a table, as CSV", picture: "table", key: "Shift+c", run: many.open },
    { name: "flags", words: "What you flagged", help: "What reviewers made of it, and whether it was fixed", picture: "disagree", key: "Shift+w" },
    { name: "ledger", words: "Forecasts", help: "What was foretold, what came of it, and how often it did", picture: "again", key: "Shift+o" },
  ]);
  talk.querySelector(".talkhead .more").before(many.chip);
  talk.append(many.dialog);
  return talk;
}
