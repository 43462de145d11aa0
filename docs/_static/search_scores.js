// Order of search results: entries of the log of measurements come after the pages that explain the same thing.
var Scorer = {
  score: ([docname, title, anchor, descr, score]) => (docname.startsWith("generated/log/") ? score / 4 : score),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
