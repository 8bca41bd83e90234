// The colours of Python, YAML and the language of specs: a list of kinds of tokens each.

const WORDS = {
  python: "False None True and as assert async await break class continue def del elif else except finally for from global " +
    "if import in is lambda nonlocal not or pass raise return try while with yield self",
  specc: "spec conventions parameter input target output layer block training data include repeat loss optimizer metrics " +
    "epochs batch_size shared if then else as true false",
};
const NUMBER = String.raw`\b\d[\d_]*(?:\.\d*)?(?:[eE][-+]?\d+)?\b`;
const STRING = String.raw`"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?`;
const keywords = (language) => `\\b(?:${WORDS[language].replaceAll(" ", "|")})\\b`;
const TOKENS = {
  python: new RegExp(
    String.raw`(?<string>"""[\s\S]*?(?:"""|(?![\s\S]))|[rbfRBF]?(?:${STRING}))|(?<comment>#[^\n]*)|(?<number>${NUMBER})` +
    String.raw`|(?<keyword>${keywords("python")})|(?<call>\b[A-Za-z_]\w*(?=\())|(?<decorator>^[ \t]*@[\w.]+)`, "gm"),
  yaml: new RegExp(
    String.raw`(?<comment>(?<=^|\s)#[^\n]*)|(?<string>${STRING})|(?<call>\$\{[^}\n]*\}|\$\w+)|(?<keyword>[\w.-]+(?=\s*:(?:\s|$)))` +
    String.raw`|(?<number>(?<![\w.])-?${NUMBER}(?![\w.]))|(?<decorator>\b(?:true|false|null)\b|~)`, "gm"),
  specc: new RegExp(
    String.raw`(?<comment>#[^\n]*)|(?<string>${STRING})|(?<number>${NUMBER})|(?<keyword>${keywords("specc")}|\|)` +
    String.raw`|(?<call>\b[A-Za-z_]\w*(?=\())`, "gm"),
};

// The lines of a text, each a list of [kind, piece]; a piece of kind "" is plain.
function colour(content, language) {
  const lines = [[]];
  const put = (kind, piece) => {
    piece.split("\n").forEach((part, index) => {
      if (index) lines.push([]);
      if (part) lines[lines.length - 1].push([kind, part]);
    });
  };
  let end = 0;
  for (const match of content.matchAll(TOKENS[language])) {
    put("", content.slice(end, match.index));
    const [kind] = Object.entries(match.groups).find(([, value]) => value !== undefined);
    put(kind, match[0]);
    end = match.index + match[0].length;
  }
  put("", content.slice(end));
  return lines;
}
