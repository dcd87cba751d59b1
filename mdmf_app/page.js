// What the browser itself does on the page: pictures come in by drop and paste and are announced at once; the map is
// zoomed, moved, read out and walked through; a summary is copied. All of it works by delegation, because Gradio
// replaces its elements.
const find = (selector) => document.querySelector(selector);
const body = document.body, one = () => find("#one");

// Pictures that come in

const field = () => {
  const input = find("#picture input[type=file]");
  return input?.closest("#picture").checkVisibility() ? input : null;
};
const give = (event, files) => {
  const input = field();
  if (!input || !files?.length) return;
  event.preventDefault();
  input.files = files;
  input.dispatchEvent(new Event("change", {bubbles: true}));
};
let thumbnail = "", patience = 0;
const announce = (name, source) => {
  const image = find("#coming img");
  if (!image) return;
  if (thumbnail.startsWith("blob:")) URL.revokeObjectURL(thumbnail);
  thumbnail = source;
  image.onload = () => { image.hidden = false; };
  image.hidden = true;
  image.src = source;
  find("#coming strong").textContent = name;
  find("#coming [role=status]").textContent = say("sending");
  one().classList.add("arriving");
  patience = Date.now() + 5000;
  find("#address p").textContent = "";
  lower();
  useMark(false);
};
const refuse = (text) => {
  const told = find("#address p"), first = text?.split("\n").find((line) => line.trim() && !line.startsWith("#"))?.trim();
  if (!field() || !told || !/^https?:\/\/\S+$/i.test(first ?? "")) return false;
  told.textContent = told.dataset.says;
  return true;
};
const announceFile = (file) => announce(file.name, URL.createObjectURL(file));
const settle = () => {
  if (!one()?.classList.contains("arriving")) return;
  const step = find("#verdict .busy .step");
  if (step) {
    const told = find("#coming [role=status]");
    const place = find("#coming [data-testid=status-tracker]")?.textContent.match(/\d+\/\d+/)?.[0];
    const says = place ? say("waiting", {place}) : step.textContent;
    if (told.textContent !== says) told.textContent = says;
    patience = Infinity;
  } else if (patience === Infinity) one().classList.remove("arriving");
};
const giveUp = () => {
  const idle = Date.now() > patience && !find("#picture .progress-bar, #picture .uploading");
  if (one()?.classList.contains("arriving") && (find(".toast-body.error") || idle)) one().classList.remove("arriving");
};
// What a test that runs by itself found goes into the verdict's line, if it is about the same picture.
const tellHeld = () => {
  const told = find("#held [data-of]"), place = find("#verdict .held");
  const says = told && place && told.dataset.of === place.dataset.of ? told.textContent : "";
  if (place && place.textContent !== says) place.textContent = says;
};
const summaryOf = (button) => {
  const told = find("#held [data-of]"), same = told?.dataset.of === button.closest(".card")?.querySelector(".held")?.dataset.of;
  return [button.dataset.copy, same && !button.closest(".quote") && told.dataset.sentence].filter(Boolean).join(" ");
};
new MutationObserver(() => { settle(); tellHeld(); raiseAwaited(); }).observe(body, {childList: true, subtree: true, characterData: true});
setInterval(() => { settle(); giveUp(); }, 500);
document.addEventListener("paste", (event) => {
  give(event, event.clipboardData?.files);
  if (!event.clipboardData?.files.length && !event.target.closest?.("input, textarea")) {
    refuse(event.clipboardData?.getData("text/plain"));
  }
});
document.addEventListener("change", ({target}) => {
  if (target.matches("#picture input[type=file]") && target.files.length) announceFile(target.files[0]);
}, true);
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.some((type) => ["Files", "text/uri-list"].includes(type))) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const files = event.dataTransfer?.files, address = event.dataTransfer?.getData("text/uri-list");
  if (!files?.length) {
    if (!address || event.target.matches?.("input:not([type=file]), textarea")) return;
    event.preventDefault();
    event.stopPropagation();
    refuse(address);
    return;
  }
  if (!event.target.closest("input, .upload-container, [aria-dropeffect]")) event.preventDefault();
  if (!field()) return;
  if (event.target.closest("#picture")) announceFile(files[0]);
  else if (!event.target.closest("input, .upload-container, [aria-dropeffect]")) give(event, files);
}, true);
