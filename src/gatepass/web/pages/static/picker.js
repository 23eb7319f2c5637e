// The permission picker: presets, levels of a resource, what is chosen, and the filter.
export function pick(form) {
  const picker = form.querySelector("[data-picker]");
  const find = (selector) => picker.querySelector(selector);
  const all = (selector, root = picker) => [...root.querySelectorAll(selector)];
  const [tally, tray, filter, tick, own] = ["tally", "tray", "filter-permissions", "tick-shown", "own"].map((name) => find(`[data-${name}]`));
  const everything = find("[data-everything] input");
  const lines = all("[data-group]").map((element) => ({
    element,
    details: element.querySelector("details"),
    of: element.querySelector("[data-of]"),
    levels: all(".levels input", element),
    wildcard: element.querySelector(".all input"),
    singles: all(".permission:not(.all) input", element),
    // Whether Choose was pressed, for nothing or what Read chooses; and what was chosen before another level.
    choosing: false,
    before: [],
  }));
  const presets = all("[data-preset]");
  const reads = (box) => box.hasAttribute("data-reads");
  const boxes = (line) => (line.wildcard ? [line.wildcard, ...line.singles] : line.singles);
  const chosen = () => all("[name=permissions]:checked:not(:disabled)");
  const label = (box) => box.closest("label");
  const changed = (target) => target.dispatchEvent(new Event("input", { bubbles: true }));

  // What is chosen, in all the places that say so ------------------------------------------------------
  function show() {
    const whole = Boolean(everything?.checked);
    for (const line of lines) {
      if (line.wildcard) line.wildcard.disabled = whole;
      for (const box of line.singles) box.disabled = whole || Boolean(line.wildcard?.checked);
      for (const level of line.levels) level.disabled = whole;
      const now = line.choosing ? "choose" : levelOf(line);
      for (const level of line.levels) level.checked = level.value === now;
      const some = line.singles.filter((box) => box.checked).length;
      line.of.textContent = line.wildcard?.checked ? "All, now and later" : some ? `${some} of ${line.singles.length}` : "";
    }
    const names = chosen().map((box) => box.value);
    tally.value = whole ? "Everything selected" : `${names.length} permission${names.length === 1 ? "" : "s"} selected`;
    tally.classList.toggle("some", names.length > 0);
    for (const preset of presets) {
      const its = namesOf(preset);
      preset.ariaPressed = String(its.length === names.length && its.every((name) => names.includes(name)));
    }
    tray.replaceChildren(...names.map(chip));
    offerTick();
  }

  function levelOf({ wildcard, singles }) {
    const some = singles.filter((box) => box.checked);
    if (wildcard?.checked) return "choose";
    if (!some.length) return "none";
    return some.every(reads) && some.length === singles.filter(reads).length ? "read" : "choose";
  }

  function chip(name) {
    const made = find("[data-chip]").content.cloneNode(true).firstElementChild;
    const remove = made.querySelector("button");
    made.prepend(name);
    remove.ariaLabel = `Remove ${name}`;
    remove.addEventListener("click", () => {
      const at = [...tray.children].indexOf(made);
      const box = chosen()[at];
      box.checked = false;
      changed(box);
      (tray.children[at] ?? tray.lastElementChild)?.querySelector("button").focus();
      if (!tray.children.length) filter.focus();
    });
    return made;
  }

  // Levels and presets ---------------------------------------------------------------------------------
  function setLevel(line, level) {
    if (level === "choose") {
      if (line.before.length) for (const box of boxes(line)) box.checked = line.before.includes(box);
    } else {
      if (levelOf(line) === "choose") line.before = boxes(line).filter((box) => box.checked);
      for (const box of boxes(line)) box.checked = level === "read" && reads(box);
    }
    line.choosing = level === "choose";
  }

  function namesOf({ dataset }) {
    if (dataset.names) return dataset.names.split(" ");
    if (dataset.preset === "nothing") return [];
    const product = lines.filter(({ element }) => !own?.contains(element));
    if (dataset.preset === "read") return (product.length ? product : lines).flatMap(({ singles }) => singles.filter(reads)).map((box) => box.value);
    if (everything) return [everything.value];
    return lines.flatMap(({ wildcard, singles }) => (wildcard ? [wildcard] : singles)).map((box) => box.value);
  }

  for (const line of lines) {
    for (const level of line.levels) {
      level.addEventListener("input", () => setLevel(line, level.value));
      level.addEventListener("click", () => {
        if (level.value === "choose") line.details.open = true;
      });
    }
    line.details.addEventListener("toggle", () => {
      if (line.details.open || !line.choosing) return;
      line.choosing = false;
      show();
    });
  }
  for (const preset of presets) {
    preset.addEventListener("click", (event) => {
      event.preventDefault();
      const names = new Set(namesOf(preset));
      for (const line of lines) Object.assign(line, { choosing: false, before: [] });
      for (const box of all("[name=permissions]")) box.checked = names.has(box.value);
      changed(preset);
    });
  }

  // The filter -----------------------------------------------------------------------------------------
  function narrow() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.toLowerCase().includes(word));
    for (const line of lines) {
      for (const box of line.singles) label(box).hidden = !matches(label(box).textContent);
      if (line.wildcard) label(line.wildcard).hidden = words.length > 0;
      line.element.hidden = line.singles.every((box) => label(box).hidden);
      if (words.length) {
        line.wasOpen ??= line.details.open;
        line.details.open = !line.element.hidden;
      } else if (line.wasOpen !== undefined) {
        line.details.open = line.wasOpen;
        delete line.wasOpen;
      }
    }
    if (own) {
      own.hidden = all("[data-group]", own).every((group) => group.hidden);
      if (words.length) own.open = true;
    }
    find("[data-no-permission]").hidden = lines.some(({ element }) => !element.hidden);
    offerTick();
  }

  const shown = () => lines.flatMap(({ singles }) => singles).filter((box) => !box.disabled && !label(box).hidden);

  function offerTick() {
    const found = filter.value.trim() ? shown() : [];
    tick.hidden = !found.length;
    const verb = found.every((box) => box.checked) ? "Untick" : "Tick";
    tick.textContent = `${verb} the ${found.length === 1 ? "one" : found.length} shown`;
  }

  tick.addEventListener("click", () => {
    const found = shown();
    const all = found.every((box) => box.checked);
    for (const box of found) box.checked = !all;
    changed(found[0]);
  });
  filter.addEventListener("input", (event) => {
    event.stopPropagation();
    narrow();
  });
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });

  picker.addEventListener("input", show);
  show();
  // Typed before this script loaded.
  if (filter.value) narrow();
}
