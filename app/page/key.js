// The dialog that asks for the API key; `unlocked()` is called after each key that was given.

import { onLocked } from "./api.js";

export function unlockBy(dialog, unlocked) {
  const [value, refusal, cancel] = ["#key-value", "#key-refused", "#key-cancel"].map((id) => dialog.querySelector(id));
  cancel.addEventListener("click", () => dialog.close()); // no submit button: Enter presses the first of those
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
