// What a case offers beside its conversation, put into the conversation's head.
import { panels } from "./panels.js";
import { report } from "./report.js";

export function forCase(talk) {
  report();
  panels(talk, [
    { name: "report", words: "Draft report", help: "Findings, comparison, impression; text, PDF, DICOM", picture: "report", key: "Shift+d" },
  ]);
  return talk;
}
