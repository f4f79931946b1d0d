"use strict";
// The page works without this: it adds a button to each command that copies it.
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
