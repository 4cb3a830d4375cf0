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
