// The words of this script in the language that Gradio shows: it writes its choice into the page.

const say = (key, values = {}) => (WORDS[document.documentElement.lang] ?? WORDS.en)[`script.${key}`].replace(
  /\{(\w+)\}/g, (_, name) => values[name]);
window.mdmfSay = say;
document.title = say("title");
document.documentElement.style.setProperty("--another", JSON.stringify(say("another")));
new MutationObserver(() => {
  const address = new URL(location);
  address.searchParams.set("lang", document.documentElement.lang);
  address.searchParams.delete("view");
  location.replace(address);
}).observe(document.documentElement, {attributeFilter: ["lang"]});
