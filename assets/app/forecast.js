// An answer about what is to come is marked wherever it is shown: no image bears it out, so it never stands as a finding.
import { h, icon } from "./dom.js";

export const FORECAST = "Forecast, not a finding";

/** The mark for a turn's `forecast`, null for a question about what the images show. */
export const forecastMark = (forecast) => (forecast ? h("p.forecastmark", { role: "note", dataset: { testid: "forecast" } }, icon("warning"), h("span", {}, h("strong", {}, FORECAST), ": no image shows it yet.")) : null);
