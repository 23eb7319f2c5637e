// Rows that grow and shrink without a round trip, and the picture of each row's network.
import { draw } from "./bits.js";

let made = 0;

export function growRows(form) {
  form.addEventListener("click", (event) => {
    const add = event.target.closest("[data-add-row]");
    const remove = event.target.closest("[data-remove-row]");
    if (add) {
      event.preventDefault();
      const rows = add.closest("[data-rows]");
      const row = rows.querySelector("template").content.cloneNode(true).firstElementChild;
      for (const labelled of row.querySelectorAll("[id]")) labelled.id += `-${++made}`;
      rows.querySelector("template").before(row);
      const field = row.querySelector("input");
      field.value = add.dataset.addRow;
      field.focus();
      changed(field);
    } else if (remove) {
      event.preventDefault();
      const rows = remove.closest("[data-rows]");
      remove.closest("[data-row]").remove();
      rows.querySelector("[data-add-row]").focus();
      changed(rows);
    }
  });
  form.addEventListener("input", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) drawRow(row);
  });
  for (const row of form.querySelectorAll("[data-row]")) drawRow(row);
}

function drawRow(row) {
  const [address, bits, box] = ["[data-address]", "[data-bit-count]", "[data-bits]"].map((each) => row.querySelector(each));
  if (!address) return;
  const [text, typedBits] = address.value.split("/");
  if (typedBits !== undefined) {
    // 10.0.0.0/8 typed or pasted into the first field fills both.
    address.value = text;
    bits.value = typedBits.trim();
    bits.focus();
  }
  draw(box, address.value.trim(), bits.value.trim());
}

function changed(target) {
  target.dispatchEvent(new Event("input", { bubbles: true }));
}
