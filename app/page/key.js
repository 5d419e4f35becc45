// The dialog that asks for the API key, on every page; `unlocked()` is called after each key that was given.

import { onLocked } from "./api.js";
import { button, element } from "./element.js";

export function unlockBy(unlocked) {
  const title = Object.assign(element("h2", "", "API key"), { id: "key-title" });
  const about = element("p", "", "This ragline asks for a key. It is kept until this tab is closed.");
  const refusal = Object.assign(element("p", "note", "That key was refused."), { hidden: true });
  refusal.setAttribute("role", "alert");
  const value = Object.assign(element("input"), { id: "key-value", type: "password", autocomplete: "off", required: true });
  const cancel = button("", "Cancel"); // no submit button: Enter presses the first of those
  const use = Object.assign(element("button", "primary", "Use it"), { value: "use" });
  const label = element("label", "", "Key ", value);
  const form = element("form", "", title, about, refusal, label, element("footer", "", cancel, use));
  form.method = "dialog";
  const dialog = Object.assign(element("dialog", "", form), { id: "key" });
  dialog.setAttribute("aria-labelledby", title.id);
  document.body.append(dialog);
  cancel.addEventListener("click", () => dialog.close());
  onLocked((refused) => {
    refusal.hidden = !refused;
    value.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      const closed = () => {
        const key = dialog.returnValue === "use" ? value.value : null;
        resolve(key);
        if (key) unlocked();
      };
      dialog.addEventListener("close", closed, { once: true });
    });
  });
}
