// The permission picker: the count, what "all of" and "everything" cover, and the filter.
export function pick(form) {
  const all = (selector, root = form) => [...root.querySelectorAll(selector)];
  const tally = form.querySelector("[data-tally]");
  const filter = form.querySelector("[data-filter-permissions]");

  function count() {
    const everything = form.querySelector("[data-everything] input")?.checked;
    for (const group of all("[data-group]")) {
      const wildcard = group.querySelector(".all input");
      if (wildcard) wildcard.disabled = everything;
      for (const single of all(".group-list input", group)) single.disabled = everything || wildcard?.checked;
    }
    const chosen = all("[name=permissions]:checked:not(:disabled)").length;
    tally.value = everything ? "Everything selected" : `${chosen} permission${chosen === 1 ? "" : "s"} selected`;
    tally.classList.toggle("some", chosen > 0);
  }

  function narrow() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.toLowerCase().includes(word));
    let any = false;
    for (const group of all("[data-group]")) {
      const singles = all(".group-list .permission", group);
      for (const single of singles) single.hidden = !matches(single.textContent);
      group.hidden = singles.every((single) => single.hidden);
      any ||= !group.hidden;
    }
    const own = form.querySelector("[data-own]");
    if (own) {
      own.hidden = all("[data-group]", own).every((group) => group.hidden);
      if (words.length) own.open = true;
    }
    form.querySelector("[data-no-permission]").hidden = any;
  }

  filter.addEventListener("input", (event) => {
    event.stopPropagation();
    narrow();
  });
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
  });

  form.addEventListener("input", count);
  count();
  // Typed before this script loaded.
  if (filter.value) narrow();
}
