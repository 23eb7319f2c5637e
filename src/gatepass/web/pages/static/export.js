// Shows the progress of an export and lets it be cancelled. Without scripts, the link downloads.
const dialog = document.querySelector("[data-export-dialog]");
const [text, bar, save, close] = ["[data-status]", "progress", "[data-save]", "[data-closes]"].map((each) => dialog.querySelector(each));
const number = new Intl.NumberFormat("en-GB");
let asking;

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-export]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  fetchFile(link.href);
});
// However the dialog is closed, Escape included: abort the download and release the file.
dialog.addEventListener("close", () => {
  asking.abort();
  URL.revokeObjectURL(save.href);
});

async function fetchFile(address) {
  asking = new AbortController();
  show("Counting the events…", "Cancel");
  bar.removeAttribute("value");
  save.hidden = true;
  dialog.showModal();
  try {
    const answer = await fetch(address, { signal: asking.signal });
    const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition"))?.[1];
    // Signed out or an error: show the server's page.
    if (!answer.ok || !name) return location.assign(address);
    const total = Number(answer.headers.get("X-Total-Count"));
    const file = await read(answer, total, name.endsWith(".csv") ? 1 : 0);
    save.href = URL.createObjectURL(file);
    save.download = name;
    save.hidden = false;
    show(`${counted(total)} in ${name}, ${number.format(Math.ceil(file.size / 1024))} kB.`, "Close");
    save.click();
    save.focus();
  } catch (error) {
    if (error.name !== "AbortError") show("The export was interrupted, and nothing was saved. Close this and try again.", "Close");
  }
}

async function read(answer, total, header) {
  const stream = answer.body.getReader();
  let parts = [], lines = -header;
  for (let chunk; !(chunk = await stream.read()).done; ) {
    parts.push(chunk.value);
    for (const byte of chunk.value) if (byte === 10) lines++;
    // Browsers may keep blobs on disk; chunks stay in memory.
    if (parts.length > 100) parts = [new Blob(parts)];
    bar.value = total ? Math.max(0, lines) / total : 1;
    show(`${number.format(Math.max(0, lines))} of ${counted(total)}`, "Cancel");
  }
  if (lines < total) throw new Error("incomplete");
  return new Blob(parts, { type: answer.headers.get("Content-Type") });
}

function show(words, button) {
  text.textContent = words;
  close.textContent = button;
}

function counted(count) {
  return `${number.format(count)} event${count === 1 ? "" : "s"}`;
}
