() => {
  // What the browser itself does in the tabs beside "One picture". All of it works by delegation, because Gradio
  // replaces its elements.
  const find = (selector) => document.querySelector(selector);

  // Many pictures: the list is filtered and sorted, and a row is opened

  const arrange = (form) => {
    const {answer, group, words, order} = form.elements, body = form.parentElement.querySelector("tbody");
    const rows = [...body.rows], wanted = words.value.trim().toLowerCase();
    for (const row of rows) {
      const {dataset} = row;
      row.hidden = (answer.value && dataset.answer !== answer.value) || (group.value && dataset.group !== group.value)
        || !row.textContent.toLowerCase().includes(wanted);
    }
    const key = ({dataset}) => ["name", "origin"].includes(order.value) ? dataset[order.value] : Number(dataset[order.value]);
    const sorted = rows.toSorted((one, two) => {
      const [first, second] = [key(one), key(two)];
      return typeof first === "string" ? first.localeCompare(second, undefined, {numeric: true}) : first - second;
    });
    if (sorted.some((row, place) => row !== rows[place])) body.append(...sorted);
    form.querySelector("output").value = say("shown", {n: rows.filter((row) => !row.hidden).length, all: rows.length});
  };
  for (const kind of ["input", "change"]) {
    document.addEventListener(kind, ({target}) => { if (target.closest?.(".filters")) arrange(target.form); });
  }
  document.addEventListener("submit", (event) => { if (event.target.matches(".filters")) event.preventDefault(); });
  document.addEventListener("click", ({target}) => {
    const row = target.closest?.("#many-table tr[data-open]"), input = find("#many-open input");
    if (!row || !input || String(getSelection())) return;
    input.value = row.dataset.open;
    input.dispatchEvent(new Event("input", {bubbles: true}));
  });

  // Two pictures: one is blended into the other, or their difference is made brighter

  const blend = (form) => {
    const {shown, blend, gain} = form.elements, view = form.closest(".pair-view"), stage = view.querySelector(".frame");
    stage.style.setProperty("--blend", blend.value / 100);
    stage.style.setProperty("--gain", gain.value);
    stage.classList.toggle("differing", gain.value > 0);
    form.querySelector("output").value = gain.value > 0 ? say("brighter", {n: gain.value}) : say("off");
    for (const name of ["first", "second"]) {
      const image = stage.querySelector(`.${name}`), map = view.querySelector(`#compare-${name}-map img`);
      image.dataset.plain ??= image.src;
      const source = shown.value === "map" ? map.src : image.dataset.plain;
      if (image.src !== source) image.src = source;
    }
  };
  for (const kind of ["input", "change"]) {
    document.addEventListener(kind, ({target}) => { if (target.closest?.(".pair-controls")) blend(target.form); });
  }
}
