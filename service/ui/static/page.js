"use strict";
// Everything works without this file. It keeps keys and the voter's name in this tab, and looks again at a report.

const storage = (name) => "plurality." + name;

try {
  for (const note of document.querySelectorAll("[data-refused]")) sessionStorage.removeItem(storage(note.dataset.refused));
  for (const field of document.querySelectorAll("[data-keep]")) {
    const name = storage(field.dataset.keep);
    if (!field.value) field.value = sessionStorage.getItem(name) ?? "";
    field.addEventListener("input", () => sessionStorage.setItem(name, field.value));
  }
} catch {
  // A browser that allows no storage: the fields are filled in by hand.
}

const live = document.getElementById("live");
if (live && location.pathname.startsWith("/ui/experiments/")) {
  const label = document.createElement("label");
  label.className = "option";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  label.append(box, ` Look again every ${live.dataset.live} seconds`);
  live.before(label);
  const look = async () => {
    if (!box.checked || document.hidden || live.contains(document.activeElement)) return;
    try {
      const reply = await fetch(location.pathname, { cache: "no-store" });
      if (!reply.ok) return;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("live");
      const open = [...live.querySelectorAll("details")].map((part) => part.open);
      if (!fresh || live.contains(document.activeElement)) return;
      live.replaceChildren(...fresh.childNodes);
      live.querySelectorAll("details").forEach((part, place) => { part.open = Boolean(open[place]); });
    } catch {
      // The next look may succeed.
    }
  };
  setInterval(look, 1000 * Number(live.dataset.live));
}
