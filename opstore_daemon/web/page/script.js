"use strict";
// The page works without this. It adds a button to each command that copies it, and arrow keys to the matrix.
for (const command of document.querySelectorAll(".command")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy: " + command.textContent.trim());
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.firstElementChild.textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  command.append(button);
}

const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
document.querySelector(".matrix")?.addEventListener("keydown", (event) => {
  const cell = event.target.closest("td");
  const step = steps[event.key];
  if (!cell || !step || event.ctrlKey || event.altKey || event.metaKey) return;
  const row = cell.parentElement.parentElement.rows[cell.parentElement.sectionRowIndex + step[0]];
  const next = row?.cells[cell.cellIndex + step[1]]?.querySelector("a");
  if (next) {
    event.preventDefault();
    next.focus();
  }
});
