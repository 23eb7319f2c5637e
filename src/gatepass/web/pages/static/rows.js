// Adds and removes rows without a round trip, draws each row's network, and splits pasted lines into
// rows.
import { draw } from "./network_diagram.js";
import { fields } from "./networks.js";

let made = 0;

export function growRows(form) {
  form.addEventListener("click", (event) => {
    const add = event.target.closest("[data-add-row]");
    const remove = event.target.closest("[data-remove-row]");
    if (add) {
      event.preventDefault();
      const rows = add.closest("[data-rows]");
      const row = newRow(rows);
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
  form.addEventListener("paste", pasteLines);
  for (const row of form.querySelectorAll("[data-row]")) drawRow(row);
}

// Browsers join pasted lines into one, which would be read as one network.
function pasteLines(event) {
  const field = event.target.closest("[data-address]");
  const lines = (event.clipboardData?.getData("text") ?? "").split(/\r\n|\r|\n/).map((line) => line.trim()).filter(Boolean);
  if (!field || lines.length < 2) return;
  event.preventDefault();
  const rows = field.closest("[data-rows]"), most = Number(rows.dataset.mostRows);
  if (rows.querySelectorAll("[data-row]").length + lines.length > most) {
    field.setCustomValidity(`Must be at most ${most} rows; these are ${lines.length} lines. ${rows.dataset.otherwise}`);
    field.reportValidity();
    field.addEventListener("input", () => field.setCustomValidity(""), { once: true });
    return;
  }
  let row = field.closest("[data-row]");
  for (const line of lines) {
    const filled = [...row.querySelectorAll("input")].some((each) => each.value.trim());
    if (filled) {
      const next = newRow(rows);
      row.after(next);
      row = next;
    }
    fill(row, line);
  }
  row.querySelector("[data-address]").focus();
  changed(row);
}

function fill(row, line) {
  const note = row.querySelector("[name=network_note]");
  const apart = fields(line);
  const [address, bits, words] = apart && (note || !apart[2]) ? apart : [line, "", ""];
  row.querySelector("[data-address]").value = address;
  row.querySelector("[data-bit-count]").value = bits;
  if (note) note.value = words;
  drawRow(row);
}

function newRow(rows) {
  const row = rows.querySelector("template").content.cloneNode(true).firstElementChild;
  for (const labelled of row.querySelectorAll("[id]")) labelled.id += `-${++made}`;
  return row;
}

function drawRow(row) {
  const [address, bits, box] = ["[data-address]", "[data-bit-count]", "[data-diagram]"].map((each) => row.querySelector(each));
  if (!address) return;
  const [text, typedBits, more] = address.value.split("/");
  if (/^\s*\d*\s*$/.test(typedBits ?? "x") && more === undefined) {
    // 10.0.0.0/8 typed or pasted into the first field fills both.
    address.value = text.trim();
    bits.value = typedBits.trim();
    bits.focus();
  }
  draw(box, address.value, bits.value);
}

function changed(target) {
  target.dispatchEvent(new Event("input", { bubbles: true }));
}
