// The words of this script, in the language that the page began with. Whoever chooses another in Gradio's settings gets
// the page anew in it; a browser that translates the page by itself is left alone.

const LANGUAGE = document.documentElement.lang;
const say = (key, values = {}) => (WORDS[LANGUAGE] ?? WORDS.en)[`script.${key}`].replace(
  /\{(\w+)\}/g, (_, name) => values[name]);
window.mdmfSay = say;
document.title = say("title");
document.documentElement.style.setProperty("--another", JSON.stringify(say("another")));
new MutationObserver(() => {
  const address = new URL(location), chosen = document.documentElement.lang;
  if (chosen === LANGUAGE || address.searchParams.get("view") !== "settings") return;
  address.searchParams.set("lang", chosen);
  address.searchParams.delete("view");
  location.replace(address);
}).observe(document.documentElement, {attributeFilter: ["lang"]});
