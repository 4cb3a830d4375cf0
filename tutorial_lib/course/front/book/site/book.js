// An explorer without a kernel: its frames were drawn when the book was built, and a slider chooses among them.
for (const box of document.querySelectorAll(".explorer")) {
  const { sliders, frames, alone } = JSON.parse(box.querySelector("script").textContent);
  const picture = box.querySelector(".frame");
  const inputs = [...box.querySelectorAll("input, select")];
  const show = (moved) => {
    // Where only one slider at a time was drawn, the others go back to where they started.
    if (alone && moved) inputs.forEach((one, i) => { if (one !== moved) one.value = sliders[i].start; });
    inputs.forEach((one, i) => {
      const label = sliders[i].labels[one.value];
      one.setAttribute("aria-valuetext", label);
      const output = one.parentElement.querySelector("output");
      if (output) output.textContent = label;
    });
    const frame = frames[inputs.map((one) => one.value).join(",")];
    if (frame === undefined) return;
    const image = picture.querySelector("img");
    if (image) image.src = box.dataset.folder + frame;
    else picture.innerHTML = frame;
  };
  const load = () => Object.values(frames).forEach((name) => { new Image().src = box.dataset.folder + name; });
  if (picture.querySelector("img")) box.addEventListener("pointerenter", load, { once: true });
  inputs.forEach((one) => one.addEventListener("input", () => show(one)));
  box.querySelector(".controls").hidden = false;
  show();
}

// What is deeper can be hidden: the choice is kept for all pages; a heading stays, with a button that opens its section.
const hide = document.querySelector("button.hide-deeper");
if (hide) {
  const page = document.documentElement;
  const sections = [...document.querySelectorAll("section.deeper")].filter(
    (section) => !section.parentElement.closest("section.deeper"),  // what lies in another goes with it
  );
  const open = (section, opened) => {
    section.classList.toggle("opened", opened);
    const button = section.querySelector(":scope > * > button.show-deeper");
    if (!button) return;
    button.setAttribute("aria-expanded", opened);
    button.textContent = opened ? "Hide" : "Show";
    button.setAttribute("aria-label", `${button.textContent} ${button.dataset.name}`);
  };
  const choose = (hidden) => {
    page.classList.toggle("core-only", hidden);
    hide.setAttribute("aria-pressed", hidden);
    sections.forEach((section) => open(section, false));
  };
  for (const section of sections) {
    const heading = section.querySelector(":scope > h1, :scope > h2, :scope > h3, :scope > h4");
    const button = Object.assign(document.createElement("button"), { type: "button", className: "show-deeper" });
    const link = heading.querySelector(".headerlink");
    const name = [...heading.childNodes].filter((one) => one !== link).map((one) => one.textContent).join("");
    button.dataset.name = name.replace(/deeper$/, "").trim();
    button.addEventListener("click", () => open(section, !section.classList.contains("opened")));
    heading.append(button);
  }
  // A link into a hidden section opens it.
  const arrive = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const section = sections.find((one) => one.contains(target));
    if (section) open(section, true);
    if (target && page.classList.contains("core-only")) target.scrollIntoView();
  };
  hide.addEventListener("click", () => {
    const hidden = !page.classList.contains("core-only");
    try { localStorage.setItem("deeper", hidden ? "hidden" : "shown"); } catch {}
    choose(hidden);
  });
  addEventListener("hashchange", arrive);
  hide.hidden = false;
  choose(page.classList.contains("core-only"));
  arrive();
}

// The theme opens the contents of a narrow window, and a branch of them, by labels, which no keyboard reaches.
for (const label of document.querySelectorAll("label.nav-overlay-icon, label.toc-overlay-icon, .toctree-checkbox + label")) {
  const box = document.getElementById(label.htmlFor);
  label.tabIndex = 0;
  label.setAttribute("role", "button");
  label.setAttribute("aria-label", box.getAttribute("aria-label"));
  label.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    box.click();
  });
  const tell = () => label.setAttribute("aria-expanded", box.checked);
  box.addEventListener("change", tell);
  tell();
}

// What is wider than its place scrolls by the arrow keys, in every browser.
const reachable = () => document.querySelectorAll("article pre, article .table, article .formula, article .frame").forEach(
  (one) => { if (one.scrollWidth > one.clientWidth + 1) one.tabIndex = 0; },
);
addEventListener("load", reachable);
addEventListener("resize", reachable);

// A module's name may be broken after a point or a line below, and nowhere else.
for (const one of document.querySelectorAll("article h1, .sidebar-tree a, .related-pages .title, table.modules a span")) {
  const text = one.firstChild;
  if (text?.nodeType !== Node.TEXT_NODE || !/^tutorial_lib\./.test(text.data)) continue;
  const parts = text.data.split(/(?<=\.|(?<!tutorial)_)/).flatMap((part) => [part, document.createElement("wbr")]);
  text.replaceWith(...parts.slice(0, -1));
}
