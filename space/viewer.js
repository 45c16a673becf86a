// One plane. A click or a drag moves the crosshair there. With the focus on the plane, the wheel and the keys move the
// slice: arrows by one, Page Up and Page Down by ten, Home and End to the first and the last.
// The sliders hold the position; the server draws what they say.
const slider = (name) => document.querySelector(`#${name}-slice input[type="range"]`);

const move = (name, value) => {
  const input = slider(name);
  const next = Math.min(Number(input.max), Math.max(Number(input.min), Math.round(value)));
  if (next === Number(input.value)) return;
  input.value = next;
  input.dispatchEvent(new Event("input", { bubbles: true }));
};

const step = (by) => move(props.plane, Number(slider(props.plane).value) + by);

element.tabIndex = 0;
element.setAttribute("role", "group");
element.setAttribute("aria-label", `${props.plane} plane: arrow keys move the slice, a click moves the crosshair`);

const keys = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -1e4, End: 1e4 };
element.addEventListener("keydown", (event) => {
  if (!(event.key in keys)) return;
  event.preventDefault();
  step(keys[event.key]);
});

element.addEventListener("wheel", (event) => {
  if (document.activeElement !== element) return; // else a page could not be scrolled past it
  event.preventDefault();
  step(event.deltaY < 0 ? 1 : -1);
}, { passive: false });

const point = (event) => {
  const svg = element.querySelector("svg.plane");
  if (!svg) return;
  const box = svg.getBoundingClientRect();
  const right = (event.clientX - box.left) / box.width;
  const down = (event.clientY - box.top) / box.height;
  const place = (name, share) => move(name, Number(slider(name).max) * share + 0.5);
  place(props.right, right);
  place(props.down, props.head_up ? 1 - down : down);
};
element.addEventListener("pointerdown", (event) => {
  if (event.pointerType === "mouse") element.setPointerCapture(event.pointerId);
  point(event);
});
element.addEventListener("pointermove", (event) => {
  if (event.pointerType === "mouse" && event.buttons === 1) point(event);
});
